import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import Libsql from 'libsql/promise';
import { z } from 'zod';
import { DamagedNotesError } from './idempotency-errors.js';

/** What is remembered of one request. */
export interface Note {
  /** Digests, as of `RequestId`. */
  readonly client: string;
  readonly key: string;
  /** Of the content. */
  readonly digest: string;
  /** When the key was first used, in milliseconds since the epoch. */
  readonly firstUsedAt: number;
  /** Start of the first attempt that is not known to have come to nothing, by the clock of whoever began it. */
  readonly startedAt?: number | undefined;
  readonly outcome?: unknown;
}

const noteContent = z.strictObject({
  digest: z.string(),
  startedAt: z.number().optional(),
  outcome: z.unknown().optional(),
});

interface Row {
  readonly place: number;
  readonly client: ArrayBuffer;
  readonly key: ArrayBuffer;
  readonly firstUsedAt: number;
  readonly content: ArrayBuffer;
  readonly checksum: number;
}

const FILE = 'notes.sqlite';
/** An empty file that says that there are notes: without it, those that are gone would count as not yet there. */
const MADE = 'notes.made';

/**
 * `place` is the order in which keys were first used: SQLite numbers rows upwards.
 *
 * SQLite checks the structure of its pages, not the values in them; `checksum` covers those.
 */
const SCHEMA = `
CREATE TABLE note (
  place INTEGER PRIMARY KEY,
  client BLOB NOT NULL,
  key BLOB NOT NULL,
  firstUsedAt INTEGER NOT NULL,
  content BLOB NOT NULL,
  checksum INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX note_by_key ON note (key);
CREATE INDEX note_by_client ON note (client);`;

/**
 * A rollback journal instead of a write-ahead log: SQLite takes the first damaged record of a log for its end, and so
 * would drop all later commits in silence. Here every commit is in the database file itself, where a check finds damage.
 *
 * FULL syncs the journal, the database and the journal's end before a commit returns. The journal file is kept, so that
 * notes can be removed on a full disk. The exclusive lock keeps other processes out until the file is closed.
 */
const OPEN = `
PRAGMA locking_mode = EXCLUSIVE;
PRAGMA journal_mode = PERSIST;
PRAGMA synchronous = FULL;
BEGIN EXCLUSIVE;`;

/** Rows verified or removed at once. */
const CHUNK = 1000;

/**
 * The columns of a row, cast: on damaged pages SQLite finds values of any type, and libsql ends the process on a TEXT that
 * is not UTF-8.
 */
const ROW = `SELECT place, CAST(client AS BLOB) AS client, CAST(key AS BLOB) AS key,
  CAST(firstUsedAt AS INTEGER) AS firstUsedAt, CAST(content AS BLOB) AS content, CAST(checksum AS INTEGER) AS checksum
  FROM note`;

/** The keys in a JSON array that is bound as a parameter. */
const KEYS = '(SELECT CAST(value AS BLOB) FROM json_each(?))';

const STATEMENTS = {
  find: `${ROW} WHERE key = ?`,
  add: 'INSERT INTO note (key, client, firstUsedAt, content, checksum) VALUES (?, ?, ?, ?, ?)',
  update: 'UPDATE note SET content = ?, checksum = ? WHERE key = ?',
  remove: 'DELETE FROM note WHERE key = ?',
  count: 'SELECT count(*) AS notes FROM note WHERE client = ?',
  removeOldest: `DELETE FROM note WHERE place IN (
    SELECT place FROM note WHERE client = ? AND key NOT IN ${KEYS} ORDER BY place LIMIT ?)`,
  removeBefore: `DELETE FROM note WHERE place IN (SELECT place FROM note ORDER BY place LIMIT ${CHUNK})
    AND firstUsedAt <= ? AND key NOT IN ${KEYS}`,
  nextRows: `${ROW} WHERE place > ? ORDER BY place LIMIT ${CHUNK}`,
};

type Statements = Readonly<Record<keyof typeof STATEMENTS, Statement>>;

/** The part of libsql in use here; the package has no types for it that say anything. */
interface Database {
  readonly inTransaction: boolean;
  exec(sql: string): Promise<void>;
  prepare(sql: string): Promise<Statement>;
  close(): void;
}

interface Statement {
  get(parameters: readonly unknown[]): unknown;
  run(parameters: readonly unknown[]): { readonly changes: number };
  all(parameters: readonly unknown[]): Promise<unknown[]>;
}

interface Job {
  /** Throws where the whole transaction has failed. */
  readonly run: () => void;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

/**
 * The notes of one instance of the service, in a SQLite file that is forced to disk at each commit.
 *
 * All other methods are to be called inside {@link transact}. What is asked for while one transaction is being written
 * shares the next one, so that many requests at a time cost few syncs.
 */
export class NoteFile {
  readonly #waiting: Job[] = [];
  #isWriting = false;
  /** Notes by client, as far as they have been counted. */
  readonly #counts = new Map<string, number>();

  private constructor(
    private readonly db: Database,
    private readonly statements: Statements,
  ) {}

  /**
   * Opens the file in a directory, and verifies all of it.
   *
   * @throws {@link DamagedNotesError}; errors of the file system, and of SQLite with their `code`
   */
  static async open(directory: string): Promise<NoteFile> {
    mkdirSync(directory, { recursive: true, mode: 0o700 });
    const db = new Libsql(join(directory, FILE), {}) as unknown as Database;
    try {
      await db.exec(OPEN);
      // Tables are made in an empty file alone: those that a damaged schema hides would count as not there.
      const { entries } = (await db.prepare('SELECT count(*) AS entries FROM sqlite_schema')).get([]) as {
        entries: number;
      };
      const made = join(directory, MADE);
      if (entries === 0 && existsSync(made)) throw new DamagedNotesError(`${FILE} is gone or empty`);
      await db.exec(entries === 0 ? `${SCHEMA} COMMIT;` : 'COMMIT;');
      const statements = await prepared(db);
      await verify(db, statements);
      writeFileSync(made, '', { flag: 'a' });
      return new NoteFile(db, statements);
    } catch (error) {
      await rollBack(db);
      await release(db);
      throw damageOr(error);
    }
  }

  /**
   * Runs the work in the next transaction.
   *
   * @returns Its result, once that is on disk.
   * @throws What the work throws; {@link DamagedNotesError}; errors of SQLite, after which nothing of it was written
   */
  transact<Result>(work: () => Result): Promise<Result> {
    return new Promise((resolve, reject) => {
      let result: Result;
      this.#waiting.push({ run: () => void (result = work()), resolve: () => resolve(result), reject });
      if (!this.#isWriting) void this.#writeWaiting();
    });
  }

  /** @throws {@link DamagedNotesError} */
  find(key: string): Note | undefined {
    const row = this.statements.find.get([Buffer.from(key)]) as Row | undefined;
    return row && noteOf(row);
  }

  /** Adds the note of a key that has none. */
  add(note: Note): void {
    const { client, key, firstUsedAt } = note;
    const before = this.#count(client);
    this.statements.add.run([Buffer.from(key), Buffer.from(client), firstUsedAt, ...contentOf(note)]);
    this.#counts.set(client, before + 1);
  }

  /** Writes another content into the note of a key. */
  update(note: Note): void {
    this.statements.update.run([...contentOf(note), Buffer.from(note.key)]);
  }

  remove({ client, key }: Note): void {
    const before = this.#count(client);
    this.#counts.set(client, before - this.statements.remove.run([Buffer.from(key)]).changes);
  }

  /**
   * Removes a client's oldest notes where it has more than so many.
   *
   * @param except Keys that stay.
   */
  removeExcess(client: string, maxNotes: number, except: Iterable<string>): void {
    const excess = this.#count(client) - maxNotes;
    if (excess <= 0) return;
    const parameters = [Buffer.from(client), JSON.stringify([...except]), Math.min(excess, CHUNK)];
    const { changes } = this.statements.removeOldest.run(parameters);
    this.#counts.set(client, maxNotes + excess - changes);
  }

  /**
   * Removes notes of keys that were first used until then, some at a time, from the oldest on.
   *
   * @returns Whether there may be more of them.
   */
  removeUntil(timeMs: number, except: Iterable<string>): boolean {
    const { changes } = this.statements.removeBefore.run([timeMs, JSON.stringify([...except])]);
    if (changes > 0) this.#counts.clear();
    return changes > 0;
  }

  /** Resolves when all work is done and another process may open the file. */
  async close(): Promise<void> {
    await this.transact(() => {}).catch(() => {});
    await release(this.db);
  }

  #count(client: string): number {
    const known = this.#counts.get(client);
    if (known !== undefined) return known;
    const { notes } = this.statements.count.get([Buffer.from(client)]) as { notes: number };
    this.#counts.set(client, notes);
    return notes;
  }

  async #writeWaiting(): Promise<void> {
    this.#isWriting = true;
    while (this.#waiting.length > 0) await this.#writeTransaction();
    this.#isWriting = false;
  }

  /** Never rejects. */
  async #writeTransaction(): Promise<void> {
    const jobs: Job[] = [];
    try {
      // `exec` is what libsql does in a thread of its own. So the syncs of a commit do not hold up the event loop.
      await this.db.exec('BEGIN IMMEDIATE');
      jobs.push(...this.#waiting.splice(0));
      const done = jobs.filter((job) => this.#isDone(job));
      await this.db.exec('COMMIT');
      for (const { resolve } of done) resolve();
    } catch (error) {
      this.#counts.clear();
      await rollBack(this.db);
      if (jobs.length === 0) jobs.push(...this.#waiting.splice(0));
      for (const { reject } of jobs) reject(damageOr(error));
    }
  }

  /** Work that fails by itself, on a damaged note for example, fails alone. */
  #isDone({ run, reject }: Job): boolean {
    try {
      run();
      return true;
    } catch (error) {
      if (!this.db.inTransaction) throw error;
      reject(damageOr(error));
      return false;
    }
  }
}

async function prepared(db: Database): Promise<Statements> {
  const entries = Object.entries(STATEMENTS).map(async ([name, sql]) => [name, await db.prepare(sql)] as const);
  return Object.fromEntries(await Promise.all(entries)) as Statements;
}

/** @throws {@link DamagedNotesError} */
async function verify(db: Database, { nextRows }: Statements): Promise<void> {
  const check = await db.prepare('PRAGMA integrity_check(1)');
  const { integrity_check: finding } = check.get([]) as { integrity_check: string };
  if (finding !== 'ok') throw new DamagedNotesError(finding.split('\n').at(-1));
  for (let place = 0; ;) {
    const rows = (await nextRows.all([place])) as Row[];
    for (const row of rows) intact(row);
    if (rows.length < CHUNK) return;
    place = rows.at(-1)!.place;
  }
}

/** @throws {@link DamagedNotesError} */
function noteOf(row: Row): Note {
  const { client, key, firstUsedAt, content } = intact(row);
  return { client, key, firstUsedAt, ...noteContent.parse(JSON.parse(content)) };
}

/** @throws {@link DamagedNotesError} */
function intact({ place, firstUsedAt, checksum, ...bytes }: Row) {
  const client = Buffer.from(bytes.client).toString();
  const key = Buffer.from(bytes.key).toString();
  const content = Buffer.from(bytes.content).toString();
  if (checksumOf(client, key, firstUsedAt, content) !== checksum) {
    throw new DamagedNotesError(`wrong checksum of note ${place}`);
  }
  return { client, key, firstUsedAt, content };
}

function contentOf({ client, key, firstUsedAt, ...rest }: Note): [content: Buffer, checksum: number] {
  const content = JSON.stringify(rest);
  return [Buffer.from(content), checksumOf(client, key, firstUsedAt, content)];
}

function checksumOf(...parts: readonly (string | number)[]): number {
  return crc32(JSON.stringify(parts));
}

/** Codes of SQLite for a file in which it does not find its way, or not what this class has put there. */
const DAMAGE = /^SQLITE_(?:CORRUPT|NOTADB|ERROR)/;

function damageOr(error: unknown): unknown {
  const { code, message } = error as { readonly code?: string; readonly message?: string };
  return code !== undefined && DAMAGE.test(code) ? new DamagedNotesError(message, { cause: error }) : error;
}

async function rollBack(db: Database): Promise<void> {
  await db.exec('ROLLBACK').catch(() => {
    // SQLite has rolled back already, or there was nothing to roll back.
  });
}

/**
 * libsql keeps a database open as long as there are statements that have not been garbage collected. The lock goes with
 * the first access after this setting, so that nobody has to wait for that.
 */
async function release(db: Database): Promise<void> {
  await db.exec('PRAGMA locking_mode = NORMAL; SELECT count(*) FROM sqlite_schema').catch(() => {
    // It was not locked by this process, or cannot be read.
  });
  db.close();
}

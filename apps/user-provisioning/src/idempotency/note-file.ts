import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import Libsql from 'libsql/promise';
import { z } from 'zod';

/** The stored data are not those that were written. The message says what was found. */
export class DamagedNotesError extends Error {
  override readonly name = 'DamagedNotesError';
}

/** The record of one request. */
export interface Note {
  /** Digests, as of `RequestId`. */
  readonly client: string;
  readonly key: string;
  /** Of the content. */
  readonly digest: string;
  /** When the key was first used, in milliseconds since the epoch. */
  readonly firstUsedAt: number;
  /** Start of the first attempt that may have been carried out. */
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
/** An empty file that marks a folder with notes: without it, lost notes would pass for an empty folder. */
const MADE = 'notes.made';

/**
 * `place` orders keys by their first use: SQLite numbers rows upwards.
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
 * A rollback journal instead of a write-ahead log: SQLite takes the first damaged record of a log for its end, and
 * would silently drop all later commits. Here every commit is in the database file itself, where a check finds damage.
 *
 * FULL syncs the journal, the database and the journal's end before a commit returns. The journal file stays, so that
 * notes can be removed on a full disk. The exclusive lock excludes other processes until the file is closed.
 */
const OPEN = `
PRAGMA locking_mode = EXCLUSIVE;
PRAGMA journal_mode = PERSIST;
PRAGMA synchronous = FULL;
BEGIN EXCLUSIVE;`;

/** Rows verified or removed at once. */
const CHUNK = 1000;

/**
 * The columns of a row, cast: damaged pages have values of any type, and libsql ends the process on a TEXT that is not
 * UTF-8.
 */
const ROW = `SELECT place, CAST(client AS BLOB) AS client, CAST(key AS BLOB) AS key,
  CAST(firstUsedAt AS INTEGER) AS firstUsedAt, CAST(content AS BLOB) AS content, CAST(checksum AS INTEGER) AS checksum
  FROM note`;

/** The keys in a JSON array, which is bound as a parameter. */
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

/** The part of libsql used here; the package has no useful types for it. */
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
  /** Throws if the whole transaction has failed. */
  readonly run: () => void;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

/**
 * The notes of one instance of the service, in a SQLite file that is synced at each commit.
 *
 * Call all other methods inside {@link transact}. Work that arrives while one transaction is being written shares the
 * next one, so that many concurrent requests cost few syncs.
 */
export class NoteFile {
  readonly #waiting: Job[] = [];
  #isWriting = false;
  /** Number of notes by client, as far as counted. */
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
      // Creates tables in an empty file alone: a damaged schema can hide existing ones.
      const { entries } = (await db.prepare('SELECT count(*) AS entries FROM sqlite_schema')).get([]) as {
        entries: number;
      };
      const made = join(directory, MADE);
      if (entries === 0 && existsSync(made)) throw new DamagedNotesError(`${FILE} is missing or empty`);
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
   * @returns Its result, once it is on disk.
   * @throws The errors of the work; {@link DamagedNotesError}; errors of SQLite, after which nothing of it was written
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

  /** Adds a note for a key that has none. */
  add(note: Note): void {
    const { client, key, firstUsedAt } = note;
    const before = this.#count(client);
    this.statements.add.run([Buffer.from(key), Buffer.from(client), firstUsedAt, ...contentOf(note)]);
    this.#counts.set(client, before + 1);
  }

  /** Replaces the content of a key's note. */
  update(note: Note): void {
    this.statements.update.run([...contentOf(note), Buffer.from(note.key)]);
  }

  remove({ client, key }: Note): void {
    const before = this.#count(client);
    this.#counts.set(client, before - this.statements.remove.run([Buffer.from(key)]).changes);
  }

  /**
   * Removes a client's oldest notes beyond this number.
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
   * Removes some notes of keys that were first used until then, the oldest first.
   *
   * @returns Whether more may be left.
   */
  removeUntil(timeMs: number, except: Iterable<string>): boolean {
    const { changes } = this.statements.removeBefore.run([timeMs, JSON.stringify([...except])]);
    if (changes > 0) this.#counts.clear();
    return changes > 0;
  }

  /** Finishes all work, and releases the file for other processes. */
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
      // libsql runs `exec` in a thread of its own, so the syncs of a commit do not block the event loop.
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

  /** Fails only the work that threw, for example on a damaged note. */
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

/** Codes of SQLite for a damaged file, or one without the tables of this class. */
const DAMAGE = /^SQLITE_(?:CORRUPT|NOTADB|ERROR)/;

function damageOr(error: unknown): unknown {
  const { code, message } = error as { readonly code?: string; readonly message?: string };
  return code !== undefined && DAMAGE.test(code) ? new DamagedNotesError(message, { cause: error }) : error;
}

async function rollBack(db: Database): Promise<void> {
  await db.exec('ROLLBACK').catch(() => {
    // SQLite has rolled back already, or no transaction was open.
  });
}

/**
 * Releases the lock at once: it goes with the first access after this setting. libsql itself keeps a database open
 * until its statements have been garbage collected.
 */
async function release(db: Database): Promise<void> {
  await db.exec('PRAGMA locking_mode = NORMAL; SELECT count(*) FROM sqlite_schema').catch(() => {
    // This process had not locked it, or cannot read it.
  });
  db.close();
}

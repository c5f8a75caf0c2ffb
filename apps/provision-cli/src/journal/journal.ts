import { createHmac, randomBytes, scrypt } from 'node:crypto';
import { createReadStream, existsSync, statSync } from 'node:fs';
import { truncate } from 'node:fs/promises';
import { promisify } from 'node:util';
import { crc32 } from 'node:zlib';
import { z } from 'zod';
import { JournalError } from '../errors.js';
import type { ContentDigest } from '../input/input-source.js';
import { readLines } from '../input/lines.js';
import type { UserFields } from '../input/user-fields.js';
import { type DoneLine, DoneLines, LINE_OUTCOMES, type LineOutcome } from './done-lines.js';
import { DurableFile, errorOfPath, replaceFile } from './durable-file.js';
import { lockJournal } from './journal-lock.js';

/** Identifies an import: its input, the service and the client. */
export interface ImportSubject {
  /** Undefined if the input can be read only once. */
  readonly content: ContentDigest | undefined;
  /** Address of the service. */
  readonly service: string;
  /** Login name of the client: idempotency keys belong to one client each. */
  readonly clientId: string;
}

const journalHeader = z.object({
  journal: z.literal('provision-cli'),
  version: z.literal(1),
  /** Random id of this import, which makes its idempotency keys unique. */
  runId: z.string().min(16),
  service: z.string(),
  clientId: z.string(),
  /** Null for an input that can be read only once. */
  content: z.object({ size: z.number(), digest: z.string() }).nullable(),
});

/** First line of a journal. */
export type JournalHeader = z.infer<typeof journalHeader>;

const lineNumber = z.int().positive().max(1e9);
/** The line, its mark, and the number of lines of its record if that is more than one. */
const doneLine = z.tuple([lineNumber, z.int().min(0).max(0xffff_ffff), lineNumber.optional()]);
const doneEntry = z.strictObject({
  created: z.array(doneLine).optional(),
  replayed: z.array(doneLine).optional(),
  rejected: z.array(doneLine).optional(),
});

/** Whether there is a journal. An empty file, as `mktemp` creates it, is none yet. */
export function isBegun(path: string): boolean {
  if (!existsSync(path)) return false;
  const status = statSync(path);
  return !status.isFile() || status.size > 0;
}

/** Maximum length of a line of the journal, in bytes: far above what is written. */
const MAX_JOURNAL_LINE_BYTES = 1_048_576;

/**
 * A file that records which lines of an import are done, so that an import can be resumed however it ended.
 *
 * A line is recorded after it is done. A line that was done and not recorded is sent again under the same idempotency
 * key, so its user is created once. Therefore a journal may lose its end: it is valid up to its first damaged line.
 * Only the header must not be lost, so it is written before anything is sent.
 */
export class Journal {
  private constructor(
    readonly header: JournalHeader,
    readonly done: DoneLines,
    private readonly file: DurableFile,
    private readonly unlock: () => Promise<void>,
  ) {}

  /**
   * Opens the journal of an import, or begins one.
   *
   * @param retriesRejected Whether the input may have changed: rejected lines were corrected.
   * @throws JournalError if the file is no journal, belongs to another import, is in use, or cannot be written.
   */
  static async open(path: string, subject: ImportSubject, retriesRejected: boolean): Promise<Journal> {
    const unlock = await lockJournal(path);
    try {
      const isNew = !isBegun(path);
      if (isNew && retriesRejected) {
        throw new JournalError(`There is no journal ${path}: no line was imported or rejected yet.`);
      }
      const { header, done } = isNew ? await begin(path, subject) : await resume(path, subject, retriesRejected);
      return new Journal(header, done, await DurableFile.open(path), unlock);
    } catch (error) {
      await unlock();
      throw errorOfPath(path, error);
    }
  }

  /** Records lines durably. They count as done only after that. */
  async add(done: readonly DoneLine[]): Promise<void> {
    if (done.length === 0) return;
    const entry: Partial<Record<LineOutcome, number[][]>> = {};
    for (const { line, outcome, mark, lines } of done) {
      (entry[outcome] ??= []).push([line, mark, ...(lines > 1 ? [lines] : [])]);
    }
    await this.file.append(encodeJournalLine(entry));
    for (const line of done) this.done.add(line);
  }

  async close(): Promise<void> {
    await this.file.close();
    await this.unlock();
  }
}

interface JournalContent {
  readonly header: JournalHeader;
  readonly done: DoneLines;
}

async function begin(path: string, subject: ImportSubject): Promise<JournalContent> {
  const header = await makeHeader(randomBytes(16).toString('hex'), subject);
  await replaceFile(path, [encodeJournalLine(header)]);
  return { header, done: new DoneLines() };
}

/** Reads an existing journal, and cuts off its damaged end. */
async function resume(path: string, subject: ImportSubject, retriesRejected: boolean): Promise<JournalContent> {
  const { header, done, goodBytes } = await readJournal(path);
  const fault = await subjectFault(header, subject, retriesRejected);
  if (fault !== undefined) {
    throw new JournalError(
      `The journal ${path} belongs to another import: ${fault}. To start a new import, name another journal (--journal) or delete this one; the service then rejects existing users as duplicates.`,
    );
  }
  await truncate(path, goodBytes);
  return { header, done };
}

async function readJournal(path: string): Promise<JournalContent & { goodBytes: number }> {
  const done = new DoneLines();
  let header: JournalHeader | undefined;
  let goodBytes = 0;
  reading: for await (const lines of readLines(createReadStream(path), MAX_JOURNAL_LINE_BYTES)) {
    for (const { bytes, lineBreak, length } of lines) {
      const entry = bytes && decodeJournalLine(bytes.toString('utf8') + lineBreak);
      if (!header) {
        header = journalHeader.safeParse(entry).data;
        if (!header) break reading;
      } else {
        const parsed = doneEntry.safeParse(entry);
        if (!parsed.success) break reading;
        for (const outcome of LINE_OUTCOMES) {
          for (const [line, mark, lines = 1] of parsed.data[outcome] ?? []) done.add({ line, outcome, mark, lines });
        }
      }
      goodBytes += length;
    }
  }
  if (header) return { header, done, goodBytes };
  throw new JournalError(
    `${path} is not a journal of provision-cli, or has lost its beginning. Check what it is before you delete it.`,
  );
}

async function makeHeader(runId: string, subject: ImportSubject): Promise<JournalHeader> {
  const { content, service, clientId } = subject;
  return {
    journal: 'provision-cli',
    version: 1,
    runId,
    service,
    clientId,
    content: content ? { size: content.size, digest: await stretched(content, runId) } : null,
  };
}

/**
 * Returns why a journal belongs to another import; undefined if it belongs to this one.
 *
 * @param isEdited Whether the input may have changed.
 */
async function subjectFault(
  header: JournalHeader,
  subject: ImportSubject,
  isEdited: boolean,
): Promise<string | undefined> {
  if (header.service !== subject.service) return `it is of an import into ${header.service}`;
  if (header.clientId !== subject.clientId) return `it is of an import as ${header.clientId}`;
  if (isEdited) return undefined;
  const { content } = await makeHeader(header.runId, subject);
  const isSame = header.content?.size === content?.size && header.content?.digest === content?.digest;
  if (isSame) return undefined;
  // Even if no line is rejected any more: the corrected file still differs from the one that the import began with.
  return 'the input has changed since the import began. If you have corrected rejected lines in it, add --retry-rejected';
}

/**
 * Makes a digest that is slow to compute. The content of a short input can be guessed but for a password, and a fast
 * digest would let an attacker check many guesses.
 */
async function stretched({ sha256 }: ContentDigest, runId: string): Promise<string> {
  const key = await promisify<string, string, number, Buffer>(scrypt)(sha256, runId, 32);
  return key.toString('hex');
}

/** Another attempt with a line that was rejected. */
export interface Retry {
  /** How often the line was rejected. */
  readonly rejections: number;
  readonly user: UserFields;
}

/**
 * Returns the idempotency key of a line: always the same in this import, and unlike that of any other line or import.
 *
 * The service remembers a rejection under its key. So a rejected line gets a new key, which stays the same until the
 * line is rejected or edited again.
 */
export function idempotencyKey({ runId, content }: JournalHeader, line: number, retry?: Retry): string {
  const key = createHmac('sha256', runId).update(`${content?.digest ?? 'stream'}:${line}`);
  if (retry) key.update(`:${retry.rejections}:${JSON.stringify(retry.user)}`);
  return key.digest('base64url');
}

/** Formats a line of a journal: a checksum, a space, and JSON. */
export function encodeJournalLine(entry: object): string {
  const json = JSON.stringify(entry);
  return `${checksum(json)} ${json}\n`;
}

/** Returns the entry of a line; undefined for an incomplete or damaged one. */
export function decodeJournalLine(line: string): unknown {
  const match = /^([\da-f]{8}) (.*)\n$/s.exec(line);
  if (!match || checksum(match[2]!) !== match[1]) return undefined;
  try {
    return JSON.parse(match[2]!);
  } catch {
    return undefined;
  }
}

function checksum(text: string): string {
  return crc32(text).toString(16).padStart(8, '0');
}

import { randomBytes } from 'node:crypto';
import { createReadStream, existsSync, statSync } from 'node:fs';
import { truncate } from 'node:fs/promises';
import { z } from 'zod';
import { readLines } from '../input/lines.js';
import { type DoneLine, DoneLines, LINE_OUTCOMES, type LineOutcome } from './done-lines.js';
import { DurableFile, replaceFile } from './durable-file.js';
import { type ImportSubject, type JournalHeader, makeHeader, readHeader, subjectFault } from './journal-header.js';
import { decodeJournalLine, encodeJournalLine } from './journal-line.js';
import { errorOfPath, JournalError } from './journal-error.js';
import { lockJournal } from './journal-lock.js';

const lineNumber = z.int().positive().max(1e9);
/** The line, its mark, and how many lines it takes where these are several. */
const doneLine = z.tuple([lineNumber, z.int().min(0).max(0xffff_ffff), lineNumber.optional()]);
const doneEntry = z.strictObject({
  created: z.array(doneLine).optional(),
  replayed: z.array(doneLine).optional(),
  rejected: z.array(doneLine).optional(),
});

/** Whether there is a journal: an empty file, as `mktemp` makes it, is none yet. */
export function isBegun(path: string): boolean {
  if (!existsSync(path)) return false;
  const status = statSync(path);
  return !status.isFile() || status.size > 0;
}

/** Longest line of a journal that is read, in bytes: far above what is written. */
const MAX_JOURNAL_LINE_BYTES = 1_048_576;

/**
 * What is done of an import, in a file: so that one that ended, however it ended, goes on where it was.
 *
 * A line is written down after it is done. What was done and not written down is done again under the same idempotency
 * key, and so not twice. That is why a journal may lose its end, and is good up to its first line that is not whole.
 * Only without its header it is good for nothing, and therefore the header is there before anything is sent.
 */
export class Journal {
  private constructor(
    readonly header: JournalHeader,
    readonly done: DoneLines,
    private readonly file: DurableFile,
    private readonly unlock: () => Promise<void>,
  ) {}

  /**
   * Opens the journal of an import, and begins one where there is none.
   *
   * @param retriesRejected Whether the input may have been edited: its rejected lines were mended.
   * @throws {@link JournalError} where it is the journal of another import, is in use, is none, or cannot be written.
   */
  static async open(path: string, subject: ImportSubject, retriesRejected: boolean): Promise<Journal> {
    const unlock = await lockJournal(path);
    try {
      const isNew = !isBegun(path);
      if (isNew && retriesRejected) {
        throw new JournalError(`There is no journal ${path}: nothing was imported, and nothing rejected.`);
      }
      const { header, done } = isNew ? await begin(path, subject) : await goOn(path, subject, retriesRejected);
      return new Journal(header, done, await DurableFile.open(path), unlock);
    } catch (error) {
      await unlock();
      throw errorOfPath(path, error);
    }
  }

  /** Takes note of lines, durably. They count as done only when that has succeeded. */
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
  await replaceFile(path, one(encodeJournalLine(header)));
  return { header, done: new DoneLines() };
}

/** Reads a journal that is there, and cuts off what is damaged. */
async function goOn(path: string, subject: ImportSubject, retriesRejected: boolean): Promise<JournalContent> {
  const { header, done, goodBytes } = await readJournal(path);
  const fault = await subjectFault(header, subject, retriesRejected);
  if (fault !== undefined) {
    throw new JournalError(
      `The journal ${path} does not go with this import: ${fault}. To begin a new import, name another journal (--journal) or delete this one; users that were made already will then be rejected as duplicates.`,
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
        header = readHeader(entry);
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
    `${path} is not a journal of provision-cli, or has lost its beginning. Look what it is before you delete it.`,
  );
}

async function* one(text: string): AsyncGenerator<string> {
  yield text;
}

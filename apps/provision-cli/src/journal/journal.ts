import { randomBytes } from 'node:crypto';
import { createReadStream, existsSync } from 'node:fs';
import { truncate } from 'node:fs/promises';
import { z } from 'zod';
import { readLines } from '../input/lines.js';
import { DoneLines, LINE_OUTCOMES, type LineOutcome } from './done-lines.js';
import { DurableFile, replaceFile } from './durable-file.js';
import { type ImportSubject, type JournalHeader, makeHeader, readHeader, subjectFault } from './journal-header.js';
import { decodeJournalLine, encodeJournalLine } from './journal-line.js';
import { errorOfPath, JournalError } from './journal-error.js';
import { lockJournal } from './journal-lock.js';

/** A line that is done, and the mark of what it said. */
export interface DoneLine {
  readonly line: number;
  readonly outcome: LineOutcome;
  readonly mark: number;
}

const lineAndMark = z.tuple([z.int().positive().max(1e9), z.int().min(0).max(0xffff_ffff)]);
const doneEntry = z.strictObject({
  created: z.array(lineAndMark).optional(),
  replayed: z.array(lineAndMark).optional(),
  rejected: z.array(lineAndMark).optional(),
});

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
   * @throws {@link JournalError} where it is the journal of another import, is in use, is none, or cannot be written.
   */
  static async open(path: string, subject: ImportSubject): Promise<Journal> {
    const unlock = await lockJournal(path);
    try {
      if (!existsSync(path)) {
        const header = await makeHeader(randomBytes(16).toString('hex'), subject);
        await replaceFile(path, one(encodeJournalLine(header)));
      }
      const { header, done, goodBytes } = await readJournal(path);
      const fault = await subjectFault(header, subject);
      if (fault !== undefined) {
        throw new JournalError(
          `The journal ${path} does not go with this import: ${fault}. To begin a new import, name another journal (--journal) or delete this one; users that were made already will then be rejected as duplicates.`,
        );
      }
      await truncate(path, goodBytes);
      return new Journal(header, done, await DurableFile.open(path), unlock);
    } catch (error) {
      await unlock();
      throw errorOfPath(path, error);
    }
  }

  /** Takes note of lines, durably. They count as done only when that has succeeded. */
  async add(lines: readonly DoneLine[]): Promise<void> {
    if (lines.length === 0) return;
    const entry: Partial<Record<LineOutcome, [number, number][]>> = {};
    for (const { line, outcome, mark } of lines) (entry[outcome] ??= []).push([line, mark]);
    await this.file.append(encodeJournalLine(entry));
    for (const { line, outcome, mark } of lines) this.done.add(line, outcome, mark);
  }

  async close(): Promise<void> {
    await this.file.close();
    await this.unlock();
  }
}

async function readJournal(path: string): Promise<{ header: JournalHeader; done: DoneLines; goodBytes: number }> {
  const done = new DoneLines();
  let header: JournalHeader | undefined;
  let goodBytes = 0;
  reading: for await (const lines of readLines(createReadStream(path), MAX_JOURNAL_LINE_BYTES)) {
    for (const { bytes, length } of lines) {
      const entry = bytes && decodeJournalLine(bytes.toString('utf8'));
      if (!header) {
        header = readHeader(entry);
        if (!header) break reading;
      } else {
        const parsed = doneEntry.safeParse(entry);
        if (!parsed.success) break reading;
        for (const outcome of LINE_OUTCOMES) {
          for (const [line, mark] of parsed.data[outcome] ?? []) done.add(line, outcome, mark);
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

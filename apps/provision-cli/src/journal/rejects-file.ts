import { createReadStream, existsSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { readLines } from '../input/lines.js';
import { jsonLine } from '../output/printable.js';
import type { DoneLines } from './done-lines.js';
import { DurableFile, replaceFile } from './durable-file.js';
import { isBegun } from './journal.js';
import { errorOfPath, JournalError } from './journal-error.js';

/**
 * A line that became no user, and why. Nothing that the line said is in it: where columns are swapped or delimiters
 * mistaken, the password stands under another name.
 */
export interface Reject {
  readonly line: number;
  readonly lastLine?: number | undefined;
  readonly code: string;
  readonly reason: string;
}

/** The rejected lines of an import, as NDJSON. The file is there from the first of them on. */
export class RejectsFile {
  #file: DurableFile | undefined;

  private constructor(readonly path: string) {}

  /**
   * To be asked before the journal is opened: where there is none yet, a file that is there is of another import.
   *
   * @throws {@link JournalError}
   */
  static requireFree(path: string, journalPath: string): void {
    if (isBegun(journalPath) || !existsSync(path)) return;
    throw new JournalError(
      `${path} is there, and is not of this import: that has no journal yet. Move it away, or name another journal (--journal).`,
    );
  }

  /** Begins where the journal stands. */
  static async open(path: string, done: DoneLines): Promise<RejectsFile> {
    const file = new RejectsFile(path);
    await file.#align(done);
    return file;
  }

  async add(rejects: readonly Reject[]): Promise<void> {
    if (rejects.length === 0) return;
    this.#file ??= await DurableFile.open(this.path);
    await this.#file.append(rejects.map(jsonLine).join(''));
  }

  /** @param mended What is done, where rejected lines may be done since. */
  async close(mended?: DoneLines): Promise<void> {
    await this.#file?.close();
    if (mended) await this.#align(mended);
  }

  /** Each line that is rejected in the journal stands here once, as it was rejected last, and no other does. */
  async #align(done: DoneLines): Promise<void> {
    try {
      if (!existsSync(this.path)) return;
      if (done.counts.rejected === 0) await rm(this.path);
      else await replaceFile(this.path, lastRejects(this.path, done));
    } catch (error) {
      throw errorOfPath(this.path, error);
    }
  }
}

async function* lastRejects(path: string, done: DoneLines): AsyncGenerator<string> {
  const last = new Map<number, number>();
  for await (const { line, position } of rejectsIn(path)) last.set(line, position);
  for await (const { line, position, text } of rejectsIn(path)) {
    if (last.get(line) === position && done.outcomeOf(line) === 'rejected') yield text;
  }
}

/** The whole lines of a rejects file. */
async function* rejectsIn(path: string): AsyncGenerator<{ line: number; position: number; text: string }> {
  for await (const lines of readLines(createReadStream(path))) {
    for (const { number: position, bytes, lineBreak } of lines) {
      const text = `${bytes?.toString('utf8') ?? ''}${lineBreak}`;
      const line = lineBreak === '' ? undefined : lineOf(text);
      if (line !== undefined) yield { line, position, text };
    }
  }
}

function lineOf(text: string): number | undefined {
  try {
    const { line } = JSON.parse(text) as { line?: unknown };
    return typeof line === 'number' ? line : undefined;
  } catch {
    return undefined;
  }
}

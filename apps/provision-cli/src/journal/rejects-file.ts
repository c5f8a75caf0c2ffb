import { createReadStream, existsSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { JournalError } from '../errors.js';
import { readLines } from '../input/lines.js';
import { jsonLine } from '../output/safe-text.js';
import type { DoneLines } from './done-lines.js';
import { DurableFile, errorOfPath, replaceFile } from './durable-file.js';
import { isBegun } from './journal.js';

/**
 * A rejected line and the reason. Repeats no value of the line: if columns are swapped or delimiters mistaken, the
 * password stands in another member.
 */
export interface Reject {
  readonly line: number;
  readonly lastLine?: number | undefined;
  readonly code: string;
  readonly reason: string;
}

/** The rejected lines of an import, as NDJSON. The first of them creates the file. */
export class RejectsFile {
  #file: DurableFile | undefined;

  private constructor(readonly path: string) {}

  /**
   * Call before the journal is opened: without a journal, an existing rejects file belongs to another import.
   *
   * @throws JournalError
   */
  static requireFree(path: string, journalPath: string): void {
    if (isBegun(journalPath) || !existsSync(path)) return;
    throw new JournalError(
      `${path} exists and belongs to another import: this one has no journal yet. Move it away, or name another journal (--journal).`,
    );
  }

  /** Opens the file, and aligns it with the journal. */
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

  /** @param corrected The lines that are done, if rejected lines may be among them now. */
  async close(corrected?: DoneLines): Promise<void> {
    await this.#file?.close();
    if (corrected) await this.#align(corrected);
  }

  /** Keeps one entry, the last, for each line that the journal has as rejected, and no other. */
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

/** Reads the complete lines of a rejects file. */
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

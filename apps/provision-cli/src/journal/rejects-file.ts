import { createReadStream, existsSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import type { UserFields } from '../input/user-fields.js';
import { readLines } from '../input/lines.js';
import { jsonLine } from '../output/printable.js';
import type { DoneLines } from './done-lines.js';
import { DurableFile, replaceFile } from './durable-file.js';
import { errorOfPath, JournalError } from './journal-error.js';

/** A line that became no user, and why. */
export interface Reject {
  readonly line: number;
  readonly lastLine?: number | undefined;
  readonly code: string;
  readonly reason: string;
  /** What it said, without its password; left out where the password cannot be told from the rest. */
  readonly user?: Partial<UserFields> | undefined;
}

/** Longest line that is kept, in bytes: an escaped record of the greatest length fits. */
const MAX_REJECT_BYTES = 1_048_576;

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
    if (existsSync(journalPath) || !existsSync(path)) return;
    throw new JournalError(
      `${path} is there, and is not of this import: that has no journal yet. Move it away, or name another journal (--journal).`,
    );
  }

  /** Begins where the journal stands: each line that is rejected there stands here once, and no other does. */
  static async open(path: string, done: DoneLines): Promise<RejectsFile> {
    try {
      if (existsSync(path)) {
        if (done.counts.rejected === 0) await rm(path);
        else await replaceFile(path, knownRejects(path, done));
      }
    } catch (error) {
      throw errorOfPath(path, error);
    }
    return new RejectsFile(path);
  }

  async add(rejects: readonly Reject[]): Promise<void> {
    if (rejects.length === 0) return;
    this.#file ??= await DurableFile.open(this.path);
    await this.#file.append(rejects.map(jsonLine).join(''));
  }

  async close(): Promise<void> {
    await this.#file?.close();
  }
}

async function* knownRejects(path: string, done: DoneLines): AsyncGenerator<string> {
  const seen = new Set<number>();
  for await (const lines of readLines(createReadStream(path), MAX_REJECT_BYTES)) {
    for (const { bytes } of lines) {
      const text = bytes?.toString('utf8') ?? '';
      const line = lineOf(text);
      if (line === undefined || seen.has(line) || done.outcomeOf(line) !== 'rejected') continue;
      seen.add(line);
      yield text;
    }
  }
}

function lineOf(text: string): number | undefined {
  try {
    const { line } = JSON.parse(text) as { line?: unknown };
    return typeof line === 'number' && text.endsWith('\n') ? line : undefined;
  } catch {
    return undefined;
  }
}

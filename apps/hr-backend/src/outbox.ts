import { isUtf8 } from 'node:buffer';
import { mkdir, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Logger } from '@nestjs/common';
import { z } from 'zod';

const event = z.looseObject({ type: z.enum(['joiner', 'leaver']), id: z.string().min(1).max(128) });

export type OutboxEvent = z.infer<typeof event>;

/** A file of the outbox, with its event, or the fault of a file that holds none. */
export type Waiting = { readonly file: string } & ({ readonly event: OutboxEvent } | { readonly fault: string });

const MAX_BYTES = 16_384;
/** A file that is written in place is incomplete for a moment. */
const WRITING_MS = 2000;
/** Maximum share of the time for reading the folder again while events wait. */
const READING_SHARE = 1 / 20;
/** Bytes of a file's name that its name in `refused` keeps; a name has at most 255. */
const NAME_BYTES = 150;

/** The backend cannot use the folder of the outbox. */
export class OutboxError extends Error {
  readonly code = 'OUTBOX_UNUSABLE';

  constructor(folder: string, cause: unknown) {
    super(
      `The outbox ${folder} cannot be used (${codeOf(cause)}). Set OUTBOX_FOLDER to a folder that this process can write to.`,
      { cause },
    );
    this.name = 'OutboxError';
  }
}

/**
 * The events that are not settled yet: a folder with one file each, `<name>.json`, sent in the order of the names.
 *
 * All state is in the folder, so a crash loses nothing. A file is removed when its event is done. After a crash an
 * event may be sent again, which does no harm.
 */
export class Outbox {
  readonly #logger = new Logger('HrBackend');
  readonly #refused: string;
  /** File names in the folder, the next one last. */
  #names: string[] = [];
  #readAgainAt = 0;
  /** Names without a file behind them that are in the log already. */
  readonly #ignored = new Set<string>();
  /** An incomplete file, and since when it has not changed. */
  #incomplete: { readonly state: string; readonly since: number } | undefined;
  #refusals = 0;

  /** @param pollMs Minimum time between two reads of the folder while events wait, in milliseconds. */
  constructor(
    private readonly folder: string,
    private readonly pollMs: number,
  ) {
    this.#refused = join(folder, 'refused');
  }

  /**
   * Creates the folder. Call it first.
   *
   * @throws {@link OutboxError}
   */
  async open(): Promise<void> {
    await mkdir(this.#refused, { recursive: true }).catch((cause: unknown) => {
      throw new OutboxError(this.folder, cause);
    });
  }

  /** Returns the next event, or undefined without one or while its file is being written. */
  async next(): Promise<Waiting | undefined> {
    if (this.#names.length === 0 || performance.now() >= this.#readAgainAt) await this.#readNames();
    for (let file = this.#names.at(-1); file !== undefined; this.#names.pop(), file = this.#names.at(-1)) {
      const found = await this.#read(file);
      if (found !== 'ignored') return found;
    }
    return undefined;
  }

  /** Removes an event that is done. */
  async done({ file }: Waiting): Promise<void> {
    await rm(join(this.folder, file), { force: true });
    this.#leave(file);
  }

  /** Moves the event to `refused`, with the reason beside it, for an operator to fix. */
  async refuse({ file }: Waiting, reason: string): Promise<void> {
    const number = String(this.#refusals++).padStart(6, '0');
    const name = Buffer.from(file).subarray(0, NAME_BYTES).toString();
    const aside = join(this.#refused, `${Date.now()}-${number}-${name}`);
    // The reason first, so that even after a crash no event is without one.
    await writeFile(`${aside}.reason.txt`, `${reason}\n`);
    await rename(join(this.folder, file), aside);
    this.#leave(file);
  }

  #leave(file: string): void {
    if (this.#names.at(-1) === file) this.#names.pop();
  }

  /** Reads the folder once for many events; a new file that sorts before them waits until the next read. */
  async #readNames(): Promise<void> {
    const startedAt = performance.now();
    const names = await readdir(this.folder);
    this.#names = names
      .filter((name) => name.endsWith('.json'))
      .toSorted()
      .toReversed();
    const tookMs = performance.now() - startedAt;
    this.#readAgainAt = performance.now() + Math.max(this.pollMs, tookMs / READING_SHARE);
  }

  /** Logs a name that leads to no file once, and a file that is gone never. */
  #ignore(file: string, isThere: boolean): 'ignored' {
    // Node.js replaces invalid bytes by this character, and so does not find the file.
    const isBytes = !isThere && file.includes('\uFFFD');
    if ((isThere || isBytes) && !this.#ignored.has(file)) {
      this.#ignored.add(file);
      const reason = isBytes ? 'its name is not UTF-8' : 'it is not a file';
      this.#logger.warn(printable(`the outbox: ignored ${file}, ${reason}`));
    }
    return 'ignored';
  }

  async #read(file: string): Promise<Waiting | 'ignored' | undefined> {
    const path = join(this.folder, file);
    const stats = await stat(path).catch((error: unknown) => {
      if (codeOf(error) === 'ENOENT' || codeOf(error) === 'ELOOP') return undefined;
      throw error;
    });
    if (!stats?.isFile()) return this.#ignore(file, stats !== undefined);
    if (stats.size > MAX_BYTES) return { file, fault: `it has more than ${MAX_BYTES} bytes` };
    let fault = 'it is not a JSON object with a type (joiner, leaver) and an id';
    try {
      const bytes = await readFile(path);
      const read = event.safeParse(parsed(bytes));
      if (read.success) return { file, event: read.data };
      if (!isUtf8(bytes)) fault = 'it is not UTF-8 text';
    } catch (error) {
      if (codeOf(error) === 'ENOENT') return this.#ignore(file, false);
      fault = `it cannot be read (${codeOf(error)})`;
    }
    return this.#isBeingWritten(`${file} ${stats.size} ${stats.mtimeMs}`) ? undefined : { file, fault };
  }

  /** Measures how long the file has not changed. Its date would not do: the clock of the machine may be set. */
  #isBeingWritten(state: string): boolean {
    if (this.#incomplete?.state !== state) this.#incomplete = { state, since: performance.now() };
    return performance.now() - this.#incomplete.since < WRITING_MS;
  }
}

function codeOf(error: unknown): string {
  return (error as NodeJS.ErrnoException).code ?? String(error);
}

/**
 * Returns undefined if it is not JSON in UTF-8. Another encoding would corrupt names; a byte order mark does no harm.
 */
function parsed(bytes: Buffer): unknown {
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch {
    return undefined;
  }
}

/** Characters that act on a terminal or on the order of text, and unassigned ones. */
const UNPRINTABLE = /[\p{C}\p{Zl}\p{Zp}]/gu;

/** Makes external text safe for the log: it starts no new line, and acts on no terminal. */
export function printable(text: string): string {
  return text.slice(0, 1000).replace(UNPRINTABLE, '?');
}

import { isUtf8 } from 'node:buffer';
import { mkdir, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Logger } from '@nestjs/common';
import { z } from 'zod';
import { printable } from './printable.js';

const event = z.looseObject({ type: z.enum(['joiner', 'leaver']), id: z.string().min(1).max(128) });

export type OutboxEvent = z.infer<typeof event>;

/** A file of the outbox. One that holds no event has a fault in its place. */
export type Waiting = { readonly file: string } & ({ readonly event: OutboxEvent } | { readonly fault: string });

const MAX_BYTES = 16_384;
/** A file that is written in place looks broken for a moment. */
const WRITING_MS = 2000;
/** Most of the time that goes into reading the names in the folder anew, while there are events to send. */
const READING_SHARE = 1 / 20;
/** Bytes of a file's name that go into another one; a name has at most 255. */
const NAME_BYTES = 150;

/** The folder of the outbox cannot be used. */
export class OutboxError extends Error {
  readonly code = 'OUTBOX_UNUSABLE';

  constructor(folder: string, cause: unknown) {
    super(
      `The outbox ${folder} cannot be used (${codeOf(cause)}). Set OUTBOX_FOLDER to a folder that this process may write to.`,
      { cause },
    );
    this.name = 'OutboxError';
  }
}

/**
 * Events without an answer yet: a folder with a file for each, `<name>.json`, sent in the order of the names.
 *
 * The folder is all there is to remember, so nothing is lost with this process. A file goes when its event is done; where
 * that is not known for sure, after a crash, the event is sent again, which does no harm.
 */
export class Outbox {
  readonly #logger = new Logger('HrBackend');
  readonly #refused: string;
  /** Names in the folder, the next one last. */
  #names: string[] = [];
  #readAgainAt = 0;
  /** What is no file, and was told of. */
  readonly #passedOver = new Set<string>();
  /** A file that looks broken, and since when it has looked like that. */
  #broken: { readonly state: string; readonly since: number } | undefined;
  #refusals = 0;

  /** @param pollMs Shortest time between two readings of the folder while there are events to send, in milliseconds. */
  constructor(
    private readonly folder: string,
    private readonly pollMs: number,
  ) {
    this.#refused = join(folder, 'refused');
  }

  /**
   * To be called first.
   *
   * @throws {@link OutboxError}
   */
  async open(): Promise<void> {
    await mkdir(this.#refused, { recursive: true }).catch((cause: unknown) => {
      throw new OutboxError(this.folder, cause);
    });
  }

  /** The event whose turn it is; undefined where there is none, or it is still being written. */
  async next(): Promise<Waiting | undefined> {
    if (this.#names.length === 0 || performance.now() >= this.#readAgainAt) await this.#readNames();
    for (let file = this.#names.at(-1); file !== undefined; this.#names.pop(), file = this.#names.at(-1)) {
      const found = await this.#read(file);
      if (found !== 'passed over') return found;
    }
    return undefined;
  }

  /** Forgets the event: it is done. */
  async done({ file }: Waiting): Promise<void> {
    await rm(join(this.folder, file), { force: true });
    this.#leave(file);
  }

  /** Puts the event aside for people to look at, with the reason beside it. */
  async refuse({ file }: Waiting, reason: string): Promise<void> {
    const number = String(this.#refusals++).padStart(6, '0');
    const name = Buffer.from(file).subarray(0, NAME_BYTES).toString();
    const aside = join(this.#refused, `${Date.now()}-${number}-${name}`);
    // In this order, so that no event lies there without its reason, even if this process is killed in between.
    await writeFile(`${aside}.reason.txt`, `${reason}\n`);
    await rename(join(this.folder, file), aside);
    this.#leave(file);
  }

  #leave(file: string): void {
    if (this.#names.at(-1) === file) this.#names.pop();
  }

  /** A folder with many events is read for many of them at once; a name that comes first by its order waits that long. */
  async #readNames(): Promise<void> {
    const begun = performance.now();
    const names = await readdir(this.folder);
    this.#names = names
      .filter((name) => name.endsWith('.json'))
      .toSorted()
      .toReversed();
    const tookMs = performance.now() - begun;
    this.#readAgainAt = performance.now() + Math.max(this.pollMs, tookMs / READING_SHARE);
  }

  /** Tells once of a name that leads to no file, and of one whose file has gone not at all. */
  #passOver(file: string, isThere: boolean): 'passed over' {
    // Node.js has put this character in the place of bytes, and so does not find the file.
    const isBytes = !isThere && file.includes('\uFFFD');
    if ((isThere || isBytes) && !this.#passedOver.has(file)) {
      this.#passedOver.add(file);
      const reason = isBytes ? 'its name is not UTF-8' : 'it is no file';
      this.#logger.warn(printable(`the outbox: ${file} is passed over, ${reason}`));
    }
    return 'passed over';
  }

  async #read(file: string): Promise<Waiting | 'passed over' | undefined> {
    const path = join(this.folder, file);
    const stats = await stat(path).catch((error: unknown) => {
      if (codeOf(error) === 'ENOENT' || codeOf(error) === 'ELOOP') return undefined;
      throw error;
    });
    if (!stats?.isFile()) return this.#passOver(file, stats !== undefined);
    if (stats.size > MAX_BYTES) return { file, fault: `it has more than ${MAX_BYTES} bytes` };
    let fault = 'it is no JSON object with a type (joiner, leaver) and an id';
    try {
      const bytes = await readFile(path);
      const read = event.safeParse(parsed(bytes));
      if (read.success) return { file, event: read.data };
      if (!isUtf8(bytes)) fault = 'it is not UTF-8 text';
    } catch (error) {
      if (codeOf(error) === 'ENOENT') return this.#passOver(file, false);
      fault = `it cannot be read (${codeOf(error)})`;
    }
    return this.#isBeingWritten(`${file} ${stats.size} ${stats.mtimeMs}`) ? undefined : { file, fault };
  }

  /** By how long it has looked the same, and not by its date: the clock of the machine may be set. */
  #isBeingWritten(state: string): boolean {
    if (this.#broken?.state !== state) this.#broken = { state, since: performance.now() };
    return performance.now() - this.#broken.since < WRITING_MS;
  }
}

function codeOf(error: unknown): string {
  return (error as NodeJS.ErrnoException).code ?? String(error);
}

/** Undefined where it is no JSON. In other encodings names would be taken for others; a byte order mark does no harm. */
function parsed(bytes: Buffer): unknown {
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch {
    return undefined;
  }
}

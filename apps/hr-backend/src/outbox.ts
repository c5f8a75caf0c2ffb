import { mkdir, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';

const event = z.looseObject({ type: z.enum(['joiner', 'leaver']), id: z.string().min(1).max(128) });

export type OutboxEvent = z.infer<typeof event>;

/** A file of the outbox. One that holds no event has a fault in its place. */
export type Waiting = { readonly file: string } & ({ readonly event: OutboxEvent } | { readonly fault: string });

const MAX_BYTES = 16_384;
/** A file that is written in place looks broken for a moment. */
const WRITING_MS = 2000;

/** The folder of the outbox cannot be used. */
export class OutboxError extends Error {
  readonly code = 'OUTBOX_UNUSABLE';

  constructor(folder: string, cause: unknown) {
    const { code } = cause as NodeJS.ErrnoException;
    super(
      `The outbox ${folder} cannot be used (${code ?? String(cause)}). Set OUTBOX_FOLDER to a folder that this process may write to.`,
      { cause },
    );
    this.name = 'OutboxError';
  }
}

/**
 * Events that nobody has answered for yet: a folder with a file for each, `<name>.json`, sent in the order of the names.
 *
 * The folder is all there is to remember, so nothing is lost with this process. A file goes when its event is done; where
 * that is not known for sure, after a crash, the event is sent again, which does no harm.
 */
export class Outbox {
  readonly #refused: string;

  constructor(private readonly folder: string) {
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

  /** The event whose turn it is; undefined where there is none. */
  async next(): Promise<Waiting | undefined> {
    const names = await readdir(this.folder);
    const file = names.filter((name) => name.endsWith('.json')).toSorted()[0];
    if (file === undefined) return undefined;
    const path = join(this.folder, file);
    const { size, mtimeMs } = await stat(path);
    if (size > MAX_BYTES) return { file, fault: `it has more than ${MAX_BYTES} bytes` };
    const read = event.safeParse(parsed(await readFile(path, 'utf8')));
    if (read.success) return { file, event: read.data };
    if (Date.now() - mtimeMs < WRITING_MS) return undefined;
    return { file, fault: 'it is no JSON object with a type (joiner, leaver) and an id' };
  }

  /** Forgets the event: it is done. */
  async done({ file }: Waiting): Promise<void> {
    await rm(join(this.folder, file), { force: true });
  }

  /** Puts the event aside for people to look at, with the reason beside it. */
  async refuse({ file }: Waiting, reason: string): Promise<void> {
    const aside = join(this.#refused, `${Date.now()}-${file}`);
    // In this order, so that no event lies there without its reason, even if this process is killed in between.
    await writeFile(`${aside}.reason.txt`, `${reason}\n`);
    await rename(join(this.folder, file), aside);
  }
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import type { Readable } from 'node:stream';
import { type ContentDigest, digestOf } from './content-digest.js';
import { InputError } from './input-error.js';
import { formatOfName, type InputFormat } from './input-format.js';

/** What is imported. */
export interface Input {
  /** For people: the path, or what stands for it. */
  readonly name: string;
  readonly format: InputFormat | undefined;
  /** Undefined where it can be read only once. */
  readonly content: ContentDigest | undefined;
  /** Begins to read it. */
  read(): Readable;
}

/** Standard input, as a path. */
export const STANDARD_INPUT = '-';

/** @throws InputError where there is no such file, or it cannot be read. */
export async function openInput(path: string, stdin: Readable): Promise<Input> {
  if (path === STANDARD_INPUT) {
    return { name: 'standard input', format: undefined, content: undefined, read: () => stdin };
  }
  try {
    // Not opened to see: opening a pipe waits for somebody to write to it.
    if (!(await stat(path)).isFile()) {
      throw new InputError(
        `${path} is not a file. A pipe is imported as standard input, with a journal that is named: provision-cli import - --journal users.journal < ${path}`,
      );
    }
    const content = await digestOf(createReadStream(path));
    return { name: path, format: formatOfName(path), content, read: () => createReadStream(path) };
  } catch (error) {
    if (error instanceof InputError) throw error;
    throw new InputError(`${path} cannot be read (${(error as NodeJS.ErrnoException).code ?? String(error)})`, {
      cause: error,
    });
  }
}

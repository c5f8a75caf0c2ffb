import { readFile } from 'node:fs/promises';
import { parseKeySetDocument } from './key-set-document.js';
import { KeySetError, type KeySource } from './key-source.js';

/** How long a file is taken for unchanged, in milliseconds. */
const LIFETIME_MS = 10_000;

/** Longest key set that is read, in bytes. */
export const MAX_KEY_SET_BYTES = 262_144;

/**
 * Reads a key set from a file: a mounted ConfigMap or Secret, say, which is replaced behind a link, so that its content
 * and not the file system tells whether it has changed.
 */
export function keyFileSource(path: string): KeySource {
  return {
    read: async (signal) => {
      const bytes = await readFile(path, { signal }).catch((cause: unknown) => {
        signal.throwIfAborted();
        throw new KeySetError(`the key set ${path} can't be read (${(cause as NodeJS.ErrnoException).code})`, {
          cause,
        });
      });
      if (bytes.length > MAX_KEY_SET_BYTES) throw new KeySetError(`the key set ${path} is too long`);
      // As an answer is read: without the byte order mark that some editors put in front.
      const document = parseKeySetDocument(new TextDecoder().decode(bytes));
      if (!document.ok) throw new KeySetError(`the file ${path} is no key set (${document.fault})`);
      return { document: document.value, lifetimeMs: LIFETIME_MS };
    },
  };
}

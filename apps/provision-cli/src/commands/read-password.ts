import { isUtf8 } from 'node:buffer';
import type { Readable } from 'node:stream';
import { SettingsError } from '../settings/settings-error.js';

/** Longest input that is taken for a password, in bytes. */
const MAX_BYTES = 4096;

/**
 * Reads a password from standard input: its first line, or all of it.
 *
 * @throws SettingsError
 */
export async function readPassword(stdin: Readable): Promise<string> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of stdin as AsyncIterable<Buffer>) {
    chunks.push(chunk);
    length += chunk.length;
    if (chunk.includes(0x0a)) break;
    if (length > MAX_BYTES) throw new SettingsError([`password: is longer than ${MAX_BYTES} bytes`]);
  }
  const bytes = Buffer.concat(chunks);
  // Editors on Windows put a byte order mark first, and some tools double the carriage return.
  const [line = ''] = bytes
    .toString('utf8')
    .replace(/^\uFEFF/, '')
    .split(/\r*\n|\r+$/, 1);
  if (!isUtf8(bytes) || line === '') throw new SettingsError(['password: standard input has no line of UTF-8 text']);
  return line;
}

import { randomBytes } from 'node:crypto';
import { type FileHandle, open, rename, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { JournalError } from '../errors.js';

/** Readable for the owner alone: the files name people. */
const MODE = 0o600;

/** A file that is only appended to. What was appended survives a power cut. */
export class DurableFile {
  private constructor(private readonly file: FileHandle) {}

  /** Opens the file, or creates it. */
  static async open(path: string): Promise<DurableFile> {
    return new DurableFile(await open(path, 'a', MODE));
  }

  async append(text: string): Promise<void> {
    await this.file.appendFile(text);
    await this.file.datasync();
  }

  close(): Promise<void> {
    return this.file.close();
  }
}

/** Replaces a file, or creates it. After a power cut the new content is there completely or not at all. */
export async function replaceFile(path: string, parts: AsyncIterable<string> | Iterable<string>): Promise<void> {
  const temporary = `${path}.${randomBytes(4).toString('hex')}.tmp`;
  try {
    const file = await open(temporary, 'wx', MODE);
    try {
      for await (const part of parts) await file.appendFile(part);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, path);
    await syncFolder(dirname(path));
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
}

/** Makes the name of a new file durable. Windows cannot, and need not. */
async function syncFolder(path: string): Promise<void> {
  if (process.platform === 'win32') return;
  const folder = await open(path);
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}

/** Codes of the file system for a path that is wrong, or not permitted. */
const WRONG_PATH = new Set(['ENOENT', 'ENOTDIR', 'EISDIR', 'EACCES', 'EPERM', 'EROFS', 'ENAMETOOLONG', 'ELOOP']);

/** Returns a JournalError for an error about the path, and any other error as it is. */
export function errorOfPath(path: string, error: unknown): unknown {
  const { code = '' } = error as NodeJS.ErrnoException;
  if (!WRONG_PATH.has(code)) return error;
  return new JournalError(
    `${path} cannot be written (${code}). Name a journal in an existing folder that you may write to: --journal.`,
    { cause: error },
  );
}

import { randomBytes } from 'node:crypto';
import { type FileHandle, open, rename, rm } from 'node:fs/promises';
import { dirname } from 'node:path';

/** For its owner alone: there are people in it. */
const MODE = 0o600;

/** A file that is only ever appended to. What has been synced is there after a power cut as well. */
export class DurableFile {
  private constructor(private readonly file: FileHandle) {}

  /** Opens it, and makes it where it is not there. */
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

/** Puts a file in the place of whatever is there: afterwards, and after a power cut, it is there whole or not at all. */
export async function replaceFile(path: string, parts: AsyncIterable<string>): Promise<void> {
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

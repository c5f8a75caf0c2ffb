import { readFile, rm, writeFile } from 'node:fs/promises';
import { JournalError } from './journal-error.js';

/**
 * Keeps two processes from writing to one journal at once.
 *
 * The lock of a process that is gone, killed for example, is nobody's.
 *
 * @returns Gives it back.
 * @throws {@link JournalError} where another process has it.
 */
export async function lockJournal(journal: string): Promise<() => Promise<void>> {
  const path = `${journal}.lock`;
  for (let attempt = 0; attempt < 3; attempt++) {
    try {
      await writeFile(path, String(process.pid), { flag: 'wx', mode: 0o600 });
      return () => rm(path, { force: true });
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
      const holder = await holderOf(path);
      if (holder !== undefined) {
        throw new JournalError(
          `Another import is at work on ${journal} (process ${holder}). If it is not, delete ${path}.`,
        );
      }
      await rm(path, { force: true });
    }
  }
  throw new JournalError(`${path} cannot be had. Is another import at work?`);
}

/** The process that has the lock; undefined where it is gone. */
async function holderOf(path: string): Promise<number | undefined> {
  const pid = Number(await readFile(path, 'utf8').catch(() => ''));
  // In a container every first process has the same id: a lock of ours that we do not know of is an earlier one's.
  if (!Number.isSafeInteger(pid) || pid <= 0 || pid === process.pid) return undefined;
  try {
    process.kill(pid, 0);
    return pid;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM' ? pid : undefined;
  }
}

import { readFile, readlink, rm, writeFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { errorOfPath, JournalError } from './journal-error.js';

/**
 * Keeps two processes from writing to one journal at once.
 *
 * The lock of a process that is gone, killed for example, is nobody's. Only where ids of processes mean the same can that
 * be told: from another machine or container, a lock is left alone.
 *
 * @returns Gives it back.
 * @throws {@link JournalError} where another process has it, or it cannot be written.
 */
export async function lockJournal(journal: string): Promise<() => Promise<void>> {
  const path = `${journal}.lock`;
  const here = await placeOfProcesses();
  for (let attempt = 0; attempt < 3; attempt++) {
    try {
      await writeFile(path, `${process.pid} ${here}`, { flag: 'wx', mode: 0o600 });
      return () => rm(path, { force: true });
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw errorOfPath(path, error);
      const holder = await holderOf(path, here);
      if (holder !== undefined) {
        throw new JournalError(`Another import is at work on ${journal} (${holder}). If it is not, delete ${path}.`);
      }
      await rm(path, { force: true });
    }
  }
  throw new JournalError(`${path} cannot be had. Is another import at work?`);
}

/** Who has the lock; undefined where that is nobody any more. */
async function holderOf(path: string, here: string): Promise<string | undefined> {
  const text = await readFile(path, 'utf8').catch(() => undefined);
  if (text === undefined) return undefined;
  const [, id = '', place = ''] = /^(\d+) (.+)$/.exec(text) ?? [];
  if (place !== here) {
    const where = place === '' ? 'a process that it does not name' : `process ${id} of ${place}`;
    return `${where}, of which nobody can tell from here whether it is gone`;
  }
  const pid = Number(id);
  // A lock of ours that we do not know of is that of an earlier process with the same id.
  return pid !== process.pid && isRunning(pid) ? `process ${pid}` : undefined;
}

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

/** Where the id of a process means this very process: a machine, and in it a namespace of processes, as containers have. */
async function placeOfProcesses(): Promise<string> {
  const namespace = await readlink('/proc/self/ns/pid').catch(() => '');
  return [hostname(), namespace].filter((part) => part !== '').join(' ');
}

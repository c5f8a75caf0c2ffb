import { readFile, readlink, rm, writeFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { JournalError } from '../errors.js';
import { errorOfPath } from './durable-file.js';

/**
 * Locks a journal, so that two processes cannot write to it at once.
 *
 * Takes over the lock of a process that has ended, killed for example. A lock of another machine or container is left
 * alone: its process id means another process here.
 *
 * @returns Releases the lock.
 * @throws JournalError if another process holds the lock, or it cannot be written.
 */
export async function lockJournal(journal: string): Promise<() => Promise<void>> {
  const path = `${journal}.lock`;
  const here = await processScope();
  for (let attempt = 0; attempt < 3; attempt++) {
    try {
      await writeFile(path, `${process.pid} ${here}`, { flag: 'wx', mode: 0o600 });
      return () => rm(path, { force: true });
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw errorOfPath(path, error);
      const holder = await holderOf(path, here);
      if (holder !== undefined) {
        throw new JournalError(`Another import uses ${journal} (${holder}). If it has ended, delete ${path}.`);
      }
      await rm(path, { force: true });
    }
  }
  throw new JournalError(`${path} cannot be locked: other imports take the lock again and again.`);
}

/** Returns the holder of the lock; undefined if that process has ended. */
async function holderOf(path: string, here: string): Promise<string | undefined> {
  const text = await readFile(path, 'utf8').catch(() => undefined);
  if (text === undefined) return undefined;
  const [, id = '', place = ''] = /^(\d+) (.+)$/.exec(text) ?? [];
  if (place !== here) {
    const where = place === '' ? 'an unknown process' : `process ${id} of ${place}`;
    return `${where}, which cannot be checked from here`;
  }
  const pid = Number(id);
  // A lock with the id of this process is from an earlier process with the same id.
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

/** Names the scope of process ids: the machine, and within it the PID namespace of a container. */
async function processScope(): Promise<string> {
  const namespace = await readlink('/proc/self/ns/pid').catch(() => '');
  return [hostname(), namespace].filter((part) => part !== '').join(' ');
}

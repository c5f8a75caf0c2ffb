import { randomInt } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { CommandProcess } from './command-process.js';

/** The service that a test imports into: the stand-in or the real one. */
export interface ImportTarget {
  /** Settings for that service: PROVISION_SERVICE_URL, PROVISION_TENANT_URL … */
  readonly environment: Readonly<Record<string, string>>;
  /** Returns how often each name was created. */
  made(): Promise<ReadonlyMap<string, number>> | ReadonlyMap<string, number>;
}

/** Writes a CSV file of users `<prefix>-1` to `<prefix>-<count>`. */
export async function writeUsers(path: string, prefix: string, count: number): Promise<string[]> {
  const names = Array.from({ length: count }, (_, i) => `${prefix}-${i + 1}`);
  const lines = names.map((name, i) => `${name},${name}@example.org,"User ""${i + 1}""\r\nof ${prefix}"`);
  await writeFile(path, ['name,mail,displayName', ...lines, ''].join('\r\n'));
  return names;
}

export interface KilledImport {
  readonly exitCode: number | NodeJS.Signals;
  /** Runs that were killed before they were done. */
  readonly kills: number;
  readonly stdout: string;
  readonly stderr: string;
  /** Names without a user. */
  readonly lost: readonly string[];
  /** Names with more than one user. */
  readonly doubled: readonly string[];
  readonly total: number;
}

/**
 * Imports a file in runs that are killed (SIGKILL) at a random time, and a last one that is not.
 *
 * @param betweenMs Range of the time between the first user of a run and its kill.
 */
export async function importWithKills(
  target: ImportTarget,
  path: string,
  names: readonly string[],
  kills: number,
  betweenMs: readonly [number, number],
): Promise<KilledImport> {
  let killed = 0;
  for (let i = 0; i < kills; i++) {
    const before = total(await target.made());
    const run = new CommandProcess(['import', path], target.environment);
    const ended = run.ended.then(() => true);
    while (total(await target.made()) === before) {
      if (await Promise.race([ended, sleep(10).then(() => false)])) break;
    }
    await sleep(randomInt(...betweenMs));
    run.kill('SIGKILL');
    if ((await run.ended) === 'SIGKILL') killed++;
  }
  const last = new CommandProcess(['import', path], target.environment);
  const exitCode = await last.ended;
  const made = await target.made();
  return {
    exitCode,
    kills: killed,
    stdout: last.stdout,
    stderr: last.stderr,
    lost: names.filter((name) => !made.has(name)),
    doubled: names.filter((name) => (made.get(name) ?? 0) > 1),
    total: total(made),
  };
}

function total(made: ReadonlyMap<string, number>): number {
  return [...made.values()].reduce((sum, times) => sum + times, 0);
}

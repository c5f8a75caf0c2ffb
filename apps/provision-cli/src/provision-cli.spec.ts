import { createWriteStream, existsSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it, jest } from '@jest/globals';
import { CommandProcess } from './testing/command-process.js';
import { importWithKills, writeUsers } from './testing/import-scenarios.js';
import { Lab } from './testing/lab.js';

// Most of it is waiting, but processes take their time to begin on a machine that is busy.
jest.setTimeout(120_000);

const lab = Lab.use();

describe('a process', () => {
  it('that is killed three times at random resumes without losing or doubling a user', async () => {
    const path = join(lab.folder, 'users.csv');
    const names = await writeUsers(path, 'killed', 1200);
    lab.service.faults.delayMs = 1;
    const result = await importWithKills(lab.target, path, names, 3, [0, 150]);
    expect(result).toMatchObject({ exitCode: 0, lost: [], doubled: [], total: 1200, kills: 3 });
    expect(result.stdout).toContain('1,200 users created, 0 lines rejected.');
  });

  it('finishes the batches under way at the first Ctrl-C, and can be resumed', async () => {
    const path = join(lab.folder, 'users.csv');
    const names = await writeUsers(path, 'interrupted', 1000);
    lab.service.faults.delayMs = 2;
    const first = new CommandProcess(['import', path], lab.environment());
    while (lab.service.made.size < 150) await sleep(10);
    first.kill('SIGINT');
    expect(await first.ended).toBe(130);
    expect(first.stderr).toContain('Finishing the batches under way');
    expect(first.stdout).toContain('Run the same command again to resume.');
    expect(existsSync(`${path}.journal.lock`)).toBe(false);
    const made = lab.service.made.size;
    expect(first.stdout).toContain(`${made} users created`);
    lab.service.faults = {};
    expect((await lab.command(['import', path])).exitCode).toBe(0);
    expect(lab.service.replays).toBe(0);
    expect([lab.service.made.size, lab.service.doubled]).toEqual([names.length, []]);
  });

  it('locks its journal, and ends at once at the second Ctrl-C', async () => {
    const path = join(lab.folder, 'users.csv');
    await writeUsers(path, 'hanging', 100);
    lab.service.faults.hang = true;
    const child = new CommandProcess(['import', path], lab.environment());
    while (lab.service.authorizations.size === 0) await sleep(10);
    const second = await lab.command(['import', path]);
    expect([second.exitCode, second.stderr]).toEqual([2, expect.stringContaining(`process ${child.process.pid}`)]);
    child.kill('SIGINT');
    while (!child.stderr.includes('again to end at once')) await sleep(10);
    child.kill('SIGINT');
    expect(await child.ended).toBe(130);
    // The lock of a process that has ended is taken over.
    lab.service.faults = {};
    expect((await lab.command(['import', path])).exitCode).toBe(0);
  });

  it('stops after the batches under way if its reader closes the pipe', async () => {
    const path = join(lab.folder, 'users.csv');
    await writeUsers(path, 'piped', 3000);
    const child = new CommandProcess(['import', path, '--json'], lab.environment());
    child.process.stdout!.once('data', () => child.process.stdout!.destroy());
    expect(await child.ended).toBe(141);
    expect(child.stderr).toBe('');
    expect(lab.service.made.size).toBeLessThan(3000);
    expect((await lab.command(['import', path])).exitCode).toBe(0);
    expect([lab.service.made.size, lab.service.doubled]).toEqual([3000, []]);
  });
});

(existsSync('/dev/full') ? describe : describe.skip)('an output that cannot be written', () => {
  it('does not end with exit code 0', async () => {
    const path = await lab.file('users.csv', 'name,mail\nmary,mary@example.org\n');
    await lab.command(['import', path]);
    const full = await open('/dev/full', 'w');
    const child = new CommandProcess(['import', path], lab.environment(), full.fd);
    const results = [{ args: 'a process', exitCode: await child.ended, stderr: child.stderr }];
    await full.close();
    for (const args of [['import', path, '--dry-run'], ['import', path, '--json'], ['get', 'mary'], ['whoami']]) {
      results.push({ args: args.join(' '), ...(await lab.command(args, { stdout: createWriteStream('/dev/full') })) });
    }
    for (const { args, exitCode, stderr } of results) {
      expect([args, exitCode]).toEqual([args, 5]);
      expect(stderr).toContain('The output cannot be written: ENOSPC');
      expect(stderr).not.toMatch(/\n +at /);
    }
  });
});

// Measures an import against the stand-in: users per second, CPU time and peak memory of the process (Linux).
//
//   node apps/provision-cli/dist/testing/measure-import.js 200000

import { createWriteStream } from 'node:fs';
import { mkdtemp, readFile, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { startTenant } from '@nestjs-identity-m2m/tenant-emulator';
import { CommandProcess } from './command-process.js';
import { StandInService } from './stand-in-service.js';

const count = Number(process.argv[2] ?? 200_000);
const folder = await mkdtemp(join(tmpdir(), 'measure-import-'));
const [tenant, service] = await Promise.all([startTenant(), StandInService.start()]);
try {
  const path = join(folder, 'users.csv');
  await pipeline(Readable.from(csv()), createWriteStream(path));
  const environment = {
    PROVISION_TENANT_URL: tenant.url,
    PROVISION_SERVICE_URL: service.url,
    NODE_OPTIONS: process.env.CLIENT_NODE_OPTIONS ?? '',
  };
  const secrets = { PROVISION_CLIENT_ID: 'svc-cli@acme.example', PROVISION_CLIENT_SECRET: 'dev-only-cli' };
  for (const run of ['all lines', 'all lines done already']) {
    const begun = performance.now();
    const child = new CommandProcess(['import', path], { ...environment, ...secrets });
    const peak = { rssMb: 0, cpuSeconds: 0, at: [] as number[] };
    const ended = child.ended.then((exitCode) => ({ exitCode }));
    let end: Awaited<typeof ended> | void;
    do {
      await sample(child.process.pid!, peak);
      end = await Promise.race([ended, sleep(250)]);
    } while (!end);
    const seconds = (performance.now() - begun) / 1000;
    console.log(run, {
      exitCode: end.exitCode,
      seconds: seconds.toFixed(1),
      linesPerSecond: Math.round(count / seconds),
      ...peak,
      made: service.made.size,
      doubled: service.doubled.length,
      journalMb: ((await stat(`${path}.journal`)).size / 1e6).toFixed(1),
      inputMb: ((await stat(path)).size / 1e6).toFixed(1),
    });
  }
} finally {
  await Promise.all([tenant.close(), service.down(), rm(folder, { recursive: true })]);
}

function* csv(): Generator<string> {
  yield 'name,mail,displayName,password\n';
  for (let i = 1; i <= count; i++) yield `user-${i},user-${i}@example.org,"User ""${i}"" of many",S3cret-${i}\n`;
}

async function sample(pid: number, peak: { rssMb: number; cpuSeconds: number; at: number[] }): Promise<void> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8').catch(() => '');
  const times = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '');
  const [highest, now] = [/VmHWM:\s+(\d+)/.exec(status)?.[1], /VmRSS:\s+(\d+)/.exec(status)?.[1]];
  if (!highest || !now) return;
  peak.rssMb = Math.round(Number(highest) / 1024);
  peak.at.push(Math.round(Number(now) / 1024));
  const [user, system] = times.split(') ')[1]!.split(' ').slice(11, 13).map(Number);
  peak.cpuSeconds = (user! + system!) / 100;
}

// Runs the service with its data folder on a disk that fills up for real, and imports users into it meanwhile: before,
// while it is full, and after there is room again. Then kills it, starts it again, and sends everything once more.
//
//   node test/durability/full-disk.mjs      needs to be root (it mounts a small tmpfs), and a build: npm run build

import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { startTenant } from '../../apps/tenant-emulator/dist/index.js';

const SERVICE = fileURLToPath(new URL('../../apps/user-provisioning/dist/main.js', import.meta.url));
const disk = mkdtempSync(join(tmpdir(), 'full-disk-'));
execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=2m', 'tmpfs', disk]);
process.once('exit', () => {
  execFileSync('umount', [disk]);
  rmSync(disk, { recursive: true });
});

const tenant = await startTenant();
const token = await tokenOf('svc-cli@acme.example', 'dev-only-cli');
let service;
let url;

async function tokenOf(client, secret) {
  const response = await fetch(`${tenant.url}/oauth2/token/internal-api`, {
    method: 'POST',
    headers: { authorization: `Basic ${Buffer.from(`${client}:${secret}`).toString('base64')}` },
    body: new URLSearchParams({ grant_type: 'client_credentials' }),
  });
  return (await response.json()).access_token;
}

async function startService() {
  service = spawn(process.execPath, [SERVICE], {
    env: {
      PATH: process.env.PATH,
      PORT: '0',
      TENANT_URL: tenant.url,
      TENANT_CLIENT_ID: 'svc-provisioning@acme.example',
      TENANT_CLIENT_SECRET: 'dev-only: provisioning p+ss/wörd%21',
      ALLOWED_CLIENTS: 'svc-cli@acme.example',
      DATA_DIR: join(disk, 'data'),
    },
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
  });
  [{ url }] = await once(service, 'message');
}

async function create(i) {
  const name = `user-${i}`;
  const response = await fetch(`${url}/users`, {
    method: 'POST',
    headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json', 'idempotency-key': `key-${i}` },
    body: JSON.stringify({ name, mail: `${name}@example.org` }),
  });
  return { status: response.status, ...(await response.json()) };
}

const ids = new Map();
const counts = {};
let next = 0;

const WAVE = 8;

/** Sends so many new users, some at a time, and counts the answers. */
async function send(phase, count) {
  const tally = (counts[phase] = {});
  for (let sent = 0; sent < count; sent += WAVE) {
    const wave = Array.from({ length: WAVE }, () => next++);
    const answers = await Promise.all(wave.map(create));
    for (const [i, { status, error, id }] of answers.entries()) {
      const outcome = `${status}${error ? ` ${error}` : ''}`;
      tally[outcome] = (tally[outcome] ?? 0) + 1;
      if (status === 201) ids.set(wave[i], id);
    }
  }
}

await startService();
await send('with room', 400);
// All the room that there is, to the last byte.
try {
  writeFileSync(join(disk, 'filler'), Buffer.alloc(4 * 1024 * 1024));
} catch (error) {
  if (error.code !== 'ENOSPC') throw error;
}
await send('full', 400);
rmSync(join(disk, 'filler'));
await pause(100);
await send('with room again', 400);
service.kill('SIGKILL');
await once(service, 'close');
await startService();
tenant.resetStatistics();
let same = 0;
const acknowledged = [...ids];
for (const [i, id] of acknowledged) if ((await create(i)).id === id) same++;
console.table(counts);
console.log(`Acknowledged before the end of the process: ${acknowledged.length}. Answered the same after it: ${same}.`);
console.log(
  `Users made for these answers: ${tenant.statistics().apiOutcomes['/cdirectoryservice/createuser']?.success ?? 0}.`,
);
const doubled = tenant.statistics().apiOutcomes['/cdirectoryservice/createuser']?.success ?? 0;
service.kill();
await tenant.close();
process.exitCode = same === acknowledged.length && doubled === 0 ? 0 : 1;

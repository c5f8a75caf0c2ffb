// 100,000 users through the whole sample: the command line client, the service, and the tenant's emulator.
import { once } from 'node:events';
import { createWriteStream } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { setTimeout as pause } from 'node:timers/promises';
import { Pool } from 'undici';
import { startProvisionCli } from '../../../scripts/sample/provision-cli.mjs';
import { secretOf } from '../../../scripts/sample/development-secrets.mjs';
import { SampleSystem } from '../../../scripts/sample/sample-system.mjs';
import { startService } from '../../../scripts/sample/services.mjs';

const USERS = 100_000;
const KILLS = 5;
const OUTAGE_MS = 30_000;
/** Concurrent calls if the emulator is called without a service between: as many as the service makes. */
const CALLS_AT_ONCE = 16;
const CREATE_USER = '/CDirectoryService/CreateUser';
const USER_NAME = /^import-\d+$/;

export const title = `An import of ${USERS.toLocaleString('en')} users, with CPU time and peak memory of each process (Linux)`;
export const rounds = 1;
export const timeoutMs = 1_800_000;
export const columns = {
  seconds: ({ seconds }) => seconds,
  'users/s': ({ seconds }) => Math.round(USERS / seconds),
  'client, CPU s': ({ client }) => client.cpuSeconds,
  'service, CPU s': ({ service }) => service.cpuSeconds,
  'tenant, CPU s': ({ tenant }) => tenant.cpuSeconds,
  'client, MiB': ({ client }) => client.peakMiB,
  'service, MiB': ({ service }) => service.peakMiB,
  'tenant, MiB': ({ tenant }) => tenant.peakMiB,
  made: ({ made }) => made,
  doubled: ({ doubled }) => doubled,
  lost: ({ lost }) => lost,
};

/** What happens to the import, by contender. Each ends when the last user is made. */
const runs = {
  'nothing happens': ({ importUsers }) => importUsers(),
  [`the client is killed ${KILLS} times`]: async ({ importUsers, madeSoFar }) => {
    for (let kills = 1; kills <= KILLS; kills += 1) {
      // At a point in each part of the import.
      const target = (USERS * (kills - Math.random())) / (KILLS + 1);
      await importUsers(async (client) => {
        while (client.exitCode === null && (await madeSoFar()) < target) await pause(100);
        client.kill('SIGKILL');
      });
    }
    await importUsers();
  },
  [`the tenant is away for ${OUTAGE_MS / 1000} s`]: ({ importUsers, madeSoFar, takeAway }) =>
    importUsers(async (client) => {
      while (client.exitCode === null && (await madeSoFar()) < USERS / 4) await pause(100);
      await takeAway();
    }),
  'the tenant alone': ({ callTenant }) => callTenant(),
};
export const contenders = Object.keys(runs);

export async function measure({ contender }) {
  const system = new SampleSystem(() => {});
  try {
    const addresses = await startService(system);
    const pidOf = (service) => system.processes.find(({ name }) => name === service).pid;
    const path = join(system.folder, 'users.csv');
    await pipeline(Readable.from(csv()), createWriteStream(path));
    const client = { cpuSeconds: 0, peakMiB: 0 };
    const admin = async (resource, body) => {
      const response = await fetch(
        `${addresses.adminUrl}/${resource}`,
        body && { method: 'POST', body: JSON.stringify(body) },
      );
      if (!response.ok) throw new Error(`${resource} returned HTTP ${response.status}: ${await response.text()}`);
      return response.json();
    };
    const begun = performance.now();
    await runs[contender]({
      importUsers: (meanwhile) => importUsers(path, addresses, client, meanwhile),
      madeSoFar: async () => (await admin('statistics')).apiOutcomes[CREATE_USER.toLowerCase()]?.success ?? 0,
      takeAway: () =>
        Promise.all(
          ['token', 'keys', 'api'].map((part) => admin('faults/outage', { part, outage: 'refuse', forMs: OUTAGE_MS })),
        ),
      callTenant: () => callTenant(addresses.tenantUrl),
    });
    const seconds = (performance.now() - begun) / 1000;
    return {
      seconds,
      client,
      service: await resources(pidOf('user-provisioning')),
      tenant: await resources(pidOf('tenant')),
      ...countUsers(await allUsers(admin)),
    };
  } finally {
    await system.stop();
  }
}

function* csv() {
  yield 'name,mail,displayName\n';
  for (const { name, mail, displayName } of users()) yield `${name},${mail},${displayName}\n`;
}

function* users() {
  for (let i = 1; i <= USERS; i += 1) {
    yield { name: `import-${i}`, mail: `import-${i}@example.org`, displayName: `User ${i}` };
  }
}

/** Runs the client once: to its end, or until it is killed. */
async function importUsers(path, addresses, total, meanwhile) {
  const client = startProvisionCli(['import', path], addresses, { stdio: ['ignore', 'ignore', 'pipe'] });
  let complaints = '';
  client.stderr.setEncoding('utf8').on('data', (text) => (complaints = (complaints + text).slice(-2000)));
  const closed = once(client, 'close');
  let last = { cpuSeconds: 0, peakMiB: 0 };
  const looking = setInterval(() => {
    resources(client.pid).then(
      (now) => (last = now),
      () => {}, // it has ended
    );
  }, 100);
  const [[code, signal]] = await Promise.all([closed, meanwhile?.(client)]);
  clearInterval(looking);
  total.cpuSeconds += last.cpuSeconds;
  total.peakMiB = Math.max(total.peakMiB, last.peakMiB);
  if (code !== 0 && signal !== 'SIGKILL') throw new Error(`The client ended with ${code ?? signal}.\n${complaints}`);
}

/** The same users without a client and a service between. */
async function callTenant(tenantUrl) {
  const tenant = new Pool(tenantUrl, { connections: CALLS_AT_ONCE });
  const name = 'svc-provisioning@acme.example';
  const basic = Buffer.from(`${name}:${secretOf(name)}`).toString('base64');
  const post = async (path, headers, body) => {
    const answer = await tenant.request({ method: 'POST', path, headers, body });
    return answer.body.json();
  };
  const { access_token: token } = await post(
    '/oauth2/token/provisioning',
    { authorization: `Basic ${basic}`, 'content-type': 'application/x-www-form-urlencoded' },
    'grant_type=client_credentials&scope=users',
  );
  const headers = {
    authorization: `Bearer ${token}`,
    'content-type': 'application/json',
    'x-idap-native-client': 'true',
  };
  const left = users();
  const work = async () => {
    for (const { name: Name, mail: Mail, displayName: DisplayName } of left) {
      const answer = await post(CREATE_USER, headers, JSON.stringify({ Name, Mail, DisplayName }));
      if (!answer.success) throw new Error(`The tenant created no user: ${JSON.stringify(answer)}`);
    }
  };
  await Promise.all(Array.from({ length: CALLS_AT_ONCE }, work));
  await tenant.close();
}

async function allUsers(admin) {
  const names = [];
  for (let offset = 0; ; offset += 1000) {
    const { users: page } = await admin(`users?limit=1000&offset=${offset}`);
    if (page.length === 0) return names;
    names.push(...page.map(({ name }) => name.split('@')[0]));
  }
}

function countUsers(names) {
  const imported = names.filter((name) => USER_NAME.test(name));
  const made = new Set(imported).size;
  return { made, doubled: imported.length - made, lost: USERS - made };
}

/** CPU time and peak memory of a process. */
async function resources(pid) {
  const [status, stat] = await Promise.all(['status', 'stat'].map((file) => readFile(`/proc/${pid}/${file}`, 'utf8')));
  const [user, system] = stat.split(') ')[1].split(' ').slice(11, 13).map(Number);
  return { cpuSeconds: (user + system) / 100, peakMiB: Math.round(Number(/VmHWM:\s+(\d+)/.exec(status)[1]) / 1024) };
}

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, describe, expect, it, jest, test } from '@jest/globals';
import { type RunningTenant, startTenant } from '@nestjs-identity-m2m/tenant-emulator';
import { CommandProcess } from '../apps/provision-cli/src/testing/command-process.js';
import { importWithKills, type ImportTarget, writeUsers } from '../apps/provision-cli/src/testing/import-scenarios.js';
import { serviceEnvironment, usersByName } from '../apps/user-provisioning/src/testing/sample-tenant.js';
import { freePort } from './support/guarded-messages.js';
import { RunningApp } from './support/running-app.js';

// Most of it is waiting, but processes take their time to begin on a machine that is busy.
jest.setTimeout(120_000);

const CREATE_USER = '/cdirectoryservice/createuser';
const folder = mkdtempSync(join(tmpdir(), 'command-line-to-service-'));
let tenant: RunningTenant;
let servicePort: number;
let service: RunningApp;

beforeAll(async () => {
  tenant = await startTenant();
  servicePort = await freePort();
  service = await startService();
});
afterEach(() => {
  tenant.switches.reset();
  tenant.resetStatistics();
});
afterAll(async () => {
  await service.kill();
  await tenant.close();
  rmSync(folder, { recursive: true });
});

async function startService(): Promise<RunningApp> {
  const { app } = await RunningApp.start('user-provisioning', {
    ...serviceEnvironment(tenant),
    ALLOWED_CLIENTS: 'svc-cli@acme.example,svc-reporting@acme.example',
    PORT: String(servicePort),
    DATA_DIR: join(folder, 'idempotency'),
  });
  return app;
}

const environment = (more: Record<string, string> = {}) => ({
  PROVISION_TENANT_URL: tenant.url,
  PROVISION_SERVICE_URL: `http://127.0.0.1:${servicePort}`,
  PROVISION_CLIENT_ID: 'svc-cli@acme.example',
  PROVISION_CLIENT_SECRET: 'dev-only-cli',
  ...more,
});
const as = (client: string) => ({
  PROVISION_CLIENT_ID: `svc-${client}@acme.example`,
  PROVISION_CLIENT_SECRET: `dev-only-${client}`,
});

/** Runs a command to its end. */
async function provisionCli(args: readonly string[], more: Record<string, string> = {}) {
  const command = new CommandProcess(args, environment(more));
  const exitCode = await command.ended;
  // Whatever happens, nobody who looks on learns a token or a secret.
  expect(command.stdout + command.stderr).not.toMatch(/eyJ|dev-only/);
  return { exitCode, stdout: command.stdout, stderr: command.stderr };
}

const usersNamed = (prefix: string) => [...usersByName(tenant)].filter(([name]) => name.startsWith(`${prefix}-`));

const target = (prefix: string): ImportTarget => ({
  environment: environment(),
  made: () => new Map(usersNamed(prefix).map(([name, ids]) => [name, ids.length])),
});

describe('an import', () => {
  it('that is killed at random and resumed creates each user once', async () => {
    const path = join(folder, 'killed.csv');
    const names = await writeUsers(path, 'killed', 600);
    tenant.switches.change({ faults: { api: { slowMs: 50 } } });
    const result = await importWithKills(target('killed'), path, names, 2, [20, 600]);
    expect(result).toMatchObject({ exitCode: 0, kills: 2, lost: [], doubled: [], total: 600 });
    expect(result.stdout).toContain(' 0 lines rejected.');
    // Names are unique at the tenant: a user who is asked for twice would be refused there.
    expect(tenant.statistics().apiOutcomes[CREATE_USER]).toEqual({ success: 600 });
  });

  it('continues by itself when tokens are revoked early, and when the service is killed and restarted', async () => {
    const path = join(folder, 'service-killed.csv');
    const names = await writeUsers(path, 'orphaned', 300);
    tenant.switches.change({ faults: { api: { slowMs: 50 } } });
    const command = new CommandProcess(['import', path], environment());
    const made = async (count: number) => {
      while (usersNamed('orphaned').length < count) await sleep(10);
    };
    const tokensIssued = () => tenant.statistics().tokenRequests['svc-provisioning@acme.example']?.['issued'] ?? 0;
    await made(50);
    const before = tokensIssued();
    tenant.revokeSessions();
    await made(100);
    expect(tokensIssued()).toBe(before + 1);
    await service.kill();
    expect(usersNamed('orphaned').length).toBeLessThan(300);
    service = await startService();
    expect(await command.ended).toBe(0);
    expect(command.stderr).toMatch(/Paused for/);
    expect(usersNamed('orphaned').map(([name]) => name)).toHaveLength(names.length);
    expect(tenant.statistics().apiOutcomes[CREATE_USER]).toMatchObject({ success: 300 });
  });
});

describe('rejected lines', () => {
  it('in-G39: are sent again by --retry-rejected, although the service remembers a rejection under its key', async () => {
    const taken = ['create', '--name', 'retried-1', '--mail', 'retried-1@example.org'];
    expect(await provisionCli(taken)).toMatchObject({ exitCode: 0 });
    const path = join(folder, 'retried.csv');
    await writeUsers(path, 'retried', 3);
    const first = await provisionCli(['import', path]);
    expect([first.exitCode, first.stdout]).toEqual([1, expect.stringContaining('2 users created, 2 lines rejected.')]);
    expect(first.stderr).toMatch(/Lines 2 to 3: rejected \(duplicate\): .*<name>/);
    expect(await provisionCli(['delete', 'retried-1'])).toMatchObject({ exitCode: 0 });
    const retried = await provisionCli(['import', path, '--retry-rejected']);
    expect(retried).toMatchObject({ exitCode: 0, stdout: '3 users created, 0 lines rejected.\n' });
    expect(usersNamed('retried').map(([, ids]) => ids.length)).toEqual([1, 1, 1]);
  });
});

describe('a single call', () => {
  it('shows who calls, and shows and deletes users', async () => {
    const [whoami, found] = await Promise.all([
      provisionCli(['whoami', '--json']),
      provisionCli(['get', 'svc-hr', '--json']),
    ]);
    const shown = JSON.parse(whoami.stdout) as { token: string };
    expect(shown).toMatchObject({ client: 'svc-cli@acme.example', scope: 'users.read users.write', accepted: true });
    // The service knows the token by the same name.
    expect(service.output).toContain(`client=svc-cli@acme.example token=${shown.token}`);
    expect([found.exitCode, JSON.parse(found.stdout)]).toMatchObject([0, { name: 'svc-hr@acme.example' }]);
    const refused = await provisionCli(['delete', 'svc-hr']);
    expect([refused.exitCode, refused.stderr]).toEqual([1, expect.stringContaining('svc-hr is a service user')]);
    const person = ['create', '--name', 'leaver', '--mail', 'leaver@example.org'];
    expect(await provisionCli(person)).toMatchObject({ exitCode: 0 });
    expect(await provisionCli(['delete', 'leaver'])).toMatchObject({ exitCode: 0 });
    const gone = await provisionCli(['get', 'leaver']);
    expect([gone.exitCode, gone.stderr]).toEqual([1, expect.stringContaining('There is no user named leaver')]);
  });

  const someUser = ['create', '--name', 'nobody', '--mail', 'nobody@example.org'];
  test.each<[string, Record<string, string>, readonly string[], number, RegExp]>([
    ['a client that the service does not name', as('intruder'), ['whoami'], 3, /HTTP 403/],
    ['a client that may read alone, and wants to write', as('reporting'), someUser, 3, /users\.write|scope/],
    [
      'a service that is not there',
      { PROVISION_SERVICE_URL: 'http://127.0.0.1:9' },
      ['delete', 'x'],
      4,
      /ECONNREFUSED/,
    ],
  ])('ends with its exit code for %s', async (_name, more, args, exitCode, complaint) => {
    expect(await provisionCli(args, more)).toEqual({ exitCode, stdout: '', stderr: expect.stringMatching(complaint) });
  });
});

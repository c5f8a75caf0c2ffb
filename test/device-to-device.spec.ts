import { generateKeyPairSync } from 'node:crypto';
import { chmod, mkdir, mkdtemp, readFile, rm, stat, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import type { INestApplication } from '@nestjs/common';
import { Test } from '@nestjs/testing';
import { type RunningTenant, startTenant } from '@nestjs-identity-m2m/tenant-emulator';
import { TokenProvider } from 'nestjs-identity-m2m';
import { deviceKey, KeyFileError } from '../apps/device/src/device-key.js';
import { DeviceModule } from '../apps/device/src/device.module.js';
import { readSettings } from '../apps/device/src/settings.js';
import { freePort } from './support/guarded-messages.js';
import { json, TestServer } from './support/http-server.js';
import { RunningApp } from './support/running-app.js';

const SECRETS: Readonly<Record<string, string>> = {
  'device-north': 'dev-only-device-north',
  intruder: 'dev-only-intruder',
};

let tenant: RunningTenant;
let folder: string;
let timeShiftMs = 0;
const closing: (() => Promise<unknown>)[] = [];

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'device-'));
  tenant = await startTenant({ now: () => Date.now() + timeShiftMs });
});
afterEach(async () => {
  timeShiftMs = 0;
  tenant.switches.reset();
  await Promise.all(closing.splice(0).map((close) => close()));
});
afterAll(async () => {
  await tenant.close();
  await rm(folder, { recursive: true, maxRetries: 3 });
});

interface Ports {
  readonly north: number;
  readonly south: number;
}

function north({ north, south }: Ports): Record<string, string> {
  return {
    NAME: 'north',
    PORT: String(north),
    TENANT_URL: tenant.url,
    API_APPLICATION_ID: 'device-north',
    API_AUDIENCE: 'device-north',
    ALLOWED_CLIENTS: 'svc-device-south@acme.example',
    CLIENT_ID: 'svc-device-north@acme.example',
    CLIENT_SECRET: SECRETS['device-north']!,
    NEIGHBOUR_URL: `http://127.0.0.1:${south}`,
    NEIGHBOUR_APPLICATION_ID: 'device-south',
    ASK_EVERY_MS: '100',
  };
}

function south({ north, south }: Ports, keyFile: string): Record<string, string> {
  return {
    NAME: 'south',
    PORT: String(south),
    TENANT_URL: tenant.url,
    API_APPLICATION_ID: 'device-south',
    API_AUDIENCE: 'device-south',
    ALLOWED_CLIENTS: 'svc-device-north@acme.example',
    CLIENT_ID: 'svc-device-south@acme.example',
    KEY_FILE: join(folder, keyFile),
    NEIGHBOUR_URL: `http://127.0.0.1:${north}`,
    NEIGHBOUR_APPLICATION_ID: 'device-north',
    ASK_EVERY_MS: '100',
  };
}

async function ports(): Promise<Ports> {
  const [north, south] = await Promise.all([freePort(), freePort()]);
  return { north, south };
}

async function start(environment: Record<string, string>) {
  const running = await RunningApp.start('device', environment);
  closing.push(() => running.app.kill());
  return running;
}

/** What the operator does with the public key. */
async function register(jwks: unknown): Promise<void> {
  const response = await fetch(`${tenant.adminUrl}/clients/svc-device-south@acme.example/jwks`, {
    method: 'PUT',
    body: JSON.stringify(jwks),
  });
  expect(response.status).toBe(200);
}

async function written(app: RunningApp, text: RegExp): Promise<RegExpExecArray> {
  const end = performance.now() + 20_000;
  for (;;) {
    const found = text.exec(app.output);
    if (found) return found;
    if (performance.now() > end) throw new Error(`${text} was not written:\n${app.output}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

describe('two devices', () => {
  it('call each other, one with a secret and one with a key, each with its own token', async () => {
    const both = await ports();
    const southern = await start({ ...south(both, 'first-key.pem'), ASK_EVERY_MS: '500' });
    await register(southern.ready.jwks);
    const northern = await start(north(both));
    const [, tokenOfSouth] = await written(southern.app, /neighbour http\S+: north is up since \S+ token=(\w{12})/);
    const [, tokenOfNorth] = await written(northern.app, /neighbour http\S+: south is up since \S+ token=(\w{12})/);
    await written(northern.app, new RegExp(`GET /state client=svc-device-south@acme.example token=${tokenOfSouth}`));
    await written(southern.app, new RegExp(`GET /state client=svc-device-north@acme.example token=${tokenOfNorth}`));
    expect(tokenOfSouth).not.toBe(tokenOfNorth);
    expect(southern.app.output + northern.app.output).not.toMatch(/eyJ|dev-only|PRIVATE/);
  }, 60_000);

  it('create a key at the first start, readable only by its owner, and keep using it', async () => {
    const both = await ports();
    const first = await start(south(both, 'kept-key.pem'));
    await written(first.app, /created the key \S+; register its public half: \S+kept-key\.pem\.public\.json/);
    const file = join(folder, 'kept-key.pem');
    expect((await stat(file)).mode & 0o777).toBe(0o600);
    const handedOver = JSON.parse(await readFile(`${file}.public.json`, 'utf8')) as { keys: object[] };
    expect(handedOver).toEqual(first.ready.jwks);
    expect(Object.keys(handedOver.keys[0]!)).not.toContain('d');
    await first.app.kill();
    const second = await start(south(both, 'kept-key.pem'));
    expect(second.ready.jwks).toEqual(first.ready.jwks);
    expect(second.app.output).not.toMatch(/created the key/);
  }, 60_000);

  it('get no token with an unregistered key, and the log has the reason', async () => {
    const both = await ports();
    await start(north(both));
    const other = await deviceKey(join(folder, 'other-key.pem'));
    await register(other.jwks);
    const { app } = await start(south(both, 'unknown-key.pem'));
    await written(app, /neighbour \S+: request failed: .*invalid client creds/);
    expect(app.output).not.toMatch(/neighbour http\S+: \w+ is up/);
  }, 60_000);
});

describe('a neighbour’s name that would forge a log line', () => {
  it('is not repeated', async () => {
    const forger = await TestServer.start(json(200, { name: 'x\nforged', upSince: new Date().toISOString() }));
    closing.push(() => forger.close());
    const both = await ports();
    const { app } = await start({ ...north(both), NEIGHBOUR_URL: forger.url, ASK_EVERY_MS: '50' });
    await written(app, /neighbour \S+: request failed: /);
    expect(app.output).not.toContain('forged');
  }, 60_000);
});

describe('a device refuses', () => {
  let device: INestApplication;
  let url: string;

  beforeAll(async () => {
    const both = await ports();
    const settings = readSettings({ ...north(both), ASK_EVERY_MS: '86400000' });
    const module = await Test.createTestingModule({ imports: [DeviceModule.with(settings, undefined)] }).compile();
    device = module.createNestApplication({ logger: false });
    await device.listen(0, '127.0.0.1');
    url = await device.getUrl();
  });
  afterAll(() => device.close());

  async function secretToken(client: string, application: string): Promise<string> {
    const login = `svc-${client}@acme.example:${SECRETS[client]}`;
    const response = await fetch(`${tenant.url}/oauth2/token/${application}`, {
      method: 'POST',
      headers: { authorization: `Basic ${Buffer.from(login).toString('base64')}` },
      body: new URLSearchParams({ grant_type: 'client_credentials' }),
    });
    return ((await response.json()) as { access_token: string }).access_token;
  }

  /** A token of south, by its key, with what its own device would ask for or something else. */
  async function southToken(scope: string): Promise<string> {
    const both = await ports();
    const settings = readSettings({
      ...south(both, 'asking-key.pem'),
      NEIGHBOUR_SCOPE: scope,
      ASK_EVERY_MS: '86400000',
    });
    const key = await deviceKey(join(folder, 'asking-key.pem'));
    await register(key.jwks);
    const module = await Test.createTestingModule({ imports: [DeviceModule.with(settings, key)] }).compile();
    closing.push(() => module.close());
    return (await module.get(TokenProvider).getToken()).reveal();
  }

  const ask = (token?: string) =>
    fetch(`${url}/state`, token === undefined ? {} : { headers: { authorization: `Bearer ${token}` } });

  const cases: [string, () => Promise<string | undefined>, number, string][] = [
    ['a missing token', async () => undefined, 401, 'Bearer'],
    ['a forged token', async () => forged(await southToken('state.read')), 401, 'invalid_token'],
    ['an expired token', expiredToken, 401, 'invalid_token'],
    ['its own token, sent back to it', () => secretToken('device-north', 'device-south'), 401, 'invalid_token'],
    ['a client that is not named', () => secretToken('intruder', 'device-north'), 403, ''],
    ['too little scope', () => southToken('state.write'), 403, 'insufficient_scope'],
  ];

  it.each(cases)('%s', async (_name, token, status, challenge) => {
    const response = await ask(await token());
    expect(response.status).toBe(status);
    expect(response.headers.get('www-authenticate') ?? '').toContain(challenge);
  });

  it('no client with the right token', async () => {
    const response = await ask(await southToken('state.read'));
    expect([response.status, await response.json()]).toEqual([200, { name: 'north', upSince: expect.any(String) }]);
  });

  async function expiredToken(): Promise<string> {
    timeShiftMs = -3600_000;
    tenant.switches.change({ tokenLifetimeSeconds: 60 });
    const token = await secretToken('intruder', 'device-north');
    timeShiftMs = 0;
    return token;
  }

  function forged(token: string): string {
    const [header, payload, signature = ''] = token.split('.');
    return [header, payload, (signature.startsWith('A') ? 'B' : 'A') + signature.slice(1)].join('.');
  }
});

describe('the key file', () => {
  it('is rejected if other users can read it', async () => {
    const file = join(folder, 'open-key.pem');
    await deviceKey(file);
    await chmod(file, 0o640);
    await expect(deviceKey(file)).rejects.toThrow(KeyFileError);
    await expect(deviceKey(file)).rejects.toThrow(/can be read by others/);
  });

  it('is never overwritten, whatever it holds, and its content is in no error', async () => {
    const file = join(folder, 'broken-key.pem');
    await writeFile(file, 'something of value', { mode: 0o600 });
    await expect(deviceKey(file)).rejects.toThrow(/holds no private key/);
    await expect(deviceKey(file)).rejects.not.toThrow(/something/);
    expect(await readFile(file, 'utf8')).toBe('something of value');
  });

  it.each([
    ['of another curve', 'EC P-384', () => generateKeyPairSync('ec', { namedCurve: 'P-384' }).privateKey],
    ['of another kind', 'RSA', () => generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey],
  ])('is rejected with the reason: %s', async (_name, kind, make) => {
    const file = join(folder, `${kind}-key.pem`);
    await writeFile(file, make().export({ type: 'pkcs8', format: 'pem' }), { mode: 0o600 });
    await expect(deviceKey(file)).rejects.toThrow(KeyFileError);
    await expect(deviceKey(file)).rejects.toThrow(
      `${kind}-key.pem holds a key of type ${kind}. Expected an EC key on the curve P-256`,
    );
  });

  it('in a folder that is not writable is rejected with its path, in one line at the start', async () => {
    const file = join(folder, 'nowhere', 'key.pem');
    await expect(deviceKey(file)).rejects.toThrow(KeyFileError);
    const starting = start(south(await ports(), join('nowhere', 'key.pem')));
    await expect(starting).rejects.toThrow(`The key file ${file} cannot be written (ENOENT). Set KEY_FILE to`);
    await expect(starting).rejects.not.toThrow(/\n +at /);
  });

  it('is rejected if its public half can’t be written, unless that exists already', async () => {
    const file = join(folder, 'public-key.pem');
    const { publicFile, keyId } = await deviceKey(file);
    await utimes(publicFile, 1, 1);
    expect(await deviceKey(file)).toMatchObject({ keyId });
    expect((await stat(publicFile)).mtimeMs).toBe(1000);
    await rm(publicFile);
    await mkdir(publicFile);
    await expect(deviceKey(file)).rejects.toThrow(`${publicFile} cannot be written (EISDIR)`);
    await expect(deviceKey(file)).rejects.toThrow(KeyFileError);
  });

  it('is created once, however many processes start at once', async () => {
    const file = join(folder, 'shared-key.pem');
    const keys = await Promise.all(Array.from({ length: 5 }, () => deviceKey(file)));
    expect(new Set(keys.map(({ keyId }) => keyId)).size).toBe(1);
    expect(keys.filter(({ isNew }) => isNew)).toHaveLength(1);
  });

  it('needs an existing folder', async () => {
    await expect(deviceKey(join(folder, 'nowhere', 'key.pem'))).rejects.toMatchObject({ code: 'KEY_FILE_UNUSABLE' });
  });
});

describe('settings of a device', () => {
  it('that are invalid are all reported at once', () => {
    const wrong = { TENANT_URL: 'x', PORT: 'x', NEIGHBOUR_URL: 'x', NAME: 'a b' };
    expect(() => readSettings(wrong)).toThrow(/NAME[^]*PORT[^]*API_APPLICATION_ID[^]*CLIENT_ID[^]*NEIGHBOUR_URL/);
    expect(() => readSettings({ KEY_FILE: 'also' })).toThrow(/set either this or KEY_FILE/);
    expect(() => readSettings({ DEVICE: 'east' })).toThrow(/must be north or south/);
  });

  it('default to the emulator if no tenant is set', () => {
    const [first, second] = [readSettings({}), readSettings({ DEVICE: 'south' })];
    expect(first.NEIGHBOUR_URL).toBe(`http://127.0.0.1:${second.PORT}`);
    expect(second.NEIGHBOUR_URL).toBe(`http://127.0.0.1:${first.PORT}`);
    expect([first.ALLOWED_CLIENTS, second.ALLOWED_CLIENTS]).toEqual([[second.CLIENT_ID], [first.CLIENT_ID]]);
  });
});

import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import type { RequestEvent } from '../http/request-recorder.js';
import { PortTakenError } from '../listen.js';
import { type RunningTenant, startTenant } from '../start-tenant.js';
import { basic, SECRETS, TenantClient } from '../testing/tenant-client.js';
import { banner } from '../tool/banner.js';
import { logLine } from '../tool/log-line.js';
import { startOnWantedPorts, toolArgumentsOf } from '../tool/start.js';
import { parseTokenLifetime, RestPathPattern } from './application.js';
import {
  checkTenantConfiguration,
  readTenantConfiguration,
  SAMPLE_CONFIGURATION_FILE,
  TenantConfigurationError,
  type TenantConfigurationInput,
} from './tenant-configuration.js';

const SMALL: TenantConfigurationInput = {
  tenantId: 'small',
  aliasSuffix: 'small.example',
  applications: [{ id: 'app', type: 'OAuth2 Client' }],
};

function faultsOf(input: unknown): readonly string[] {
  try {
    checkTenantConfiguration(input);
    return [];
  } catch (error) {
    if (error instanceof TenantConfigurationError) return error.faults;
    throw error;
  }
}

describe('a configuration', () => {
  it('may be small', () => {
    expect(checkTenantConfiguration(SMALL)).toMatchObject({
      limits: { users: 1_000_000, tokens: 1_000_000 },
      tenantFlags: { 'CusCreateUser.QandD': false },
      switches: { expiresIn: 'number', faults: { token: { outage: 'none' } } },
      applications: [{ tokenType: 'JwtRS256', tokenLifetime: '0.05:00:00', allowedAuth: ['ClientCreds'] }],
      serviceUsers: [],
    });
  });

  it('that was checked passes again, unchanged', async () => {
    const checked = await readTenantConfiguration(SAMPLE_CONFIGURATION_FILE);
    expect(checkTenantConfiguration(checked)).toEqual(checked);
  });

  it('of the sample says of each secret that it is for development only', async () => {
    const { serviceUsers } = await readTenantConfiguration(SAMPLE_CONFIGURATION_FILE);
    const secrets = serviceUsers.flatMap(({ secret }) => secret ?? []);
    expect(secrets).toHaveLength(Object.keys(SECRETS).length);
    for (const secret of secrets) expect(secret).toMatch(/^dev-only/);
  });

  it('sets switches for the start and for each reset', async () => {
    const tenant = await startTenant({ config: { ...SMALL, switches: { faults: { keys: { outage: 'html' } } } } });
    try {
      tenant.switches.change({ faults: { keys: { outage: 'none' } } });
      tenant.switches.reset();
      expect(tenant.switches.current.faults.keys.outage).toBe('html');
    } finally {
      await tenant.close();
    }
  });

  it('that is wrong is refused with every wrong field at once, and no secret', () => {
    const secret = 'SECRET-VALUE';
    const wrong = {
      tenantId: 'a b',
      nonsense: 1,
      limits: { users: 0 },
      switches: { expiresIn: 'never' },
      applications: [
        { id: 'with blank', type: 'OAuth2 Client' },
        { id: 'server', type: 'OAuth2 Server', tokenLifetime: '5 hours', knownScopes: [{ scope: 'a b' }] },
        { id: 'twin', type: 'OAuth2 Client', knownScopes: [{ scope: 'x', allowedRest: ['('] }] },
        { id: 'twin', type: 'Else' },
      ],
      serviceUsers: [
        { loginName: 'no-suffix', secret, applications: { gone: {}, twin: { scopes: ['x', 'y'] } } },
        { loginName: 'a@b', secret: [secret], rights: ['King'] },
        { loginName: 'A@B', secret: '' },
        { loginName: 'neither@b' },
        { loginName: 'private@b', jwks: { keys: [{ kty: 'OKP', crv: 'Ed25519', x: 'AA', d: secret }] } },
      ],
    };
    const faults = faultsOf(wrong);
    const starts = [
      'tenantId: ',
      '(the whole): ',
      'aliasSuffix: ',
      'limits.users: ',
      'switches.expiresIn: ',
      'applications[0].id: ',
      'applications[1].audience: an OAuth2 Server application needs an audience',
      'applications[1].tokenLifetime: ',
      'applications[1].knownScopes[0].scope: ',
      'applications[2].knownScopes[0].allowedRest[0]: not a regular expression',
      'applications[3].id: is given twice',
      'applications[3].type: ',
      'serviceUsers[0].loginName: ',
      'serviceUsers[0].applications.gone: there is no application with this id',
      'serviceUsers[0].applications.twin.scopes[1]: the application does not know this scope',
      'serviceUsers[1].secret: ',
      'serviceUsers[1].rights[0]: ',
      'serviceUsers[2].loginName: is given twice',
      'serviceUsers[2].secret: ',
      'serviceUsers[3].secret: a service user needs a secret, or jwks in its place',
      'serviceUsers[4].jwks.keys[0]: ',
    ];
    for (const start of starts) expect(faults).toContainEqual(expect.stringContaining(start));
    expect(faults.join('\n')).not.toContain(secret);
  });

  it('may be no object at all', () => {
    expect(faultsOf(null)).toHaveLength(1);
    expect(faultsOf([])).toHaveLength(1);
  });

  describe('in a file', () => {
    let folder: string;
    beforeAll(async () => {
      folder = await mkdtemp(join(tmpdir(), 'tenant-'));
    });
    afterAll(() => rm(folder, { recursive: true }));

    it('that is no JSON is refused without being quoted', async () => {
      const file = join(folder, 'broken.json');
      await writeFile(file, '{"secret": SECRET-VALUE');
      const refused = startTenant({ config: file });
      await expect(refused).rejects.toThrow(`${file} is wrong:\n  not JSON`);
      await expect(refused).rejects.not.toThrow(/SECRET/);
    });

    it('that does not exist is refused by its name', async () => {
      const file = join(folder, 'nowhere.json');
      await expect(startTenant({ config: file })).rejects.toThrow(`${file} is wrong:\n  cannot be read (ENOENT`);
    });
  });
});

describe('a token lifetime', () => {
  it.each([
    ['0.05:00:00', 18_000],
    ['1.00:00:01', 86_401],
    ['0.00:00:00', undefined],
    ['05:00:00', undefined],
    ['0.24:00:00', undefined],
    ['0.00:60:00', undefined],
  ])('%s is %s seconds', (text, seconds) => {
    expect(parseTokenLifetime(text)).toBe(seconds);
  });
});

describe('a REST path pattern', () => {
  it.each([
    ['CDirectoryService/.*', '/CDirectoryService/CreateUser', true],
    ['cdirectoryservice/getuser', '/CDirectoryService/GetUsers', true],
    ['CDirectoryService/GetUser$', '/CDirectoryService/GetUsers', false],
    ['/RedRock/query', '/Redrock/query', true],
    ['query', '/Redrock/query', false],
    ['a|b', '/xb', false],
    ['.*', '/anything', true],
  ])('%s against %s: %s', (pattern, path, covers) => {
    expect(new RestPathPattern(pattern).covers(path)).toBe(covers);
  });

  it('covers a path the same in any case', () => {
    fc.assert(
      fc.property(fc.stringMatching(/^[A-Za-z/]{1,20}$/), (path) => {
        const pattern = new RestPathPattern(path);
        expect(pattern.covers(path.toUpperCase())).toBe(pattern.covers(path.toLowerCase()));
      }),
    );
  });
});

describe('the development tool', () => {
  const sample = { configFile: SAMPLE_CONFIGURATION_FILE };
  const free = { port: 0, asked: true };
  const quiet = () => {};
  let tenant: RunningTenant;
  beforeAll(async () => {
    tenant = await startTenant();
  });
  afterAll(() => tenant.close());

  it('reads flags before the environment, and has defaults', () => {
    expect(toolArgumentsOf([], {})).toEqual({
      tenantPort: { port: 4400, asked: false },
      adminPort: { port: 4401, asked: false },
      ...sample,
    });
    const env = { TENANT_PORT: '5000', TENANT_ADMIN_PORT: '', TENANT_CONFIG: 'a.json' };
    expect(toolArgumentsOf(['--port', '5001'], env)).toEqual({
      tenantPort: { port: 5001, asked: true },
      adminPort: { port: 4401, asked: false },
      configFile: 'a.json',
    });
    expect(() => toolArgumentsOf([], { TENANT_PORT: 'x' })).toThrow(/TENANT_PORT must be a port .* it is "x"/);
    expect(() => toolArgumentsOf(['--nonsense'], {})).toThrow(/nonsense/);
  });

  it('takes a free port where a default one is taken, and gives up where one was asked for', async () => {
    const taken = Number(new URL(tenant.url).port);
    const takenAdmin = Number(new URL(tenant.adminUrl).port);
    const byDefault = {
      tenantPort: { port: taken, asked: false },
      adminPort: { port: takenAdmin, asked: false },
      ...sample,
    };
    const other = await startOnWantedPorts(byDefault, quiet);
    expect(new URL(other.url).port).not.toBe(String(taken));
    await other.close();

    for (const asked of [
      { ...byDefault, tenantPort: { port: taken, asked: true } },
      { tenantPort: free, adminPort: { port: takenAdmin, asked: true }, ...sample },
    ]) {
      const refused = startOnWantedPorts(asked, quiet);
      await expect(refused).rejects.toThrow(PortTakenError);
      await expect(refused).rejects.toThrow(/^Port \d+ is already in use\.$/);
    }
  });

  it('tells a newcomer where everything is, and shows no secret but the one of its example', () => {
    const text = banner(tenant, SAMPLE_CONFIGURATION_FILE);
    for (const shown of [
      tenant.url,
      tenant.adminUrl,
      SAMPLE_CONFIGURATION_FILE,
      'internal-api',
      ...Object.keys(SECRETS),
    ]) {
      expect(text).toContain(shown);
    }
    const secrets = Object.entries(SECRETS).filter(([, secret]) => text.includes(secret));
    expect(secrets).toEqual([['svc-directory-reader@acme.example', 'dev-only-directory-reader']]);
  });

  it('shows no example with a secret that does not say it is for development', async () => {
    const { serviceUsers, ...rest } = await readTenantConfiguration(SAMPLE_CONFIGURATION_FILE);
    const real = serviceUsers.map((user) => ({ ...user, secret: 'Real-Secret-1' }));
    const configuration = checkTenantConfiguration({ ...rest, serviceUsers: real });
    const text = banner({ ...tenant, configuration }, 'a.json');
    expect(text).not.toContain('Real-Secret-1');
    expect(text).toContain('/faults/outage');
  });

  it('shows only examples that work', async () => {
    const text = banner(tenant, SAMPLE_CONFIGURATION_FILE);
    const [, loginName = '', secret = '', path = ''] =
      /curl -s -u (\S+?):(\S+) .*(\/OAuth2\/Token\/\S+)/.exec(text) ?? [];
    const client = new TenantClient(tenant.url);
    const { json } = await client.postForm(path, { grant_type: 'client_credentials' }, basic(loginName, secret));
    expect((await client.call('/Security/whoami', String(json?.access_token))).json?.success).toBe(true);

    const [, faultPath = '', body = ''] = /POST http:\/\/[^/]+(\/faults\/outage) -d '(.*?)'/.exec(text) ?? [];
    const { status } = await new TenantClient(tenant.adminUrl).send(faultPath, { method: 'POST', body });
    expect(status).toBe(200);
    tenant.switches.reset();
  });

  it('writes a line for each request, coloured only if told so', () => {
    const event: RequestEvent = {
      at: Date.parse('2030-01-01T12:34:56.789Z'),
      durationMs: 3,
      method: 'POST',
      path: '/OAuth2/Token/internal-api',
      status: 200,
      outcome: 'issued',
      client: 'svc-cli@acme.example',
      tokenFingerprint: '0123456789ab',
      transactionId: '11111111-2222-3333-4444-555555555555',
      error: undefined,
    };
    const plain = { colour: false };
    expect(logLine(event, plain)).toBe(
      '12:34:56.789 200 POST /OAuth2/Token/internal-api issued client=svc-cli@acme.example token=0123456789ab tx=11111111 3ms',
    );
    expect(logLine({ ...event, status: undefined, outcome: 'outage: hang' }, plain)).toContain(' --- POST ');
    expect(logLine({ ...event, outcome: 'HTTP 404', status: 404, client: undefined }, plain)).not.toContain('HTTP');
    expect(logLine({ ...event, error: new Error('broken') }, plain)).toMatch(/\nError: broken\n/);
    expect(logLine({ ...event, path: '/\u009b31m' }, plain)).toContain(' /?31m ');
    expect(logLine({ ...event, client: 'a\u001b[2J\nb' }, plain)).toContain(' client=a?[2J?b ');
    expect(logLine(event, { colour: true })).toContain('\u001b[32m200\u001b[0m');
  });
});

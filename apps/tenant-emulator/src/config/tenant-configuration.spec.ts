import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { startTenant } from '../start-tenant.js';
import { SECRETS } from '../testing/tenant-client.js';
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
  it('can be minimal', () => {
    expect(checkTenantConfiguration(SMALL)).toMatchObject({
      limits: { users: 1_000_000, tokens: 1_000_000 },
      tenantFlags: { 'CusCreateUser.QandD': false },
      switches: { expiresIn: 'number', faults: { token: { outage: 'none' } } },
      applications: [{ tokenType: 'JwtRS256', tokenLifetime: '0.05:00:00', allowedAuth: ['ClientCreds'] }],
      serviceUsers: [],
    });
  });

  it('passes a second check unchanged', async () => {
    const checked = await readTenantConfiguration(SAMPLE_CONFIGURATION_FILE);
    expect(checkTenantConfiguration(checked)).toEqual(checked);
  });

  it('of the sample marks each secret as for development only', async () => {
    const { serviceUsers } = await readTenantConfiguration(SAMPLE_CONFIGURATION_FILE);
    const secrets = serviceUsers.flatMap(({ secret }) => secret ?? []);
    expect(secrets).toHaveLength(Object.keys(SECRETS).length);
    for (const secret of secrets) expect(secret).toMatch(/^dev-only/);
  });

  it('sets the switches at start and after each reset', async () => {
    const tenant = await startTenant({ config: { ...SMALL, switches: { faults: { keys: { outage: 'html' } } } } });
    try {
      tenant.switches.change({ faults: { keys: { outage: 'none' } } });
      tenant.switches.reset();
      expect(tenant.switches.current.faults.keys.outage).toBe('html');
    } finally {
      await tenant.close();
    }
  });

  it('that is invalid is rejected with every invalid field and no secret', () => {
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
      'applications[3].id: duplicate',
      'applications[3].type: ',
      'serviceUsers[0].loginName: ',
      'serviceUsers[0].applications.gone: unknown application',
      'serviceUsers[0].applications.twin.scopes[1]: unknown scope of this application',
      'serviceUsers[1].secret: ',
      'serviceUsers[1].rights[0]: ',
      'serviceUsers[2].loginName: duplicate',
      'serviceUsers[2].secret: ',
      'serviceUsers[3].secret: a service user needs a secret or jwks',
      'serviceUsers[4].jwks.keys[0]: ',
    ];
    for (const start of starts) expect(faults).toContainEqual(expect.stringContaining(start));
    expect(faults.join('\n')).not.toContain(secret);
  });

  it('is rejected if it is not an object', () => {
    expect(faultsOf(null)).toHaveLength(1);
    expect(faultsOf([])).toHaveLength(1);
  });

  describe('in a file', () => {
    let folder: string;
    beforeAll(async () => {
      folder = await mkdtemp(join(tmpdir(), 'tenant-'));
    });
    afterAll(() => rm(folder, { recursive: true }));

    it('that is not JSON is rejected without a quote of it', async () => {
      const file = join(folder, 'broken.json');
      await writeFile(file, '{"secret": SECRET-VALUE');
      const refused = startTenant({ config: file });
      await expect(refused).rejects.toThrow(`${file} is invalid:\n  not JSON`);
      await expect(refused).rejects.not.toThrow(/SECRET/);
    });

    it('that does not exist is rejected with its name', async () => {
      const file = join(folder, 'nowhere.json');
      await expect(startTenant({ config: file })).rejects.toThrow(`${file} is invalid:\n  cannot be read (ENOENT`);
    });
  });
});

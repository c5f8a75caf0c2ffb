import { describe, expect, it, jest, test } from '@jest/globals';
import { Lab, users } from './testing/lab.js';

// Most of it is waiting, but processes take their time to begin on a machine that is busy.
jest.setTimeout(120_000);

const lab = Lab.use();

describe('settings', () => {
  test.each<[string, Record<string, string>, string[]]>([
    [
      'misspelt at the end',
      { PROVISION_TENANT_ULR: 'https://x.example' },
      ['PROVISION_TENANT_ULR: unknown variable; did you mean PROVISION_TENANT_URL?'],
    ],
    ['misspelt at the beginning', { PROVISON_CLIENT_ID: 'x' }, ['did you mean PROVISION_CLIENT_ID?']],
    ['named after the service', { PROVISIONING_CLIENT_ID: 'x' }, ['did you mean PROVISION_CLIENT_ID?']],
    ['in small letters', { provision_scope: 'x' }, ['did you mean PROVISION_SCOPE?']],
    [
      'that do not exist',
      { PROVISION_PASSWORD: 'hunter2' },
      ['PROVISION_PASSWORD: unknown variable; known are PROVISION_'],
    ],
    [
      'of which two are wrong, and another has no good value',
      { PROVISION_TIMEOUT: '1', PROVISION_CLIENT_SECERT: 'hunter2', PROVISION_SERVICE_URL: 'x' },
      ['did you mean PROVISION_TIMEOUT_MS?', 'did you mean PROVISION_CLIENT_SECRET?', 'PROVISION_SERVICE_URL: must be'],
    ],
  ])('app-9: variables %s are refused', async (_name, env, words) => {
    const path = await lab.file('users.ndjson', users(1));
    for (const args of [['whoami'], ['import', path], ['get', 'ann']]) {
      const { exitCode, stdout, stderr } = await lab.command(args, { env });
      expect([exitCode, stdout]).toEqual([2, '']);
      for (const word of words) expect(stderr).toContain(word);
      expect(stderr).not.toContain('hunter2');
    }
    expect(lab.service.authorizations.size).toBe(0);
  });

  it('app-9: every command names the service and the client', async () => {
    const parties = `${lab.service.url}, as svc-cli@acme.example of ${lab.tenant.url}`;
    const create = ['create', '--name', 'ann', '--mail', 'ann@x.example'];
    for (const args of [create, ['get', 'ann'], ['delete', 'ann'], ['whoami', '--json']]) {
      expect((await lab.command(args)).stderr).toBe(`Calling ${parties}.\n`);
    }
    const path = await lab.file('users.ndjson', users(1));
    expect((await lab.command(['import', path])).stderr).toBe(`Importing ${path} into ${parties}.\n`);
    const sample = await lab.command(['whoami'], { env: { PROVISION_TENANT_URL: '' } });
    expect(sample.stderr).toContain(' (the sample system on this machine, because no tenant is set).\n');
  });

  it('app-9: empty variables, and those of Kubernetes and other programs, are no settings', async () => {
    const env = {
      PROVISION_TENANT_ULR: '',
      PROVISION_SERVICE_HOST: '10.0.0.1',
      PROVISION_CLI_SERVICE_PORT_HTTP: '80',
      PROVISION_PORT: 'tcp://10.0.0.1:80',
      PROVISION_PORT_80_TCP_ADDR: '10.0.0.1',
      PROVISIONER: 'terraform',
    };
    expect((await lab.command(['whoami'], { env })).exitCode).toBe(0);
  });
});

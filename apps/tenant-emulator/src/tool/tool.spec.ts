import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import {
  checkTenantConfiguration,
  readTenantConfiguration,
  SAMPLE_CONFIGURATION_FILE,
} from '../config/tenant-configuration.js';
import type { RequestEvent } from '../http/request-recorder.js';
import { PortTakenError } from '../listen.js';
import { type RunningTenant, startTenant } from '../start-tenant.js';
import { basic, SECRETS, TenantClient } from '../testing/tenant-client.js';
import { banner } from './banner.js';
import { logLine } from './log-line.js';
import { startOnWantedPorts, toolArgumentsOf } from './start.js';

describe('the development tool', () => {
  const sample = { configFile: SAMPLE_CONFIGURATION_FILE };
  const free = { port: 0, asked: true };
  const quiet = () => {};
  let tenant: RunningTenant;
  beforeAll(async () => {
    tenant = await startTenant();
  });
  afterAll(() => tenant.close());

  it('prefers flags to the environment, and has defaults', () => {
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

  it('replaces a default port that is in use, and fails for a requested one', async () => {
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

  it('prints every address and name, and no secret but that of its example', () => {
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

  it('prints no example with a secret that is not marked as for development', async () => {
    const { serviceUsers, ...rest } = await readTenantConfiguration(SAMPLE_CONFIGURATION_FILE);
    const real = serviceUsers.map((user) => ({ ...user, secret: 'Real-Secret-1' }));
    const configuration = checkTenantConfiguration({ ...rest, serviceUsers: real });
    const text = banner({ ...tenant, configuration }, 'a.json');
    expect(text).not.toContain('Real-Secret-1');
    expect(text).toContain('/faults/outage');
  });

  it('prints only examples that work', async () => {
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

  it('writes a line for each request, coloured only on demand', () => {
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

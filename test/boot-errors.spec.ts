import { once } from 'node:events';
import { type AddressInfo, createServer, type Server } from 'node:net';
import { afterAll, beforeAll, expect, jest, test } from '@jest/globals';
import { RunningApp } from './support/running-app.js';

// Each process that is started takes seconds on a machine that has other work too.
jest.setTimeout(60_000);

let server: Server;
let taken: string;

beforeAll(async () => {
  server = createServer();
  await once(server.listen(0, '127.0.0.1'), 'listening');
  taken = String((server.address() as AddressInfo).port);
});
afterAll(() => void server.close());

const tenant = { TENANT_URL: 'ftp://tenant', CLIENT_ID: 'a', CLIENT_SECRET: 'b', ALLOWED_CLIENTS: 'c' };

test.each<[string, string, () => Record<string, string>, string]>([
  ['user-provisioning', 'a port that is taken', () => ({ PORT: taken }), 'is taken by another process. Set PORT'],
  ['user-provisioning', 'a host that is not of this machine', () => ({ HOST: '192.0.2.1', PORT: '0' }), 'Set HOST'],
  [
    'user-provisioning',
    'a data folder that cannot be made',
    () => ({ DATA_DIR: '/dev/null/x' }),
    'Set DATA_DIR to a folder',
  ],
  ['user-provisioning', 'no Redis', () => ({ REDIS_URL: 'redis://127.0.0.1:9' }), 'Check REDIS_URL'],
  [
    'user-provisioning',
    'a tenant that is none',
    () => ({ ...tenant, TENANT_CLIENT_ID: 'a', TENANT_CLIENT_SECRET: 'b' }),
    'Invalid options for IdentityM2MModule',
  ],
  ['device', 'a port that is taken', () => ({ PORT: taken }), '(EADDRINUSE). Set HOST and PORT'],
  ['provisioning-daemon', 'a port that is taken', () => ({ LISTEN_URL: `tcp://127.0.0.1:${taken}` }), 'Set LISTEN_URL'],
  [
    'provisioning-daemon',
    'a host that is not of this machine',
    () => ({ LISTEN_URL: 'tcp://192.0.2.1:3100' }),
    '(EADDRNOTAVAIL). Set LISTEN_URL',
  ],
  [
    'provisioning-daemon',
    'a certificate that is none',
    () => ({ LISTEN_URL: 'tcps://127.0.0.1:3100', TLS_KEY_FILE: '/dev/null', TLS_CERT_FILE: '/dev/null' }),
    'TLS_KEY_FILE: must be the private key',
  ],
  ['hr-backend', 'an outbox that is no folder', () => ({ OUTBOX_FOLDER: '/dev/null/x' }), 'Set OUTBOX_FOLDER'],
  ['tenant-emulator', 'a port that is taken', () => ({ TENANT_PORT: taken }), 'is already in use'],
])('%s reports why it does not start, once and without a stack: %s', async (app, _name, environment, words) => {
  const { message } = await RunningApp.start(app, environment()).then(
    async ({ app }) => {
      await app.kill();
      return { message: 'it started' };
    },
    (error: Error) => error,
  );
  expect(message).toContain('ended before it was ready, with 1,:\n');
  expect(message.split(words)).toHaveLength(2);
  expect(message).not.toMatch(/\n +at /);
});

// The services of the sample system, each with its settings. The secrets are those of the emulator's service users.

import { once } from 'node:events';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { secretOf } from './development-secrets.mjs';

/**
 * @typedef {import('./running-sample.mjs').Addresses} Addresses
 * @typedef {import('./sample-system.mjs').SampleSystem} SampleSystem
 */

/**
 * Starts the tenant and the service: all that the command line client needs.
 *
 * @param {SampleSystem} system
 * @returns {Promise<Addresses>}
 */
export async function startService(system) {
  const tenant = await startTenant(system);
  const [port] = await freePorts(3000);
  const serviceUrl = `http://127.0.0.1:${port}`;
  await startUserProvisioning(system, { ...tenant, serviceUrl });
  return { ...tenant, serviceUrl };
}

/**
 * Starts all services. The tenant is first, because the others get their tokens from it; these start together.
 *
 * @param {SampleSystem} system
 * @param {object} [switches] Switches of the tenant, set before the others start.
 * @returns {Promise<Addresses & { daemonUrl: string, outbox: string, devices: { north: string, south: string } }>}
 */
export async function startAllServices(system, switches) {
  const tenant = await startTenant(system);
  if (switches) await askTenant(`${tenant.adminUrl}/switches`, 'PATCH', switches);
  const [service, daemon, north, south] = await freePorts(3000, 3100, 3010, 3011);
  const addresses = {
    ...tenant,
    serviceUrl: `http://127.0.0.1:${service}`,
    daemonUrl: `tcp://127.0.0.1:${daemon}`,
    outbox: join(system.folder, 'outbox'),
    devices: { north: `http://127.0.0.1:${north}`, south: `http://127.0.0.1:${south}` },
  };
  await Promise.all([
    startUserProvisioning(system, addresses),
    startDaemon(system, addresses),
    startBackend(system, addresses),
    startDevice(system, addresses, 'north', { CLIENT_SECRET: secretOf('svc-device-north@acme.example') }),
    startDevice(system, addresses, 'south', { KEY_FILE: join(system.folder, 'south-key.pem') }).then(({ jwks }) =>
      registerKeys(addresses.adminUrl, 'svc-device-south@acme.example', jwks),
    ),
  ]);
  return addresses;
}

async function startTenant(system) {
  const { url, adminUrl } = await system.start('tenant', 'tenant-emulator', {});
  return { tenantUrl: url, adminUrl };
}

function startUserProvisioning(system, { tenantUrl, serviceUrl }) {
  return system.start('user-provisioning', 'user-provisioning', {
    PORT: new URL(serviceUrl).port,
    TENANT_URL: tenantUrl,
    TENANT_CLIENT_ID: 'svc-provisioning@acme.example',
    TENANT_CLIENT_SECRET: secretOf('svc-provisioning@acme.example'),
    ALLOWED_CLIENTS: 'svc-cli@acme.example,svc-reporting@acme.example,svc-daemon@acme.example',
    DATA_DIR: join(system.folder, 'idempotency'),
  });
}

function startDaemon(system, { tenantUrl, serviceUrl, daemonUrl }) {
  return system.start('daemon', 'provisioning-daemon', {
    LISTEN_URL: daemonUrl,
    TENANT_URL: tenantUrl,
    SERVICE_URL: serviceUrl,
    ALLOWED_CLIENTS: 'svc-hr@acme.example',
    CLIENT_ID: 'svc-daemon@acme.example',
    CLIENT_SECRET: secretOf('svc-daemon@acme.example'),
  });
}

function startBackend(system, { tenantUrl, daemonUrl, outbox }) {
  return system.start('hr-backend', 'hr-backend', {
    TENANT_URL: tenantUrl,
    DAEMON_URL: daemonUrl,
    OUTBOX_FOLDER: outbox,
    CLIENT_ID: 'svc-hr@acme.example',
    CLIENT_SECRET: secretOf('svc-hr@acme.example'),
  });
}

function startDevice(system, { tenantUrl, devices }, name, credential) {
  const other = name === 'north' ? 'south' : 'north';
  return system.start(`device-${name}`, 'device', {
    NAME: name,
    PORT: new URL(devices[name]).port,
    TENANT_URL: tenantUrl,
    API_APPLICATION_ID: `device-${name}`,
    API_AUDIENCE: `device-${name}`,
    ALLOWED_CLIENTS: `svc-device-${other}@acme.example`,
    CLIENT_ID: `svc-device-${name}@acme.example`,
    NEIGHBOUR_URL: devices[other],
    NEIGHBOUR_APPLICATION_ID: `device-${other}`,
    ASK_EVERY_MS: '1000',
    ...credential,
  });
}

/** Registers the public key of a device without a secret, as an operator would. */
function registerKeys(adminUrl, client, jwks) {
  return askTenant(`${adminUrl}/clients/${client}/jwks`, 'PUT', jwks);
}

/**
 * Changes something through the tenant's admin API.
 *
 * @param {string} url
 * @param {'PUT' | 'PATCH'} method
 * @param {object} body
 */
export async function askTenant(url, method, body) {
  const request = { method, body: JSON.stringify(body) };
  const response = await fetch(url, request);
  if (!response.ok) throw new Error(`${response.url} returned HTTP ${response.status}: ${await response.text()}`);
}

/** Returns each usual port, or the next free one. */
async function freePorts(...usual) {
  const ports = [];
  for (let port of usual) {
    while (ports.includes(port) || !(await isFree(port))) port++;
    ports.push(port);
  }
  return ports;
}

async function isFree(port) {
  const server = createServer();
  try {
    await once(server.listen(port, '127.0.0.1'), 'listening');
  } catch {
    return false;
  }
  server.close();
  await once(server, 'close');
  return true;
}

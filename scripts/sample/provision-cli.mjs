// provision-cli as a client of the running sample system.

import { spawn } from 'node:child_process';
import { secretOf } from './development-secrets.mjs';
import { root } from '../prepare.mjs';

const CLIENT = 'svc-cli@acme.example';

/**
 * @param {string[]} args
 * @param {import('./running-sample.mjs').Addresses} addresses
 * @param {import('node:child_process').SpawnOptions} options
 */
export function startProvisionCli(args, { tenantUrl, serviceUrl }, options) {
  return spawn(process.execPath, ['apps/provision-cli/dist/main.js', ...args], {
    cwd: root,
    env: {
      ...process.env,
      PROVISION_TENANT_URL: tenantUrl,
      PROVISION_SERVICE_URL: serviceUrl,
      PROVISION_CLIENT_ID: CLIENT,
      PROVISION_CLIENT_SECRET: secretOf(CLIENT),
    },
    ...options,
  });
}

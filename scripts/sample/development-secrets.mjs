// Secrets of the emulator's service users. They are made up, and valid nowhere else.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { root } from '../prepare.mjs';

export function secretOf(loginName) {
  const configuration = JSON.parse(readFileSync(join(root, 'apps/tenant-emulator/tenant.config.json'), 'utf8'));
  return configuration.serviceUsers.find((user) => user.loginName === loginName).secret;
}

import { afterAll, beforeEach } from '@jest/globals';
import { createLocalJWKSet, type JSONWebKeySet, jwtVerify } from 'jose';
import type { RequestEvent } from '../http/request-recorder.js';
import { startTenant } from '../start-tenant.js';
import { TenantClient } from './tenant-client.js';
import { TestClock } from './test-clock.js';

/** Starts a tenant for the tests of one file. Each test begins without faults, counts and log entries. */
export async function startTestTenant() {
  const clock = new TestClock();
  const events: RequestEvent[] = [];
  const tenant = await startTenant({ now: clock.now, wait: clock.wait, log: (event) => events.push(event) });
  const client = new TenantClient(tenant.url);
  beforeEach(() => {
    tenant.switches.reset();
    tenant.resetStatistics();
    events.length = 0;
    clock.waits.length = 0;
  });
  afterAll(() => tenant.close());

  /** Verifies a token with the keys of an application. */
  async function verified(token: string, applicationId: string) {
    const { json } = await client.send(`/OAuth2/Keys/${applicationId}`);
    const keys = createLocalJWKSet(json as unknown as JSONWebKeySet);
    return jwtVerify(token, keys, { currentDate: new Date(clock.now()) });
  }

  /** Resolves when the log has an entry for a path. */
  async function logged(path: string): Promise<RequestEvent> {
    for (;;) {
      const event = events.find((candidate) => candidate.path === path);
      if (event) return event;
      await new Promise((resolve) => setImmediate(resolve));
    }
  }

  return { tenant, client, admin: new TenantClient(tenant.adminUrl), clock, events, verified, logged };
}

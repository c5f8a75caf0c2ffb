import { once } from 'node:events';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it, jest } from '@jest/globals';
import { run } from '../program.js';
import { HASTE, hastyClock, Lab, Terminal, users } from '../testing/lab.js';

// Most of it is waiting, but processes take their time to begin on a machine that is busy.
jest.setTimeout(120_000);

const lab = Lab.use();

describe('trouble on the way', () => {
  const importedExactly = (count: number) => {
    expect(lab.service.made.size).toBe(count);
    expect(lab.service.doubled).toEqual([]);
  };

  it('ends with exit code 4 when the service does not respond for too long', async () => {
    const path = await lab.file('users.ndjson', users(10));
    await lab.service.down();
    const result = await lab.command(['import', path, '--give-up-after', '2']);
    expect(result.exitCode).toBe(4);
    expect(result.stderr).toContain('ECONNREFUSED');
    expect(result.stderr).toContain('Gave up');
    expect((await lab.command(['get', 'mary'])).exitCode).toBe(4);
    await lab.service.up();
    expect(await lab.command(['import', path])).toMatchObject({ exitCode: 0 });
    importedExactly(10);
  });

  it('ends with exit code 4 if the address belongs to another service', async () => {
    const path = await lab.file('users.ndjson', users(10));
    const result = await lab.command(['import', path], { env: { PROVISION_SERVICE_URL: lab.tenant.url } });
    expect(result.exitCode).toBe(4);
    expect(result.stderr).toContain('Check its address');
  });

  it('ends with exit code 4 at once if Retry-After is longer than --give-up-after', async () => {
    const path = await lab.file('users.ndjson', users(10));
    lab.service.faults.status = () => ({ status: 503, retryAfter: '3600' });
    const begun = performance.now();
    expect((await lab.command(['import', path])).exitCode).toBe(4);
    expect(performance.now() - begun).toBeLessThan(5000);
    expect(lab.service.batches).toBe(1);
  });

  it('survives an outage of the service in the middle', async () => {
    const path = await lab.file('users.ndjson', users(1000));
    lab.service.faults.delayMs = 1;
    const running = lab.command(['import', path]);
    while (lab.service.made.size < 300) await sleep(5);
    await lab.service.down();
    await sleep(150);
    await lab.service.up();
    expect(await running).toMatchObject({ exitCode: 0 });
    importedExactly(1000);
  });

  it('survives an outage of the tenant, which first issues no token and then fails all lines', async () => {
    const path = await lab.file('users.ndjson', users(500));
    lab.tenant.switches.change({ faults: { token: { outage: '500' } } });
    let failing = true;
    lab.service.faults.fail = () =>
      failing ? { code: 'tenant_unreachable', message: 'The tenant is away.', retryAfterSeconds: 1 } : undefined;
    const running = lab.command(['import', path, '--json']);
    await sleep(300);
    lab.tenant.switches.reset();
    while (lab.service.batches === 0) await sleep(10);
    await sleep(50);
    failing = false;
    const result = await running;
    expect(result).toMatchObject({ exitCode: 0 });
    const reasons = result.events().flatMap(({ event, reason }) => (event === 'paused' ? [reason] : []));
    expect(reasons).toEqual(expect.arrayContaining(['most users of a batch could not be created']));
    importedExactly(500);
  });

  it('survives many 429 responses, and obeys Retry-After', async () => {
    const path = await lab.file('users.ndjson', users(1500));
    const refusedAt: number[] = [];
    lab.service.faults.status = (batch) => {
      if (batch % 5 !== 0 || refusedAt.length >= 3) return undefined;
      refusedAt.push(lab.service.arrivals.at(-1)!);
      return { status: 429, retryAfter: '1' };
    };
    // One at a time: of several, some may have been on their way already.
    expect(await lab.command(['import', path, '--concurrency', '1'])).toMatchObject({ exitCode: 0 });
    expect(refusedAt).toHaveLength(3);
    const tooEarly = lab.service.arrivals.filter((at) =>
      refusedAt.some((refused) => at > refused && at < refused + 1000 / HASTE),
    );
    expect(tooEarly).toEqual([]);
    importedExactly(1500);
  });

  it('grows up to the concurrency limit', async () => {
    const path = await lab.file('users.ndjson', users(1500));
    lab.service.faults.delayMs = 1;
    expect(await lab.command(['import', path, '--concurrency', '2'])).toMatchObject({ exitCode: 0 });
    expect(lab.service.mostAtOnce).toBe(2);
  });

  it('loses nothing if responses are cut, end too early, or stop between lines', async () => {
    const path = await lab.file('users.ndjson', users(1200));
    lab.service.faults.cutAfter = (batch) => (batch === 2 ? 37 : batch === 5 ? 0 : undefined);
    lab.service.faults.withoutSummary = (batch) => batch === 3;
    lab.service.faults.stopAfter = (batch) => (batch === 4 ? 10 : undefined);
    expect(await lab.command(['import', path])).toMatchObject({ exitCode: 0 });
    importedExactly(1200);
  });

  it('pauses as the service asks when it stops in a batch, and sends the rest', async () => {
    const path = await lab.file('users.ndjson', users(30));
    lab.service.faults.stopAfter = (batch) => (batch === 1 ? 10 : undefined);
    const result = await lab.command(['import', path, '--json']);
    expect(result.exitCode).toBe(0);
    expect(result.events().filter(({ event }) => event === 'paused')).toEqual([
      { event: 'paused', reason: 'The service has stopped: This service is ending.', seconds: 6 },
    ]);
    expect(lab.service.asked).toHaveLength(30);
    importedExactly(30);
  });

  it('halves batches that are too long for the service', async () => {
    const path = await lab.file('users.ndjson', users(250));
    lab.service.faults.maxLines = 30;
    expect(await lab.command(['import', path])).toMatchObject({ exitCode: 0 });
    importedExactly(250);
  });

  it('leaves a line that fails at every attempt to the next run, and creates all others', async () => {
    const path = await lab.file('users.ndjson', users(100));
    lab.service.faults.crashOn = ({ name }) => name === 'user-50';
    const result = await lab.command(['import', path, '--json']);
    expect(result.exitCode).toBe(4);
    expect(result.events()).toContainEqual(expect.objectContaining({ event: 'failed', line: 50, code: 'no_answer' }));
    importedExactly(99);
    lab.service.faults = {};
    expect(await lab.command(['import', path])).toMatchObject({ exitCode: 0 });
    importedExactly(100);
  });

  it('gives up on a service that does not respond', async () => {
    const path = await lab.file('users.ndjson', users(10));
    lab.service.faults.hang = true;
    const env = { PROVISION_TIMEOUT_MS: '200' };
    const result = await lab.command(['import', path, '--give-up-after', '1'], { env });
    expect(result.exitCode).toBe(4);
    expect(result.stderr).toContain('was silent for 200 ms');
  });

  it('does not read the input faster than it sends', async () => {
    lab.service.faults.hang = true;
    const stdin = new PassThrough();
    let written = 0;
    const feeding = (async () => {
      for (let i = 0; i < 200 && !stdin.destroyed; i++) {
        const chunk = users(1000, `chunk-${i}`);
        written += chunk.length;
        if (!stdin.write(chunk)) {
          const go = await Promise.race([once(stdin, 'drain'), once(stdin, 'close').then(() => undefined)]);
          if (!go) return;
        }
      }
    })();
    const running = run(['import', '-', '--journal', join(lab.folder, 'j')], {
      stdin,
      stdout: new Terminal(),
      stderr: new Terminal(),
      environment: lab.environment(),
      clock: hastyClock,
    });
    while (lab.service.authorizations.size === 0) await sleep(20);
    await sleep(500);
    expect(written).toBeLessThan(400_000);
    process.emit('SIGINT');
    await lab.service.down();
    expect(await running).toBe(130);
    await feeding;
    await lab.service.up();
  });
});

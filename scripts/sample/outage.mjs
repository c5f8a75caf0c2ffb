// Shows an outage of the token endpoint: refreshes fail, calls still succeed. Starts a sample system whose tokens live
// for a minute, or as many seconds as the first argument says. Ends it after one token lifetime.

import { rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { SampleSystem } from './sample-system.mjs';
import { askTenant, startAllServices } from './services.mjs';

/**
 * Shares of the token lifetime. The library refreshes such short tokens between 0.5 and 0.9 of it, so in the outage.
 */
const BEGINS_AT = 0.4;
const LASTS = 0.25;
const ENDS_AT = 1.1;
/** Time between joiners, in milliseconds, so that each machine makes calls. */
const EVENT_EVERY_MS = 2000;

class Counter {
  granted = 0;
  failed = 0;
  succeededCalls = 0;
  failedCalls = 0;

  /** Returns the difference to an earlier count. */
  since(other) {
    const difference = new Counter();
    for (const key of Object.keys(this)) difference[key] = this[key] - other[key];
    return difference;
  }

  copy() {
    return Object.assign(new Counter(), this);
  }

  /** Reads a line of a service's log. The called service logs a call; the caller logs a failure too. */
  read(line) {
    const [, status] = /\b([1-5]\d\d) POST \/oauth2\/token\//i.exec(line) ?? [];
    if (status === '200') this.granted++;
    else if (status) this.failed++;
    else if (/: request failed: |: not delivered, |: not now, | [45]\d\d [A-Z]+ \//.test(line)) this.failedCalls++;
    else if (/ client=\S+ token=\S+/.test(line)) this.succeededCalls++;
  }
}

async function main(tokenLifeSeconds) {
  if (!(tokenLifeSeconds >= 20)) throw new Error('The token lifetime in seconds must be 20 or more.');
  console.log(`Starting six processes; their tokens live for ${tokenLifeSeconds} s …`);
  const counter = new Counter();
  const warned = new Set();
  const system = new SampleSystem((service, line) => {
    counter.read(line);
    const [, warning] = / WARN \[IdentityM2M\] (.*)$/.exec(line) ?? [];
    if (!warning || warned.has(service)) return;
    warned.add(service);
    console.log(`  ${service} warns, once: ${warning.replaceAll(/\p{C}/gu, '?')}`);
  });
  for (const event of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(event, () => void system.stop());
  process.stdout.on('error', () => void system.stop());
  try {
    return await Promise.race([show(system, counter, tokenLifeSeconds), system.failure]);
  } catch (error) {
    if (system.ending.aborted) return 1;
    throw error;
  } finally {
    await system.stop();
  }
}

/** @returns {Promise<number>} The exit code. */
async function show(system, counter, tokenLifeSeconds) {
  const { adminUrl, outbox } = await startAllServices(system, { tokenLifetimeSeconds: tokenLifeSeconds });
  const { ending: signal } = system;
  const at = (share) => share * tokenLifeSeconds * 1000;
  const setOutage = (outage) => askTenant(`${adminUrl}/switches`, 'PATCH', { faults: { token: { outage } } });
  const begun = performance.now();
  void keepJoining(outbox, signal).catch(() => {});

  console.log('\n  time  token endpoint  token requests         calls between the machines');
  let last = counter.copy();
  let state = 'answers';
  const reporting = setInterval(
    () => {
      const { granted, failed, succeededCalls, failedCalls } = counter.since(last);
      last = counter.copy();
      const seconds = `${Math.round((performance.now() - begun) / 1000)} s`;
      const requests = `${granted} granted, ${failed} failed`;
      console.log(
        `  ${seconds.padStart(4)}  ${state.padEnd(14)}  ${requests.padEnd(21)}  ${succeededCalls} succeeded, ${failedCalls} failed`,
      );
    },
    Math.max(at(0.05), 2000),
  );
  try {
    await pause(at(BEGINS_AT), undefined, { signal });
    const before = counter.copy();
    state = 'answers 500';
    await setOutage('500');
    await pause(at(LASTS), undefined, { signal });
    await setOutage('none');
    const during = counter.since(before);
    state = 'answers';
    const after = counter.copy();
    await pause(at(ENDS_AT - BEGINS_AT - LASTS), undefined, { signal });
    const { granted } = counter.since(after);
    console.log(
      `\nThe token endpoint was down for ${Math.round(at(LASTS) / 1000)} s: ${during.failed} token requests failed; ${during.succeededCalls} calls succeeded, ${during.failedCalls} failed.` +
        `\nAfter that, ${granted} tokens were granted. In total, ${counter.succeededCalls} calls succeeded, ${counter.failedCalls} failed.`,
    );
    return during.failed > 0 && during.succeededCalls > 0 && counter.failedCalls === 0 ? 0 : 1;
  } finally {
    clearInterval(reporting);
  }
}

async function keepJoining(outbox, signal) {
  for (let id = 1; ; id++) {
    const user = { name: `person-${id}`, mail: `person-${id}@example.org` };
    // Written under another name first, so that the backend reads no incomplete event.
    const path = join(outbox, String(id).padStart(6, '0'));
    await writeFile(`${path}.tmp`, JSON.stringify({ type: 'joiner', id: `${id}`, user }));
    await rename(`${path}.tmp`, `${path}.json`);
    await pause(EVENT_EVERY_MS, undefined, { signal });
  }
}

try {
  process.exitCode = await main(Number(process.argv[2] ?? 60));
} catch (error) {
  console.error(error.message);
  process.exitCode = 1;
}

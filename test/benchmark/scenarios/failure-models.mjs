// Models of failures: the real client over a simulated network, by a clock of the model. They take no sockets and
// little time, and the same seeds each time. BENCH_LIBRARY names the build folder of another checkout, to compare with.
import { pathToFileURL } from 'node:url';
import { resolve } from 'node:path';

const modules = process.env.BENCH_LIBRARY
  ? pathToFileURL(`${resolve(process.env.BENCH_LIBRARY)}/`)
  : new URL('../../../libs/identity-m2m/build/', import.meta.url);

/** The model, and the library that it drives. */
async function load() {
  await import('../../support/typescript-sources.mjs');
  const model = await import('../../support/fleet-model.ts');
  const { ConfiguredClients } = await import(new URL('clients/configured-clients.js', modules));
  const { genericOAuth2 } = await import(new URL('index.js', modules));
  return { model, library: { ConfiguredClients, genericOAuth2 } };
}

const unavailable = () => ({ status: 503 });
/** What clients see of a server that restarts: a closed port, then its gateway, then the server. */
const restart = (seconds, status) => (ms) => (ms < seconds * 700 ? 'reset' : { status });
/** A server that hangs for half of the time, and fails for the other half. */
const hanging = (seconds) => (ms) => (ms < seconds * 500 ? 'hang' : { status: 503 });

const FLEETS = {
  '60 s lives, 20 s of 503': { lifetimeSeconds: 60, outageSeconds: 20, outage: unavailable },
  '300 s lives, 120 s of 503': { lifetimeSeconds: 300, outageSeconds: 120, outage: unavailable },
  '900 s lives, 240 s of 503': { lifetimeSeconds: 900, outageSeconds: 240, outage: unavailable },
  '3600 s lives, 600 s of 503': { lifetimeSeconds: 3600, outageSeconds: 600, outage: unavailable },
  '3600 s lives, 2400 s of 503': { lifetimeSeconds: 3600, outageSeconds: 2400, outage: unavailable },
  '60 s lives, restart of 10 s with 404': { lifetimeSeconds: 60, outageSeconds: 10, outage: restart(10, 404) },
  '60 s lives, restart of 10 s with 403': { lifetimeSeconds: 60, outageSeconds: 10, outage: restart(10, 403) },
  '60 s lives, restart of 60 s with 404': { lifetimeSeconds: 60, outageSeconds: 60, outage: restart(60, 404) },
  '300 s lives, restart of 30 s with 404': { lifetimeSeconds: 300, outageSeconds: 30, outage: restart(30, 404) },
  '300 s lives, 60 s of silence and 503': { lifetimeSeconds: 300, outageSeconds: 60, outage: hanging(60) },
  'cold start in a restart of 10 s with 404': {
    lifetimeSeconds: 300,
    outageSeconds: 10,
    outage: restart(10, 404),
    isColdStart: true,
  },
  'cold start in a restart of 10 s with 403': {
    lifetimeSeconds: 300,
    outageSeconds: 10,
    outage: restart(10, 403),
    isColdStart: true,
  },
  'cold start in 10 s of 404': {
    lifetimeSeconds: 300,
    outageSeconds: 10,
    outage: () => ({ status: 404 }),
    isColdStart: true,
  },
  'cold start in 10 s of 503': { lifetimeSeconds: 300, outageSeconds: 10, outage: unavailable, isColdStart: true },
};

const percent = (share) => share * 100;

/** 40 processes that start in the same second, 5 calls/s each, and an outage in 12 phases of their tokens' lives. */
export const fleetModel = {
  title: 'A fleet of 40 processes, 5 calls/s each, 12 phases of an outage (model)',
  rows: 'outage',
  contenders: Object.keys(FLEETS),
  rounds: 1,
  timeoutMs: 1_800_000,
  columns: {
    'calls failed, mean %': ({ meanFail }) => percent(meanFail),
    'worst %': ({ worstFail }) => percent(worstFail),
    'token requests/s, healthy peak': ({ peakHealthy }) => peakHealthy,
    'outage peak': ({ peakOutage }) => peakOutage,
    'most tries of a process': ({ worstTries }) => worstTries,
    'mints/h': ({ mintsPerHour }) => mintsPerHour,
    's from recovery to the last failed call, mean': ({ meanRecovery }) => meanRecovery,
    worst: ({ worstRecovery }) => worstRecovery,
  },
  async measure({ contender }) {
    const { model, library } = await load();
    return model.fleetFigures(library, { ...FLEETS[contender], seed: 1 });
  },
};

const OUTAGES = Object.fromEntries(
  Object.entries({
    'HTTP 503': () => unavailable,
    'HTTP 404': () => () => ({ status: 404 }),
    'HTTP 403': () => () => ({ status: 403 }),
    'restart with 404': (seconds) => restart(seconds, 404),
    'no answer': () => () => 'hang',
  }).flatMap(([name, outageOf]) =>
    [3, 10, 60, 600].flatMap((seconds) =>
      [true, false].map((isColdStart) => [
        `${seconds} s of ${name}, ${isColdStart ? 'cold start' : 'tokens of 60 s'}`,
        { lifetimeSeconds: 60, outageSeconds: seconds, outage: outageOf(seconds), isColdStart, phases: 4, seed: 1 },
      ]),
    ),
  ),
);

/** The cost of outages, at a cold start and with live tokens, and the time until recovery. */
export const outageModel = {
  title: 'Outages of 3 s to 10 min, seen by a fleet of 40 processes, 5 calls/s each, 4 phases (model)',
  rows: 'outage',
  contenders: Object.keys(OUTAGES),
  rounds: 1,
  timeoutMs: 600_000,
  columns: {
    'token requests/min': ({ requestsPerMinute }) => requestsPerMinute,
    'most tries of a process': ({ worstTries }) => worstTries,
    'calls failed, mean': ({ meanFailed }) => meanFailed,
    's from recovery to the last of 40 first tokens': ({ slowestToken }) => slowestToken,
  },
  async measure({ contender }) {
    const { model, library } = await load();
    return model.fleetFigures(library, OUTAGES[contender]);
  },
};

const json = (status, body) => ({
  status,
  headers: { 'content-type': 'application/json' },
  body: JSON.stringify(body),
});
const invalidClient = json(401, { error: 'invalid_client' });
const REFUSALS = {
  '401 invalid_client': { refusal: invalidClient },
  '401 invalid_client after 3 s': { refusal: invalidClient, refusalMs: 3000 },
  '401 invalid_client after 9 s': { refusal: invalidClient, refusalMs: 9000 },
  '401 without a body': { refusal: { status: 401 } },
  '403 without a body': { refusal: { status: 403 } },
  'no answer': { refusal: 'hang' },
};
const LOGINS = Object.fromEntries(
  Object.entries(REFUSALS).flatMap(([name, refusal]) =>
    [1, 20].flatMap((scopes) =>
      [false, true].map((wasAccepted) => [
        `${name}, ${scopes === 1 ? '1 scope' : `${scopes} scopes`}${wasAccepted ? ', accepted before' : ''}`,
        { ...refusal, scopes, wasAccepted, callsPerSecond: 1, hours: 3 },
      ]),
    ),
  ),
);

/** How often a wrong secret is sent to an identity provider that may lock the client out. */
export const logins = {
  title: 'Logins of a wrong secret, with steady callers and acquireTimeoutMs of 5 s (model)',
  rows: 'answer',
  contenders: Object.keys(LOGINS),
  rounds: 1,
  timeoutMs: 600_000,
  columns: {
    'in the first hour': ([first]) => first,
    'in the second': ([, second]) => second,
    'in the third': ([, , third]) => third,
  },
  async measure({ contender }) {
    const { model, library } = await load();
    const runs = [];
    for (const seed of [1, 2, 3]) runs.push(await model.loginsPerHour(library, { ...LOGINS[contender], seed }));
    return runs[0].map((_, hour) => Math.max(...runs.map((run) => run[hour])));
  },
};

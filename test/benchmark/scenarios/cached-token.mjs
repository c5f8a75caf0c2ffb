// CPU time of a call with a cached token and an adapter that answers at once: the cost of the client itself.
import { createClient, withServers } from '../clients.mjs';
export const title = 'A call with a cached token: CPU time, with an adapter that answers at once';
export const reference = 'axios, fixed header per instance';
export const contenders = [
  'axios, no header',
  'axios, fixed header per instance',
  'axios, fixed header per call',
  'axios-token-interceptor',
  'simple-oauth2',
  'google-auth-library',
  'stock HttpService, fixed header',
  'identity-m2m axios',
  'identity-m2m HttpService',
];
export const rounds = 7;
export const unit = 'µs';
/** Less is better: the ratio is of costs. */
export const value = ({ microseconds }) => microseconds;

const CALLS = 4000;
const WARM_UP_CALLS = 20_000;
const REPETITIONS = 10;

const adapter = async (config) => ({ data: '{}', status: 200, statusText: 'OK', headers: {}, config, request: {} });

export function measure({ contender }) {
  return withServers(async (servers) => {
    const client = await createClient(contender, { ...servers, adapter });
    const run = async (calls) => {
      for (let i = 0; i < calls; i += 1) await client.get('/things');
    };
    await run(WARM_UP_CALLS);
    const samples = [];
    for (let i = 0; i < REPETITIONS; i += 1) {
      const before = process.cpuUsage();
      await run(CALLS);
      const { user, system } = process.cpuUsage(before);
      samples.push((user + system) / CALLS);
    }
    await client.close?.();
    return { microseconds: samples.toSorted((a, b) => a - b)[REPETITIONS / 2] };
  });
}

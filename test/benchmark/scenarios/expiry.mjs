// Steady traffic over tokens that live two seconds.
import { createClient, withServers } from '../clients.mjs';
import { pacedCalls, percentile } from './paced-calls.mjs';

export const title = '500 calls/s for 20 s over tokens that live 2 s (10,000 calls)';
export const contenders = [
  'axios-token-interceptor',
  '@badgateway/oauth2-client',
  'openid-client',
  'simple-oauth2',
  'google-auth-library',
  'identity-m2m HttpService',
  'identity-m2m undici',
];
export const rounds = 3;
export const columns = {
  'token requests': ({ tokenRequests }) => tokenRequests,
  '401s at the receiver': ({ unauthorized }) => unauthorized,
  'calls failed': ({ failed }) => failed,
  'control p99, ms': ({ controlP99Ms }) => controlP99Ms,
  'p99 / control': ({ p99Ratio }) => p99Ratio,
  'p99.9 / control': ({ p999Ratio }) => p999Ratio,
};

export function measure({ contender }) {
  return withServers(async (servers) => {
    await servers.set({ lifetimeSeconds: 2, delayMs: 20 });
    const client = await createClient(contender, servers);
    const control = await createClient('axios, fixed header per instance', { ...servers, fixedToken: 'control' });
    await control.get('/things');
    const { latencies, controlLatencies, failed, unfinished } = await pacedCalls({
      client,
      control,
      perSecond: 500,
      seconds: 20,
    });
    const { tokenRequests, unauthorized } = await servers.seen();
    const ratio = (fraction) => percentile(latencies, fraction) / percentile(controlLatencies, fraction);
    await client.close?.();
    return {
      tokenRequests: tokenRequests.length,
      unauthorized,
      failed: failed + unfinished,
      controlP99Ms: percentile(controlLatencies, 0.99),
      p99Ratio: ratio(0.99),
      p999Ratio: ratio(0.999),
    };
  });
}

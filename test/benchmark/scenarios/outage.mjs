// The token endpoint answers 503 for 10 of 20 seconds; tokens live 8 s.
import { createClient, withServers } from '../clients.mjs';
import { pacedCalls } from './paced-calls.mjs';

export const title =
  'An outage: 200 calls/s for 20 s, tokens live 8 s, the token endpoint answers 503 from second 5 to 15';
export const contenders = [
  'axios-token-interceptor',
  '@badgateway/oauth2-client',
  'openid-client',
  'simple-oauth2',
  'google-auth-library',
  'identity-m2m HttpService',
];
export const rounds = 3;
export const columns = {
  'token requests in the outage, per second': ({ perSecond }) => perSecond,
  '401s at the receiver': ({ unauthorized }) => unauthorized,
  'calls failed': ({ failed }) => failed,
};

export function measure({ contender }) {
  return withServers(async (servers) => {
    await servers.set({ lifetimeSeconds: 8 });
    const client = await createClient(contender, servers);
    const began = Date.now();
    setTimeout(() => void servers.set({ isDown: true }), 5000);
    setTimeout(() => void servers.set({ isDown: false }), 15_000);
    const { failed, unfinished } = await pacedCalls({ client, perSecond: 200, seconds: 20 });
    const { tokenRequests, unauthorized } = await servers.seen();
    const during = tokenRequests.filter((at) => at >= began + 5000 && at < began + 15_000);
    return { perSecond: during.length / 10, unauthorized, failed: failed + unfinished };
  });
}

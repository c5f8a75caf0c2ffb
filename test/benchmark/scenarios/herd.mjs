// All callers need the first token at the same time: with a working token endpoint, and with one that is down.
import { createClient, withServers } from '../clients.mjs';
export const title =
  'A herd: token requests for 10,000 concurrent first calls, and for 200 with the token endpoint down';
export const contenders = [
  'axios-token-interceptor',
  '@badgateway/oauth2-client',
  'openid-client',
  'simple-oauth2',
  'google-auth-library',
  'identity-m2m HttpService',
];
export const rounds = 1;
export const columns = {
  'token requests, 10,000 first calls': ({ successful }) => successful,
  'token requests, 200 calls while down': ({ failing }) => failing,
};

export function measure({ contender }) {
  return withServers(async (servers) => {
    await servers.set({ delayMs: 50 });
    const client = await createClient(contender, servers);
    await Promise.all(Array.from({ length: 10_000 }, () => client.token()));
    const successful = (await servers.seen()).tokenRequests.length;
    await servers.reset();
    await servers.set({ isDown: true });
    const other = await createClient(contender, servers);
    // Some contenders let callers wait for each other, for seconds each: their token requests of ten seconds are
    // counted.
    const all = Promise.allSettled(Array.from({ length: 200 }, () => other.token()));
    await Promise.race([all, new Promise((resolve) => setTimeout(resolve, 10_000))]);
    return { successful, failing: (await servers.seen()).tokenRequests.length };
  });
}

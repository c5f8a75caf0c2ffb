// The server revokes the token that 500 calls in flight carry.
import { createClient, withServers } from '../clients.mjs';
export const title = '500 calls in flight with a token that was just revoked';
export const contenders = [
  'axios-token-interceptor',
  '@badgateway/oauth2-client',
  'openid-client',
  'simple-oauth2',
  'google-auth-library',
  'identity-m2m HttpService',
  'identity-m2m fetch',
  'identity-m2m undici',
];
export const rounds = 1;
export const columns = {
  'token requests': ({ tokenRequests }) => tokenRequests,
  'calls failed': ({ failed }) => failed,
};

export function measure({ contender }) {
  return withServers(async (servers) => {
    const client = await createClient(contender, servers);
    await client.get('/things');
    await servers.revokeAll();
    await servers.reset();
    const statuses = await Promise.all(Array.from({ length: 500 }, () => client.get('/things').catch(() => 0)));
    const { tokenRequests } = await servers.seen();
    await client.close?.();
    return { tokenRequests: tokenRequests.length, failed: statuses.filter((status) => status !== 200).length };
  });
}

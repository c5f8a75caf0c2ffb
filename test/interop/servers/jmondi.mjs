// @jmondi/oauth2-server, with its adapter for the web's Request and Response: tokens are JWTs under a shared secret.
import { createServer } from 'node:http';
import { AuthorizationServer } from '@jmondi/oauth2-server';
import { handleVanillaError, requestFromVanilla, responseToVanilla } from '@jmondi/oauth2-server/vanilla';

const { PORT, CLIENT_ID, CLIENT_SECRET } = process.env;

const client = {
  id: CLIENT_ID,
  name: CLIENT_ID,
  secret: CLIENT_SECRET,
  redirectUris: [],
  allowedGrants: ['client_credentials'],
  scopes: [],
};
const clients = {
  getByIdentifier: async (id) => (id === CLIENT_ID ? client : undefined),
  isClientValid: async (grant, { allowedGrants }, secret) => secret === CLIENT_SECRET && allowedGrants.includes(grant),
};
const tokens = {
  issueToken: async (client, scopes) => ({
    accessToken: crypto.randomUUID(),
    accessTokenExpiresAt: new Date(Date.now() + 3_600_000),
    client,
    scopes,
  }),
  persist: async () => {},
  revoke: async () => {},
};
const scopes = { getAllByIdentifiers: async () => [], finalize: async (asked) => asked };

const server = new AuthorizationServer(clients, tokens, scopes, 'a secret of this server');
server.enableGrantType('client_credentials');

async function serve(incoming, outgoing) {
  const { method, headers, url } = incoming;
  const body = method === 'POST' ? Buffer.concat(await incoming.toArray()) : undefined;
  const request = new Request(new URL(url, `http://127.0.0.1:${PORT}`), { method, headers, body });
  const answer = await answerTo(request);
  outgoing.writeHead(answer.status, Object.fromEntries(answer.headers)).end(await answer.text());
}

async function answerTo(request) {
  if (new URL(request.url).pathname !== '/token') return new Response(null, { status: 404 });
  try {
    return responseToVanilla(await server.respondToAccessTokenRequest(await requestFromVanilla(request)));
  } catch (error) {
    return responseToVanilla(handleVanillaError(error));
  }
}

createServer((incoming, outgoing) => void serve(incoming, outgoing)).listen(Number(PORT), '127.0.0.1');

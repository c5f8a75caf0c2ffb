// oidc-provider: JWT access tokens for the resource that a client names, opaque ones for a client that names none.
import { generateKeyPairSync } from 'node:crypto';
import { Provider } from 'oidc-provider';

const { PORT, CLIENT_ID, CLIENT_SECRET, CLIENT_KEYS, AUDIENCE } = process.env;

const key = generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey.export({ format: 'jwk' });
const machine = (client_id, token_endpoint_auth_method, credential = { client_secret: CLIENT_SECRET }) => ({
  client_id,
  ...credential,
  token_endpoint_auth_method,
  grant_types: ['client_credentials'],
  response_types: [],
  redirect_uris: [],
});

const provider = new Provider(`http://127.0.0.1:${PORT}`, {
  // A client of this server has one method.
  clients: [
    machine(CLIENT_ID, 'client_secret_basic'),
    machine(`${CLIENT_ID}-post`, 'client_secret_post'),
    machine(`${CLIENT_ID}-key`, 'private_key_jwt', { jwks: JSON.parse(CLIENT_KEYS) }),
  ],
  jwks: { keys: [{ ...key, kid: 'key-1', use: 'sig', alg: 'RS256' }] },
  cookies: { keys: ['not used by machines'] },
  features: {
    clientCredentials: { enabled: true },
    devInteractions: { enabled: false },
    introspection: { enabled: true },
    revocation: { enabled: true },
    resourceIndicators: {
      enabled: true,
      defaultResource: () => undefined,
      getResourceServerInfo: () => ({ scope: 'notes', audience: AUDIENCE, accessTokenFormat: 'jwt' }),
    },
  },
});
provider.listen(Number(PORT), '127.0.0.1');

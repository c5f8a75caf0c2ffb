// An issuer with one key behind a real socket, and as many of its tokens as a measurement needs.
import { generateKeyPairSync, sign } from 'node:crypto';
import { createServer } from 'node:http';

const KEYS = {
  RS256: () => generateKeyPairSync('rsa', { modulusLength: 2048 }),
  ES256: () => generateKeyPairSync('ec', { namedCurve: 'P-256' }),
  EdDSA: () => generateKeyPairSync('ed25519'),
};

export const AUDIENCE = 'benchmark-api';

export async function startIssuer(alg = 'RS256') {
  const { publicKey, privateKey } = KEYS[alg]();
  const jwk = { ...publicKey.export({ format: 'jwk' }), kid: 'key-1', use: 'sig', alg };
  const server = createServer((request, response) => {
    const body = request.url === '/keys' ? { keys: [jwk] } : { issuer: issuer.url, jwks_uri: issuer.jwksUri };
    response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(body));
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  const url = `http://127.0.0.1:${server.address().port}`;
  const signature = (input) =>
    sign(alg === 'EdDSA' ? null : 'sha256', Buffer.from(input), { key: privateKey, dsaEncoding: 'ieee-p1363' });
  const header = segment({ alg, kid: 'key-1', typ: 'at+jwt' });
  const now = Math.floor(Date.now() / 1000);
  let made = 0;
  const issuer = {
    url,
    alg,
    jwksUri: `${url}/keys`,
    publicKeyPem: publicKey.export({ format: 'pem', type: 'spki' }),
    token() {
      made += 1;
      const claims = {
        iss: url,
        aud: AUDIENCE,
        sub: 'benchmark',
        client_id: 'benchmark',
        scope: 'read write',
        iat: now,
        exp: now + 36_000,
        jti: String(made).padStart(36, '0'),
      };
      const input = `${header}.${segment(claims)}`;
      return `${input}.${signature(input).toString('base64url')}`;
    },
    tokens: (count) => Array.from({ length: count }, () => issuer.token()),
    close: () => server.close(),
  };
  return issuer;
}

function segment(value) {
  return Buffer.from(JSON.stringify(value)).toString('base64url');
}

import { generateKeyPairSync, randomBytes } from 'node:crypto';
import type { ReceivedRequest } from '../http-server.js';
import { basicCredentials, secretSpellings } from '../secret-spellings.js';

/** Secrets that no output may have. */
export interface PlantedSecrets {
  readonly clientSecret: string;
  readonly nextSecret: string;
  readonly assertion: string;
  readonly grantAssertion: string;
  /** PKCS #8 in PEM. */
  readonly privateKey: string;
  /** A private JWK with a slip of the pen in it, which no parser takes. */
  readonly brokenJwk: string;
}

export const CLIENT_ID = 'planting-client';

export function plantSecrets(): PlantedSecrets {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  return {
    clientSecret: marked('s3cr3t/+&"%='),
    nextSecret: marked('n3xt'),
    assertion: `eyJhbGciOiJSUzI1NiJ9.${marked('federated')}.c2ln`,
    grantAssertion: `eyJhbGciOiJSUzI1NiJ9.${marked('grant')}.c2ln`,
    privateKey: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
    brokenJwk: `{"kty":"EC","crv":"P-256","d":${marked('key')}}`,
  };
}

/** A text that is nowhere else. */
export function marked(kind: string): string {
  return `${kind}-${randomBytes(18).toString('hex')}`;
}

/** Every text that would give one of these secrets away, by what it is. */
export function givingAway(
  planted: PlantedSecrets,
  tokens: readonly string[],
  requests: readonly ReceivedRequest[],
): Map<string, string> {
  const texts = new Map<string, string>();
  const add = (kind: string, secrets: readonly string[]) => {
    for (const secret of secrets) for (const text of secretSpellings(secret)) texts.set(text, kind);
  };
  add('client secret', [planted.clientSecret, planted.nextSecret]);
  add('Basic credentials', basicCredentials(CLIENT_ID, planted.clientSecret));
  add('federated assertion', [planted.assertion.split('.')[1]!]);
  add('assertion of the grant', [planted.grantAssertion.split('.')[1]!]);
  add('private key', planted.privateKey.split('\n').slice(1, -2));
  const jwkMember = planted.brokenJwk.slice(planted.brokenJwk.indexOf('key-'), -1);
  // A parser that complains quotes no more than the ten characters around what it does not understand.
  add('private JWK', [jwkMember, jwkMember.slice(0, 10)]);
  add('access token', tokens);
  for (const { headers, body } of requests) {
    const { authorization = '', dpop = '' } = headers;
    const parameters = new URLSearchParams(body.startsWith('{') ? '' : body);
    add('Authorization header', [authorization.replace(/^\w+ /, '')]);
    // Headers of proofs are alike, and tell nothing.
    add('DPoP proof', dpop.split('.').slice(1));
    add('client assertion', (parameters.get('client_assertion') ?? '').split('.').slice(1));
  }
  texts.delete('');
  return texts;
}

import { SignJWT } from 'jose';
import { type ClientAuth, ClientSecretPost } from 'oauth4webapi';
import { basicAuthorization, type BasicEncoding } from '../foundation/basic-authorization.js';
import { type ClientSecret, readSecret, type SecretSource } from '../foundation/secret-source.js';
import { strayCharacters } from '../foundation/text.js';
import type { ClientAuthentication, ClientCredential } from './client-authentication.js';
import { addClientAssertion, assertionClaims } from './client-assertion.js';

/**
 * Methods of client authentication that use a secret.
 *
 * - `client_secret_basic`: HTTP Basic with identifier and secret form-encoded, as RFC 6749 §2.3.1 requires. Letters,
 *   digits and `- . _ ~ *` stay unchanged, so that servers that decode nothing accept them too.
 * - `client_secret_basic_raw`: HTTP Basic without that encoding. Some servers, such as CyberArk Identity, do not
 *   decode, and reject an encoded secret with other characters.
 * - `client_secret_post`: in the request body.
 * - `client_secret_jwt`: the secret signs an assertion (RFC 7523 §2.2, HS256) and is not sent. It must have at least 32
 *   bytes.
 */
export const CLIENT_SECRET_METHODS = [
  'client_secret_basic',
  'client_secret_basic_raw',
  'client_secret_post',
  'client_secret_jwt',
] as const;

export type ClientSecretMethod = (typeof CLIENT_SECRET_METHODS)[number];

/** RFC 7518 §3.2: an attacker with one assertion could guess a shorter secret offline. */
export const HMAC_SECRET_BYTES = 32;

export function isHmacSecret(secret: string): boolean {
  return Buffer.byteLength(secret) >= HMAC_SECRET_BYTES;
}

/**
 * Authenticates the client with a secret.
 *
 * @param next Secret that replaces the current one in a rotation: tried when the server rejects the current one. It
 * need not exist yet.
 */
export function clientSecretAuthentication(
  method: ClientSecretMethod,
  current: SecretSource,
  next?: SecretSource,
): ClientAuthentication {
  return {
    method,
    fault: () => current.fault(),
    credentials: [current, ...(next ? [next] : [])].map(
      (source) => async () => credential(method, await readSecret(source)),
    ),
  };
}

function credential(method: ClientSecretMethod, secret: ClientSecret): ClientCredential {
  if (method === 'client_secret_jwt' && !isHmacSecret(secret.reveal())) {
    throw new RangeError(`the secret is shorter than the ${HMAC_SECRET_BYTES} bytes that client_secret_jwt needs`);
  }
  return {
    fingerprint: secret.fingerprint,
    authenticate: clientAuthOf(method, secret.reveal()),
    isTimed: method === 'client_secret_jwt',
    remark: remarkOn(secret.reveal()),
    secrets: [secret],
  };
}

/**
 * Describes what looks wrong about a secret. It may still be right, so this only appears in the error if the server
 * rejects it.
 */
function remarkOn(secret: string): string | undefined {
  const isQuoted = /^(["'`]).*\1$/s.test(secret);
  const found = isQuoted ? 'is in quotation marks, which were sent with it' : strayCharacters(secret);
  return found && `The client secret ${found}.`;
}

function clientAuthOf(method: ClientSecretMethod, secret: string): (now: Date) => ClientAuth {
  switch (method) {
    case 'client_secret_basic':
      return () => clientSecretBasic(secret, 'form');
    case 'client_secret_basic_raw':
      return () => clientSecretBasic(secret, 'raw');
    case 'client_secret_post':
      return () => ClientSecretPost(secret);
    case 'client_secret_jwt':
      return (now) => clientSecretJwt(secret, now);
  }
}

function clientSecretBasic(secret: string, encoding: BasicEncoding): ClientAuth {
  return (_server, client, _body, headers) => {
    headers.set('authorization', basicAuthorization(client.client_id, secret, encoding));
  };
}

function clientSecretJwt(secret: string, now: Date): ClientAuth {
  return async (server, client, body) => {
    const assertion = await new SignJWT({ ...assertionClaims(client.client_id, server.issuer, now) })
      .setProtectedHeader({ alg: 'HS256' })
      .sign(new TextEncoder().encode(secret));
    addClientAssertion(body, client.client_id, assertion);
  };
}

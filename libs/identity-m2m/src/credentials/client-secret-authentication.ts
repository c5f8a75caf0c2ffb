import { SignJWT } from 'jose';
import { type ClientAuth, ClientSecretPost } from 'oauth4webapi';
import { basicAuthorization, type BasicEncoding } from '../foundation/basic-authorization.js';
import type { ClientAuthentication, ClientCredential } from './client-authentication.js';
import { addClientAssertion, assertionClaims } from './client-assertion.js';
import { type ClientSecret, readSecret, type SecretSource } from './secret-source.js';
import { strayCharacters } from '../foundation/text.js';
/**
 * How a client secret is used.
 *
 * - `client_secret_basic`: sent by HTTP Basic, both halves form-encoded first, as RFC 6749 §2.3.1 demands. Letters, digits
 *   and `- . _ ~ *` stay as they are, so that servers which decode nothing understand it as well.
 * - `client_secret_basic_raw`: the same without that encoding. Some servers, CyberArk Identity among them, take the
 *   halves as they are, and refuse a secret with other characters in the standard form.
 * - `client_secret_post`: sent in the request body.
 * - `client_secret_jwt`: not sent; an assertion is signed with it (RFC 7523 §2.2, HS256). Takes 32 bytes or more.
 */
export const CLIENT_SECRET_METHODS = [
  'client_secret_basic',
  'client_secret_basic_raw',
  'client_secret_post',
  'client_secret_jwt',
] as const;

export type ClientSecretMethod = (typeof CLIENT_SECRET_METHODS)[number];

/** RFC 7518 §3.2: a shorter secret could be guessed from one assertion, by somebody who asks nobody. */
export const HMAC_SECRET_BYTES = 32;

export function isHmacSecret(secret: string): boolean {
  return Buffer.byteLength(secret) >= HMAC_SECRET_BYTES;
}

/**
 * Proves the client by a secret.
 *
 * @param next A secret that will take the place of the first one: tried when that is refused. It need not be there yet.
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
    proof: proofOf(method, secret.reveal()),
    isTimed: method === 'client_secret_jwt',
    remark: remarkOn(secret.reveal()),
    secrets: [secret],
  };
}

/** Such a secret may be right, so it is sent; once it is refused, this is the first thing to look at. */
function remarkOn(secret: string): string | undefined {
  const isQuoted = /^(["'`]).*\1$/s.test(secret);
  const found = isQuoted ? 'is in quotation marks, which were sent with it' : strayCharacters(secret);
  return found && `The client secret ${found}.`;
}

function proofOf(method: ClientSecretMethod, secret: string): (now: Date) => ClientAuth {
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

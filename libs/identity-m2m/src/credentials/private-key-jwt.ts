import { calculateJwkThumbprint, type JWK, SignJWT } from 'jose';
import { createPrivateKey, createPublicKey, type KeyObject } from 'node:crypto';
import type { ClientAuth } from 'oauth4webapi';
import { IdentityM2MError } from '../foundation/identity-m2m-error.js';
import { readSecret, type SecretInput, toSecretSource } from '../foundation/secret-source.js';
import { addClientAssertion, assertionClaims } from './client-assertion.js';
import type { ClientAuthentication, ClientCredential } from './client-authentication.js';

/** Signs outside this process, such as in a key management service or a hardware security module. */
export interface RemoteSigner {
  /** Algorithm of the signature (RFC 7518 §3.1). */
  readonly algorithm: string;
  /** Identifier of the key at the identity provider (`kid`), different for each version. */
  readonly keyId: string;
  /**
   * Returns the signature of the data in JWS format. An ECDSA signature is r and s concatenated, not DER (RFC 7518
   * §3.4).
   */
  sign(data: Uint8Array): Promise<Uint8Array> | Uint8Array;
}

export interface PrivateKeyJwtOptions {
  /**
   * The client's private key. PEM, or a JWK in JSON, as a string, a function or a source such as `fromFile('key.pem')`,
   * which the client reads for each token request; a JWK; a `KeyObject`; or a {@link RemoteSigner}.
   */
  readonly key: SecretInput | JWK | KeyObject | RemoteSigner;
  /** Identifier of the key at the identity provider (`kid`). Default: that of the JWK or the signer, otherwise none. */
  readonly keyId?: string;
  /**
   * Signature algorithm. Default: that of the JWK or the signer, otherwise by the key: RS256, ES256, ES384, ES512 or
   * EdDSA.
   */
  readonly algorithm?: string;
}

/**
 * Authenticates the client with an assertion that it signs with its private key (RFC 7523 §2.2, OpenID Connect Core 1.0
 * §9). The identity provider holds no secret that could leak.
 */
export function privateKeyJwt(options: PrivateKeyJwtOptions): ClientAuthentication {
  return {
    method: 'private_key_jwt',
    fault: () => fault(options),
    credentials: [() => credentialOf(options)],
  };
}

async function credentialOf({ key, keyId, algorithm }: PrivateKeyJwtOptions): Promise<ClientCredential> {
  if (isRemoteSigner(key)) {
    const header = { alg: algorithm ?? key.algorithm, kid: keyId ?? key.keyId };
    const authenticate = (now: Date) => remoteAssertion(key, header, now);
    return { fingerprint: header.kid, secrets: [], isTimed: true, authenticate };
  }
  const read = isKeyMaterial(key) ? keyOf(key) : parseKey((await readSecret(toSecretSource(key))).reveal());
  const { privateKey } = read;
  const kid = keyId ?? read.keyId;
  const alg = algorithm ?? read.algorithm ?? algorithmOf(privateKey);
  const header = { alg, ...(kid !== undefined && { kid }) };
  const publicJwk = createPublicKey(privateKey).export({ format: 'jwk' }) as JWK;
  return {
    fingerprint: (await calculateJwkThumbprint(publicJwk)).slice(0, 12),
    secrets: [],
    isTimed: true,
    authenticate: (now) => localAssertion(privateKey, header, now),
  };
}

function localAssertion(key: KeyObject, header: { alg: string; kid?: string }, now: Date): ClientAuth {
  return async (server, client, body) => {
    const claims = { ...assertionClaims(client.client_id, server.issuer, now) };
    const assertion = await new SignJWT(claims).setProtectedHeader(header).sign(key);
    addClientAssertion(body, client.client_id, assertion);
  };
}

function remoteAssertion(signer: RemoteSigner, header: object, now: Date): ClientAuth {
  return async (server, client, body) => {
    const claims = assertionClaims(client.client_id, server.issuer, now);
    const input = [header, claims].map((part) => Buffer.from(JSON.stringify(part)).toString('base64url')).join('.');
    const signature = await signRemotely(signer, Buffer.from(input, 'ascii'));
    addClientAssertion(body, client.client_id, `${input}.${Buffer.from(signature).toString('base64url')}`);
  };
}

async function signRemotely(signer: RemoteSigner, data: Uint8Array): Promise<Uint8Array> {
  try {
    return await signer.sign(data);
  } catch (cause) {
    throw new SignerError(signer.keyId, cause);
  }
}

/** Returns what is invalid in the key, unless it has to be read from another source. */
function fault({ key, algorithm }: PrivateKeyJwtOptions): string | undefined {
  if (isRemoteSigner(key)) return undefined;
  if (!isKeyMaterial(key) && typeof key !== 'string') return toSecretSource(key).fault();
  try {
    const read = typeof key === 'string' ? parseKey(key) : keyOf(key);
    const suitable = algorithmOf(read.privateKey);
    const chosen = algorithm ?? read.algorithm ?? suitable;
    return fits(suitable, chosen) ? undefined : 'a key that cannot sign with the chosen algorithm';
  } catch {
    // The error may quote the key.
    return 'a key that cannot sign: not a private key, or an unsupported kind of key';
  }
}

/** An RSA key fits several algorithms, any other key only one. Ed25519 has two names (RFC 9864 §2.2). */
function fits(suitable: string, chosen: string): boolean {
  if (suitable === 'RS256') return /^[RP]S(?:256|384|512)$/.test(chosen);
  return chosen === suitable || (suitable === 'EdDSA' && chosen === 'Ed25519');
}

function isRemoteSigner(key: PrivateKeyJwtOptions['key']): key is RemoteSigner {
  return typeof key === 'object' && 'sign' in key && typeof key.sign === 'function';
}

function isJwk(key: PrivateKeyJwtOptions['key']): key is JWK {
  return typeof key === 'object' && 'kty' in key;
}

function isKeyMaterial(key: PrivateKeyJwtOptions['key']): key is JWK | KeyObject {
  return isJwk(key) || (typeof key === 'object' && 'asymmetricKeyType' in key);
}

interface ReadKey {
  readonly privateKey: KeyObject;
  readonly keyId?: string | undefined;
  readonly algorithm?: string | undefined;
}

function keyOf(key: JWK | KeyObject): ReadKey {
  if (!isJwk(key)) return { privateKey: key };
  return { privateKey: createPrivateKey({ format: 'jwk', key: key as never }), keyId: key.kid, algorithm: key.alg };
}

/** @throws TypeError without the parser's own error, which may quote the key. */
function parseKey(text: string): ReadKey {
  try {
    return text.trimStart().startsWith('{') ? keyOf(JSON.parse(text) as JWK) : { privateKey: createPrivateKey(text) };
  } catch {
    throw new TypeError('the key is neither a private key in PEM nor the JSON of a private JWK');
  }
}

const EC_ALGORITHMS: Readonly<Record<string, string>> = { prime256v1: 'ES256', secp384r1: 'ES384', secp521r1: 'ES512' };

function algorithmOf(key: KeyObject): string {
  if (key.type !== 'private') throw new TypeError('not a private key');
  const curve = key.asymmetricKeyDetails?.namedCurve ?? '';
  switch (key.asymmetricKeyType) {
    case 'rsa':
      return 'RS256';
    case 'ec':
      if (Object.hasOwn(EC_ALGORITHMS, curve)) return EC_ALGORITHMS[curve]!;
      throw new TypeError('a curve that JWS has no algorithm for');
    case 'ed25519':
      return 'EdDSA';
    default:
      throw new TypeError('a kind of key that JWS has no algorithm for');
  }
}

/**
 * A remote signer failed. Its own error is the cause and not part of the message, because it may contain a URL with a
 * token.
 */
class SignerError extends IdentityM2MError {
  readonly code = 'M2M_SIGNER_FAILED';

  constructor(keyId: string, cause: unknown) {
    super(`the signer of key ${keyId} failed (see the cause)`, { cause });
  }
}

import { decodeJwt, decodeProtectedHeader } from 'jose';
import { randomUUID } from 'node:crypto';
import { secretFingerprint, SensitiveValue } from '../foundation/sensitive-value.js';
import type { ClientAuthentication, ClientCredential } from './client-authentication.js';
import { readSecret, type SecretInput, type SecretSource, toSecretSource } from './secret-source.js';

/**
 * An assertion that somebody else has signed for the client (RFC 7521 §4).
 *
 * Its fingerprint says who vouches for whom, to whom and with which key, and not when: platforms renew assertions every
 * few minutes, or make one for each request. What an identity provider has refused is not the text but the trust, and a
 * new text of the same kind is no reason to ask it again at once.
 */
export class SignedAssertion extends SensitiveValue {
  /** When it ends, where it can be read. */
  readonly expiresAt: Date | undefined;

  constructor(text: string) {
    const { identity, expiresAt } = readable(text);
    super(text, secretFingerprint(identity));
    this.expiresAt = expiresAt;
  }
}

/** The assertion as it is now. */
export async function readSignedAssertion(source: SecretSource): Promise<SignedAssertion> {
  return new SignedAssertion((await readSecret(source)).reveal());
}

/** Not verified: that is for the identity provider. */
function readable(text: string): { identity: string; expiresAt?: Date } {
  try {
    const { iss, sub, aud, exp } = decodeJwt(text);
    const identity = JSON.stringify([decodeProtectedHeader(text).kid, iss, sub, aud]);
    return { identity, ...(typeof exp === 'number' && { expiresAt: new Date(exp * 1000) }) };
  } catch {
    return { identity: text };
  }
}

/** RFC 7523 §2.2. */
export const CLIENT_ASSERTION_TYPE = 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer';

/** Values of `aud`: the identifier of the issuer, or the address of the endpoint that the request goes to. */
export const ASSERTION_AUDIENCES = ['issuer', 'endpoint'] as const;

export type AssertionAudience = (typeof ASSERTION_AUDIENCES)[number];

/** How long an assertion is good for, in seconds. Long enough to arrive, short enough to be of no use when stolen. */
const LIFETIME_SECONDS = 60;

/**
 * The claims by which a client proves itself (RFC 7523 §3), new for each attempt.
 *
 * The audience is one text: an assertion that names more than one server could be taken to the other one by the first.
 */
export function assertionClaims(clientId: string, audience: string, now: Date) {
  const seconds = Math.floor(now.getTime() / 1000);
  return {
    iss: clientId,
    sub: clientId,
    aud: audience,
    jti: randomUUID(),
    iat: seconds,
    nbf: seconds,
    exp: seconds + LIFETIME_SECONDS,
  };
}

/**
 * Proves the client by an assertion that somebody else has signed for it (RFC 7521 §4.2): a projected service account
 * token of Kubernetes, a token of the platform it runs on. There is nothing to keep secret for longer than minutes.
 *
 * @param assertion Read for each token request, because the platform renews it: `fromFile('/var/run/secrets/…/token')`,
 * or a function. One that has expired is not shown.
 */
export function federatedAssertion(assertion: SecretInput): ClientAuthentication {
  const source = toSecretSource(assertion);
  return {
    method: 'federated_assertion',
    fault: () => source.fault(),
    credentials: [async () => credential(await readSignedAssertion(source))],
  };
}

function credential(signed: SignedAssertion): ClientCredential {
  return {
    fingerprint: signed.fingerprint,
    secrets: [signed],
    isTimed: false,
    expiresAt: signed.expiresAt,
    proof: () => (_server, client, body) => {
      body.set('client_id', client.client_id);
      body.set('client_assertion_type', CLIENT_ASSERTION_TYPE);
      body.set('client_assertion', signed.reveal());
    },
  };
}

/** What a client asks for a token with (RFC 6749 §1.3). */
export interface TokenGrant {
  readonly grantType: string;
  fault(): string | undefined;
  /** The assertion that is the grant, where the type has one. Read for each attempt. */
  readAssertion(): Promise<SignedAssertion | undefined>;
}

/** The client's own credentials (RFC 6749 §4.4). */
export const clientCredentials: TokenGrant = {
  grantType: 'client_credentials',
  fault: () => undefined,
  readAssertion: async () => undefined,
};

/**
 * A JWT that somebody the identity provider trusts has issued (RFC 7523 §2.1), such as a projected service account token.
 *
 * @param assertion Read for each token request: `fromFile('/var/run/secrets/…/token')`, or a function. One that has
 * expired is not shown.
 */
export function jwtBearer(assertion: SecretInput): TokenGrant {
  const source = toSecretSource(assertion);
  return {
    grantType: 'urn:ietf:params:oauth:grant-type:jwt-bearer',
    fault: () => source.fault(),
    readAssertion: () => readSignedAssertion(source),
  };
}

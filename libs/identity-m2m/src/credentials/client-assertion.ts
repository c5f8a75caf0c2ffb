import { randomUUID } from 'node:crypto';

const CLIENT_ASSERTION_TYPE = 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer';

/** Values of `aud`: the identifier of the issuer, or the address of the endpoint that receives the request. */
export const ASSERTION_AUDIENCES = ['issuer', 'endpoint'] as const;

export type AssertionAudience = (typeof ASSERTION_AUDIENCES)[number];

/** Lifetime of an assertion, in seconds: long enough to arrive, too short to be worth stealing. */
const LIFETIME_SECONDS = 60;

/**
 * Returns the claims of an assertion that the client signs (RFC 7523 §3), new for each attempt.
 *
 * The audience is one string: with several audiences, one server could replay the assertion at another.
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

/** Adds an assertion to the body of a token request (RFC 7523 §2.2). */
export function addClientAssertion(body: URLSearchParams, clientId: string, assertion: string): void {
  body.set('client_id', clientId);
  body.set('client_assertion_type', CLIENT_ASSERTION_TYPE);
  body.set('client_assertion', assertion);
}

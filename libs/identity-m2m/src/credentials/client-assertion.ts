import { randomUUID } from 'node:crypto';

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

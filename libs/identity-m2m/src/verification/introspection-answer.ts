import { parseStrictJsonObject } from '../foundation/strict-json.js';
import type { Claims } from '../identity-providers/access-token-profile.js';
import { statedClaims } from './stated-claims.js';

/** What an issuer says about a token. */
export type IntrospectionAnswer = { readonly active: true; readonly claims: Claims } | { readonly active: false };

/**
 * Reads the claims of an introspection answer (RFC 7662 §2.2).
 *
 * `active` is true or false, and nothing else: a text that says "true" is an answer that is not understood.
 *
 * @param timesAsText Whether times may be texts of digits, as some servers write them.
 * @returns undefined where the answer is not understood.
 */
export function readIntrospectionAnswer(json: string, timesAsText: boolean): IntrospectionAnswer | undefined {
  const document = parseStrictJsonObject(json);
  return document.ok ? introspectionAnswer(document.value, timesAsText) : undefined;
}

export function introspectionAnswer(
  { active, ...claims }: Readonly<Record<string, unknown>>,
  timesAsText: boolean,
): IntrospectionAnswer | undefined {
  if (active === false) return { active };
  if (active !== true) return undefined;
  return { active, claims: withoutEmptyAudience(statedClaims(timesAsText ? withTimes(claims) : claims)) };
}

/** Some servers write an empty list where no audience was granted, which says no more than none. */
function withoutEmptyAudience({ aud, ...rest }: Claims): Claims {
  return aud === undefined || (Array.isArray(aud) && aud.length === 0) ? rest : { ...rest, aud };
}

function withTimes(claims: Claims): Claims {
  const times = ['exp', 'iat', 'nbf'].flatMap((name) => {
    const value = claims[name];
    return typeof value === 'string' && /^\d{1,12}$/.test(value) ? [[name, Number(value)]] : [];
  });
  return { ...claims, ...Object.fromEntries(times) };
}

import { OPAQUE_TOKEN } from '../foundation/text.js';
import { LONGEST_TOKEN, tooLong } from '../verification/compact-jws.js';
import { type Refusal, refuse } from '../verification/refusal.js';

/** The only credential of a call, or the refusal if there is none. */
export type Credential = { readonly ok: true; readonly token: string } | Refusal;

/**
 * Returns the only access token among all values of `Authorization` of a call.
 *
 * Refuses two values even if they are equal: different readers might use different ones.
 */
export function soleCredential(values: readonly unknown[], scheme?: string): Credential {
  return values.length > 1 ? refuse('credential_repeated') : bearerCredential(values[0], scheme);
}

/**
 * Returns the only access token in named fields. Ignores the case of names.
 *
 * A repeated field may arrive as a list of its values. A list of one is not a repetition: the sender sent a list
 * instead of a string.
 */
export function credentialIn(fields: Iterable<readonly [string, unknown]>): Credential {
  const values: unknown[] = [];
  for (const [name, value] of fields) {
    if (!isAuthorization(name)) continue;
    if (Array.isArray(value) && value.length > 1) values.push(...(value as unknown[]));
    else values.push(value);
  }
  return soleCredential(values);
}

/**
 * Reads the access token in one value of `Authorization` (RFC 6750 §2.1), after one or more spaces (RFC 9110 §11.4:
 * `1*SP`). Takes time linear in the length.
 *
 * @param scheme The scheme before the token; empty if the whole value is the token.
 */
export function bearerCredential(value: unknown, scheme = 'Bearer'): Credential {
  if (value === undefined) return refuse('credential_missing');
  if (typeof value !== 'string') return refuse('credential_malformed');
  const blank = value.indexOf(' ');
  const found = scheme === '' ? '' : blank < 0 ? value : value.slice(0, blank);
  if (found.toLowerCase() !== scheme.toLowerCase()) return refuse('credential_missing');
  let start = found.length;
  while (value[start] === ' ') start++;
  const token = value.slice(start);
  // The verifier applies the limit of the options, which is never above this one.
  if (token.length > LONGEST_TOKEN) return tooLong(token.length, LONGEST_TOKEN);
  return OPAQUE_TOKEN.test(token) ? { ok: true, token } : refuse('credential_malformed');
}

function isAuthorization(name: string): boolean {
  return isNamed(name, 'authorization');
}

/** Compares names of fields case-insensitively. @param wanted In lower case. */
export function isNamed(name: string, wanted: string): boolean {
  return name.length === wanted.length && name.toLowerCase() === wanted;
}

import { OPAQUE_TOKEN } from '../foundation/text.js';
import { LONGEST_TOKEN, tooLong } from '../verification/compact-jws.js';
import { type Refusal, refuse } from '../verification/refusal.js';

/** The one credential of a call, or the refusal where there is none. */
export type Credential = { readonly ok: true; readonly token: string } | Refusal;

/**
 * Returns the one access token among all values of `Authorization` of a call.
 *
 * Refuses two values even where they are equal: different readers might take different ones.
 */
export function soleCredential(values: readonly unknown[], scheme?: string): Credential {
  return values.length > 1 ? refuse('credential_repeated') : bearerCredential(values[0], scheme);
}

/**
 * Returns the one access token in fields with names, which are compared without regard to case.
 *
 * A repeated field may come as a list of its values. A list of one is no repetition: the sender sent a list, which is
 * no string.
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
 * Reads the access token in one value of `Authorization` (RFC 6750 §2.1), after one blank or several (RFC 9110 §11.4:
 * `1*SP`). Takes time linear in the length.
 *
 * @param scheme The scheme before the token; empty where the whole value is the token.
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

/** Compares names of fields without regard to case. @param wanted In lower case. */
export function isNamed(name: string, wanted: string): boolean {
  return name.length === wanted.length && name.toLowerCase() === wanted;
}

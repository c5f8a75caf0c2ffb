import { isB64Token } from '../foundation/b64-token.js';
import { LONGEST_TOKEN, tooLong } from '../verification/compact-jws.js';
import { type Refusal, refuse } from '../verification/refusal.js';

/** What a transport's reader found: the one credential of a call, or why there is none. */
export type Credential = { readonly ok: true; readonly token: string } | Refusal;

/**
 * The one access token among all values of `Authorization` that came with a call.
 *
 * Two are one too many, were they the same: different readers might take different ones.
 */
export function soleCredential(values: readonly unknown[]): Credential {
  return values.length > 1 ? refuse('credential_repeated') : bearerCredential(values[0]);
}

/**
 * The same, out of fields by their names, which are compared without regard to case.
 *
 * A field that is repeated may come as a list of its values. A list of one is no repetition but a value of the sender's
 * own, and no text.
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
 * The access token in one value of `Authorization` (RFC 6750 §2.1, RFC 9110 §11.4), behind exactly one blank. Its time is
 * linear in the length.
 */
export function bearerCredential(value: unknown): Credential {
  if (value === undefined) return refuse('credential_missing');
  if (typeof value !== 'string') return refuse('credential_malformed');
  const blank = value.indexOf(' ');
  const scheme = blank < 0 ? value : value.slice(0, blank);
  if (scheme.toLowerCase() !== 'bearer') return refuse('credential_missing');
  const token = value.slice(scheme.length + 1);
  // The verifier goes by the limit of the options, which is never above this one.
  if (token.length > LONGEST_TOKEN) return tooLong(token.length, LONGEST_TOKEN);
  return isB64Token(token) ? { ok: true, token } : refuse('credential_malformed');
}

const NAME = 'authorization';

export function isAuthorization(name: string): boolean {
  return name.length === NAME.length && name.toLowerCase() === NAME;
}

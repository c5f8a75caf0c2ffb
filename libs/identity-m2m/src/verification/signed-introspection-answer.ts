import { parseCompactJws } from './compact-jws.js';
import { type IntrospectionAnswer, introspectionAnswer } from './introspection-answer.js';
import type { KeySet } from './key-set.js';
import { signerOf } from './signature.js';

export interface SignedAnswerExpectation {
  readonly issuer: string;
  /** The guard's own client identifier, which the answer must be for. */
  readonly clientId: string;
  readonly keys: KeySet;
  readonly algorithms: readonly string[];
  readonly timesAsText: boolean;
  readonly nowSeconds: number;
}

/** Longest signed answer that is looked at, in characters. */
const MAX_ANSWER_LENGTH = 65_536;

/** How old an answer may be, and how far ahead of this clock, in seconds: an older one is a recording. */
const MAX_DEVIATION_SECONDS = 120;

/**
 * Verifies a signed introspection answer (RFC 9701 §5, §8.1) and reads it.
 *
 * @returns undefined where it is not this issuer's answer, to this guard, from now.
 */
export async function verifySignedAnswer(
  text: string,
  { issuer, clientId, keys, algorithms, timesAsText, nowSeconds }: SignedAnswerExpectation,
): Promise<IntrospectionAnswer | undefined> {
  const jws = parseCompactJws(text, MAX_ANSWER_LENGTH);
  if (!jws.ok) return undefined;
  const { alg, kid, typ } = jws.header;
  const isOfType = typeof typ === 'string' && /^(?:application\/)?token-introspection\+jwt$/i.test(typ);
  const isKidText = kid === undefined || typeof kid === 'string';
  if (!isOfType || !isKidText || typeof alg !== 'string' || !algorithms.includes(alg)) return undefined;
  if (Object.hasOwn(jws.header, 'crit') || Object.hasOwn(jws.header, 'b64')) return undefined;
  const signer = await signerOf(text, { kid, algorithm: alg }, keys);
  if ('ok' in signer) return undefined;
  const { iss, aud, iat, token_introspection: answer } = jws.claims;
  const isForUs = aud === clientId || (Array.isArray(aud) && aud.includes(clientId));
  const isFromNow = typeof iat === 'number' && Math.abs(nowSeconds - iat) <= MAX_DEVIATION_SECONDS;
  if (iss !== issuer || !isForUs || !isFromNow) return undefined;
  if (typeof answer !== 'object' || answer === null || Array.isArray(answer)) return undefined;
  return introspectionAnswer(answer as Readonly<Record<string, unknown>>, timesAsText);
}

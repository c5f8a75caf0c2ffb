import { compactVerify } from 'jose';
import { parseStrictJsonObject } from '../foundation/strict-json.js';
import type { KeySet, VerificationKeys } from './key-set.js';
import { type Refusal, type RefusalDetail, refuse, shown } from './refusal.js';

/** Default limit for the length of an access token, in characters. */
export const DEFAULT_MAX_TOKEN_LENGTH = 16_384;

/** Largest limit that the options may set for the length of an access token, in characters. */
export const LONGEST_TOKEN = 65_536;

/** A token with the form of a signed JWT. No part of it has been verified. */
export interface CompactJws {
  readonly ok: true;
  readonly header: Readonly<Record<string, unknown>>;
  readonly claims: Readonly<Record<string, unknown>>;
}

/**
 * Parses a token by the strict grammar of a signed JWT in compact serialisation (RFC 7515 §7.1, RFC 7519 §7.2).
 *
 * It has three non-empty parts in canonical base64url without padding; header and claims are JSON objects in UTF-8
 * without repeated members or lone surrogates. So a token has exactly one encoding and one meaning. Runs before any
 * cryptography, in time linear in the token's length, which the caller limits.
 */
export function parseCompactJws(token: string): CompactJws | Refusal {
  const firstDot = token.indexOf('.');
  const secondDot = token.indexOf('.', firstDot + 1);
  if (firstDot < 1 || secondDot < 0 || token.includes('.', secondDot + 1)) {
    return malformed(firstDot < 0 ? 'a token in one part' : 'not three parts, or an empty one');
  }
  const header = jsonPart(token.slice(0, firstDot));
  if (!header) return malformed('a header that is not a strict JSON object in base64url');
  const claims = jsonPart(token.slice(firstDot + 1, secondDot));
  if (!claims) return malformed('claims that are not a strict JSON object in base64url');
  if (!isCanonicalBase64Url(token.slice(secondDot + 1)))
    return malformed('a signature that is not canonical base64url');
  return { ok: true, header, claims };
}

export function tooLong(length: number, maxLength: number): Refusal {
  return refuse('token_too_long', { found: `${length} characters`, expected: `at most ${maxLength}` });
}

function malformed(found: string): Refusal {
  return refuse('token_malformed', { found, expected: 'a signed JWT: three parts in base64url' });
}

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

function jsonPart(text: string): Readonly<Record<string, unknown>> | undefined {
  const bytes = decodeBase64Url(text);
  if (!bytes) return undefined;
  try {
    const json = utf8.decode(bytes);
    const result = parseStrictJsonObject(json);
    return result.ok && !hasLoneSurrogates(json, result.value) ? result.value : undefined;
  } catch {
    return undefined;
  }
}

/** A lone surrogate can only come from an escape. Serialised again, it is an escape; a whole character is not. */
function hasLoneSurrogates(json: string, value: unknown): boolean {
  return /\\u[dD][89a-fA-F]/.test(json) && /(?<!\\)(?:\\\\)*\\ud[89a-f]/.test(JSON.stringify(value));
}

/** Decodes a canonical base64url string. Returns undefined for any other string. */
function decodeBase64Url(text: string): Buffer | undefined {
  return isCanonicalBase64Url(text) ? Buffer.from(text, 'base64url') : undefined;
}

const ALPHABET = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';

/**
 * Whether a string is base64url without padding (RFC 7515 §2), and the only spelling of its bytes: the bits of the last
 * character beyond the last whole byte must be zero (RFC 4648 §3.5).
 */
function isCanonicalBase64Url(text: string): boolean {
  if (!/^[A-Za-z0-9_-]+$/.test(text)) return false;
  const beyondBits = [0, 6, 4, 2][text.length % 4]!;
  return beyondBits < 6 && ALPHABET.indexOf(text.at(-1)!) % 2 ** beyondBits === 0;
}

/** Verifies a JWS in compact serialisation. Returns the key that signed it and the key set that holds the key. */
export async function verifyJws(
  jws: string,
  { kid, algorithm }: { readonly kid: string | undefined; readonly algorithm: string },
  keys: KeySet,
) {
  let tried: VerificationKeys | undefined;
  for (;;) {
    const lookup = await keys.find(kid, algorithm, tried);
    if (lookup.kind === 'unknown') return tried && kid === undefined ? invalid(kid) : unknown(kid, algorithm);
    if (lookup.kind === 'unavailable') {
      return { ...refuse('issuer_unavailable'), retryAfterSeconds: lookup.retryAfterSeconds };
    }
    for (const key of lookup.keys) {
      try {
        await compactVerify(jws, key.key, { algorithms: [algorithm] });
        return { key, set: lookup.set };
      } catch {
        // Not this key; perhaps the next one with the same identifier.
      }
    }
    if (lookup.areNamed || tried) return invalid(kid);
    // Perhaps a key that the issuer has published since: its key set is read, as for an unknown kid.
    tried = lookup.set;
  }
}

function invalid(kid: string | undefined): Refusal {
  return refuse('signature_invalid', { ...aboutKey(kid), expected: 'a signature by a key of the issuer' });
}

function unknown(kid: string | undefined, algorithm: string): Refusal {
  return refuse('key_unknown', { ...aboutKey(kid), expected: `a key of the issuer for ${algorithm}` });
}

function aboutKey(kid: string | undefined): RefusalDetail {
  return { claim: 'kid', ...(kid !== undefined && { found: shown(kid) }) };
}

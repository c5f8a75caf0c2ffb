import { parseStrictJsonObject } from '../foundation/strict-json.js';
import { type Refusal, refuse } from './refusal.js';

/** Longest access token read where the options set no other limit, in characters. */
export const DEFAULT_MAX_TOKEN_LENGTH = 16_384;

/** Longest access token that the options may allow, in characters. */
export const LONGEST_TOKEN = 65_536;

/** A token that has the form of a signed JWT. Nothing in it has been verified. */
export interface CompactJws {
  readonly ok: true;
  readonly header: Readonly<Record<string, unknown>>;
  readonly claims: Readonly<Record<string, unknown>>;
}

/**
 * Takes a token apart by the strict grammar of a signed JWT in compact serialisation (RFC 7515 §7.1, RFC 7519 §7.2).
 *
 * Three parts of canonical base64url without padding, each non-empty; header and claims are JSON objects in UTF-8
 * without repeated members and half characters. There is then exactly one spelling of a token, and one reading of it. Runs before any
 * cryptography, in time linear in the token's length.
 */
export function parseCompactJws(token: string, maxLength: number): CompactJws | Refusal {
  if (token.length > maxLength) return tooLong(token.length, maxLength);
  const firstDot = token.indexOf('.');
  const secondDot = token.indexOf('.', firstDot + 1);
  if (firstDot < 1 || secondDot < 0 || token.includes('.', secondDot + 1)) {
    return malformed(firstDot < 0 ? 'a token in one part' : 'parts of another number, or an empty one');
  }
  const header = jsonPart(token.slice(0, firstDot));
  if (!header) return malformed('a header that is no strict JSON object in base64url');
  const claims = jsonPart(token.slice(firstDot + 1, secondDot));
  if (!claims) return malformed('claims that are no strict JSON object in base64url');
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

/** Half a character can only come from an escape. Written back, it is one again; a whole character is not. */
function hasLoneSurrogates(json: string, value: unknown): boolean {
  return /\\u[dD][89a-fA-F]/.test(json) && /(?<!\\)(?:\\\\)*\\ud[89a-f]/.test(JSON.stringify(value));
}

/** Bytes of a canonical base64url text; undefined for any other text. */
function decodeBase64Url(text: string): Buffer | undefined {
  return isCanonicalBase64Url(text) ? Buffer.from(text, 'base64url') : undefined;
}

const ALPHABET = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';

/**
 * Whether a text is base64url without padding (RFC 7515 §2), and the only one for its bytes: what the last character has
 * beyond the last whole byte must be zero (RFC 4648 §3.5), or there would be a second spelling.
 */
function isCanonicalBase64Url(text: string): boolean {
  if (!/^[A-Za-z0-9_-]+$/.test(text)) return false;
  const beyondBits = [0, 6, 4, 2][text.length % 4]!;
  return beyondBits < 6 && ALPHABET.indexOf(text.at(-1)!) % 2 ** beyondBits === 0;
}

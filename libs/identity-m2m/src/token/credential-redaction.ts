import type { SensitiveValue } from '../foundation/sensitive-value.js';

/** Members of a token request's body that prove the client's identity. */
const CREDENTIAL_PARAMETERS = ['client_secret', 'client_assertion', 'assertion'];

/** Members of an answer that are good for something in the wrong hands: `access_token`, `idToken`, not `token_type`. */
const TOKEN_MEMBER = /^(?!.*(?:type|expire|scope|ur[il]$|endpoint)).*(?:token|jwt|secret)/i;

/**
 * The shortest part of a credential that is taken out of a text, in characters, and the shortest whole one: a secret of
 * fewer could be guessed anyhow, and its letters are in words that a message needs.
 */
export const SHORTEST_REDACTED = 8;

/** Request headers of the application's own that may hold a secret, such as `x-api-key`. */
const SECRET_HEADER = /key|token|secret|auth|pass|sign|cookie/i;

/** Longest text that is looked through, in characters: more than anybody is shown. */
const LONGEST_TEXT = 2000;

/**
 * Every spelling in which a token request carries its credential, and in which a server may repeat it. This is what has
 * to be taken out of its answer.
 */
export function sentCredentials(
  secrets: readonly SensitiveValue[],
  headers: Readonly<Record<string, string>>,
  body: URLSearchParams,
): string[] {
  const [, credentials = ''] = (headers.authorization ?? '').split(' ', 2);
  const [, password = ''] = Buffer.from(credentials, 'base64').toString('utf8').split(/:(.*)/s, 2);
  const parameters = CREDENTIAL_PARAMETERS.flatMap((name) => body.getAll(name));
  const others = Object.entries(headers).flatMap(([name, value]) => (SECRET_HEADER.test(name) ? value : []));
  const revealed = secrets.map((secret) => secret.reveal());
  const texts = [...revealed, credentials, password, headers.dpop ?? '', ...parameters, ...others];
  return [...new Set(texts.flatMap(spellings))].filter((text) => text.length >= SHORTEST_REDACTED);
}

/** The tokens in an answer's body, at any depth, which its server may have put in other places of the answer as well. */
export function issuedTokens(body: string): string[] {
  return tokensIn(membersOf(body))
    .filter((token) => token.length >= SHORTEST_REDACTED)
    .flatMap(spellings);
}

function membersOf(body: string): unknown {
  try {
    return JSON.parse(body);
  } catch {
    return Object.fromEntries(new URLSearchParams(body));
  }
}

/** Without recursion: an answer may be nested as deep as it is long. */
function tokensIn(root: unknown): string[] {
  const tokens: string[] = [];
  const queue: [name: string, value: unknown][] = [['', root]];
  for (let next = queue.pop(); next; next = queue.pop()) {
    const [name, value] = next;
    if (typeof value === 'string' && TOKEN_MEMBER.test(name)) tokens.push(value);
    if (typeof value !== 'object' || value === null) continue;
    for (const [key, member] of Object.entries(value)) queue.push([Array.isArray(value) ? name : key, member]);
  }
  return tokens;
}

/**
 * Takes credentials out of a text, and parts of credentials: a server may cut off what it repeats, or wrap it.
 *
 * The case of letters does not count, because that of escapes and of hexadecimal digits is anybody's choice.
 */
export function redactCredentials(credentials: readonly string[], text: string): string {
  const cut = text.slice(0, LONGEST_TEXT);
  const haystack = inLowerCase(cut);
  const isCredential = new Uint8Array(haystack.length);
  for (const piece of piecesIn(haystack, credentials)) {
    for (let at = haystack.indexOf(piece); at >= 0; at = haystack.indexOf(piece, at + 1)) {
      isCredential.fill(1, at, at + piece.length);
    }
  }
  return [...cut.matchAll(/./gsu)]
    .map(({ 0: character, index }) => {
      if (!isCredential[index]) return character;
      return isCredential[index - 1] ? '' : '[credential]';
    })
    .join('');
}

/** Pieces of credentials that the text has, so that together they cover whatever it has of one. */
function piecesIn(text: string, credentials: readonly string[]): Set<string> {
  const parts = new Set(windows(text));
  const pieces = credentials.map(inLowerCase).flatMap((credential) => {
    return windows(credential).filter((part) => parts.has(part));
  });
  return new Set(pieces);
}

function windows(text: string): string[] {
  const count = Math.max(text.length - SHORTEST_REDACTED + 1, 0);
  return Array.from({ length: count }, (_, at) => text.slice(at, at + SHORTEST_REDACTED));
}

/** Of ASCII alone: elsewhere a letter may become two. */
function inLowerCase(text: string): string {
  return text.replace(/[A-Z]+/g, (letters) => letters.toLowerCase());
}

function spellings(text: string): string[] {
  const bytes = Buffer.from(text, 'utf8');
  return [
    text,
    // Half a surrogate pair has no such form, and would be an exception.
    encodeURIComponent(text.toWellFormed()),
    new URLSearchParams([['', text]]).toString().slice(1),
    JSON.stringify(text).slice(1, -1),
    bytes.toString('base64'),
    bytes.toString('base64url'),
    bytes.toString('hex'),
  ];
}

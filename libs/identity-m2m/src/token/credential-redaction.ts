import type { SensitiveValue } from '../foundation/sensitive-value.js';

/** Members of a token request's body that authenticate the client. */
const CREDENTIAL_PARAMETERS = ['client_secret', 'client_assertion', 'assertion'];

/** Names of secret members of a response: `access_token`, `idToken`, but not `token_type`. */
const TOKEN_MEMBER = /^(?!.*(?:type|expire|scope|ur[il]$|endpoint)).*(?:token|jwt|secret)/i;

/**
 * Minimum length of a credential, and of a part of one, that is removed from a string, in characters. A shorter secret
 * can be guessed anyway, and removing it would remove ordinary words.
 */
export const SHORTEST_REDACTED = 8;

/** Names of configured request headers that may hold a secret, such as `x-api-key`. */
const SECRET_HEADER = /key|token|secret|auth|pass|sign|cookie/i;

/** Maximum length of a string that is searched, in characters: messages show less. */
const LONGEST_TEXT = 2000;

/**
 * Returns the credentials of a token request in every encoding in which a server may repeat them. They have to be
 * removed from the server's error texts.
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

/** Returns the tokens in a response's body, at any depth: the server may repeat them in its error texts. */
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

/** Collects tokens without recursion, because a response may be nested very deeply. */
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
 * Removes credentials and parts of them from a string: a server may truncate or wrap what it repeats.
 *
 * Ignores the case of letters, because servers write escapes and hexadecimal digits in either case.
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

/** Returns the pieces of credentials in the text. Together they cover every part of a credential in it. */
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

/** Lower-cases ASCII letters only: other letters may become two, which would shift positions. */
function inLowerCase(text: string): string {
  return text.replace(/[A-Z]+/g, (letters) => letters.toLowerCase());
}

function spellings(text: string): string[] {
  const bytes = Buffer.from(text, 'utf8');
  return [
    text,
    // Half a surrogate pair has no such encoding, and would throw.
    encodeURIComponent(text.toWellFormed()),
    new URLSearchParams([['', text]]).toString().slice(1),
    JSON.stringify(text).slice(1, -1),
    bytes.toString('base64'),
    bytes.toString('base64url'),
    bytes.toString('hex'),
  ];
}

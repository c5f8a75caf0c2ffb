import type { SensitiveValue } from '../foundation/sensitive-value.js';

/** Members of a token request's body that prove the client's identity. */
const CREDENTIAL_PARAMETERS = ['client_secret', 'client_assertion', 'assertion'];

/** Members of an answer that are good for something in the wrong hands. */
const TOKEN_MEMBERS = ['access_token', 'refresh_token', 'id_token'];

/** The shortest part of a credential that is taken out of a text, in characters; whole ones may be shorter. */
const SHORTEST_PART = 8;

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
  const texts = [...secrets.map((secret) => secret.reveal()), credentials, password, headers.dpop ?? '', ...parameters];
  return [...new Set(texts.flatMap(spellings))].filter((text) => text !== '');
}

/** The tokens in an answer's body, which its server may have put in other places of the answer as well. */
export function issuedTokens(body: string): string[] {
  try {
    const answer = JSON.parse(body) as Readonly<Record<string, unknown>> | null;
    return TOKEN_MEMBERS.flatMap((name) => {
      const token = answer?.[name];
      return typeof token === 'string' && token.length >= SHORTEST_PART ? spellings(token) : [];
    });
  } catch {
    return [];
  }
}

/**
 * Takes credentials out of a text, and parts of credentials: a server may cut off what it repeats, or wrap it.
 *
 * The case of letters does not count, because that of escapes and of hexadecimal digits is anybody's choice.
 */
export function without(credentials: readonly string[], text: string): string {
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
    if (credential.length < SHORTEST_PART) return credential;
    return windows(credential).filter((part) => parts.has(part));
  });
  return new Set(pieces);
}

function windows(text: string): string[] {
  const count = Math.max(text.length - SHORTEST_PART + 1, 0);
  return Array.from({ length: count }, (_, at) => text.slice(at, at + SHORTEST_PART));
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

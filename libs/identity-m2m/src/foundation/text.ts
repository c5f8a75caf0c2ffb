/**
 * Returns external text for an error message or a log: one line of printable ASCII, cut to a maximum length.
 *
 * Otherwise a server could forge log lines through its `error_description`, reorder them with direction marks, or fill
 * a disk.
 */
export function printableText(text: string, maxLength = 200): string {
  const cut = text.length > maxLength ? `${text.slice(0, maxLength)}…` : text;
  return cut.replace(/[^\x20-\x7e…]/g, '?');
}

/** The byte order mark that some editors put at the start of a file. */
const MARK = '\ufeff';

/**
 * Removes what tools add to a secret: a leading byte order mark and trailing line breaks. The form where the secret was
 * set accepts neither.
 */
export function withoutStrayCharacters(secret: string): string {
  return secret.replace(/^\ufeff/, '').replace(/[\r\n]+$/, '');
}

/**
 * Returns what is probably wrong with a string that a person wrote or copied, as the end of a sentence: a byte order
 * mark, line breaks, other control characters, surrounding whitespace. Returns undefined if nothing is.
 */
export function strayCharacters(text: string): string | undefined {
  if (text.startsWith(MARK)) return 'starts with a byte order mark';
  if (/[\r\n]$/.test(text)) return 'ends with a line break';
  if (/[\r\n]/.test(text)) return 'contains a line break';
  if (/\p{Cc}/u.test(text)) return 'contains a control character';
  if (/^\s/u.test(text)) return 'starts with whitespace';
  if (/\s$/u.test(text)) return 'ends with whitespace';
  return undefined;
}

/**
 * Returns whether a string is one scope (RFC 6749 §3.3): printable ASCII without space, quotation mark and backslash.
 */
export function isScopeName(name: unknown): name is string {
  return typeof name === 'string' && /^[\x21\x23-\x5b\x5d-\x7e]+$/.test(name);
}

/**
 * Matches an opaque access token: the visible characters of RFC 6749 appendix A.12, except the comma. A comma may come
 * from two joined header fields (RFC 9110 §5.3).
 */
export const OPAQUE_TOKEN = /^[\x21-\x2b\x2d-\x7e]+$/;

/**
 * Returns whether a string is a `b64token` (RFC 6750 §2.1). Searches it once, because one pattern for the whole string
 * would backtrack.
 */
export function isB64Token(text: string): boolean {
  if (text === '' || /[^A-Za-z0-9\-._~+/=]/.test(text)) return false;
  const padding = text.indexOf('=');
  return padding < 0 || (padding > 0 && /^=+$/.test(text.slice(padding)));
}

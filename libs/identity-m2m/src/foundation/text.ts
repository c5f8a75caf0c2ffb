/**
 * Makes text from outside fit for an error message or a log: one line of printable ASCII, cut to a length.
 *
 * A server chooses what it writes into `error_description`; without this it could forge log lines, reorder them with
 * direction marks, or fill a disk.
 */
export function printableText(text: string, maxLength = 200): string {
  const cut = text.length > maxLength ? `${text.slice(0, maxLength)}…` : text;
  return cut.replace(/[^\x20-\x7e…]/g, '?');
}

/** A byte order mark: how some editors begin a file. */
const MARK = '\ufeff';

/**
 * A secret without what tools put around it: a byte order mark at its beginning, line breaks at its end. Neither can be
 * typed into the form where the secret was set.
 */
export function withoutStrayCharacters(secret: string): string {
  return secret.replace(/^\ufeff/, '').replace(/[\r\n]+$/, '');
}

/**
 * What is most likely wrong about a string that a person wrote or copied, as the end of a sentence that begins with its
 * name: a byte order mark, line breaks, other control characters, blanks around it. undefined where nothing is.
 */
export function strayCharacters(text: string): string | undefined {
  if (text.startsWith(MARK)) return 'begins with a byte order mark';
  if (/[\r\n]$/.test(text)) return 'ends in a line break';
  if (/[\r\n]/.test(text)) return 'has a line break in it';
  if (/\p{Cc}/u.test(text)) return 'has a control character in it';
  if (/^\s/u.test(text)) return 'begins with a blank';
  if (/\s$/u.test(text)) return 'ends in a blank';
  return undefined;
}

/** Whether a text is one scope (RFC 6749 §3.3): printable ASCII without blank, quote and backslash. */
export function isScopeName(name: unknown): name is string {
  return typeof name === 'string' && /^[\x21\x23-\x5b\x5d-\x7e]+$/.test(name);
}

/**
 * An opaque access token: the visible characters of RFC 6749 app. A.12 that a header field takes as they are. A comma
 * may come from two joined fields (RFC 9110 §5.3), so it is not among them.
 */
export const OPAQUE_TOKEN = /^[\x21-\x2b\x2d-\x7e]+$/;

/**
 * `b64token` of RFC 6750 §2.1. One search through the text: a pattern of the whole would remember a way back at each
 * step.
 */
export function isB64Token(text: string): boolean {
  if (text === '' || /[^A-Za-z0-9\-._~+/=]/.test(text)) return false;
  const padding = text.indexOf('=');
  return padding < 0 || (padding > 0 && /^=+$/.test(text.slice(padding)));
}

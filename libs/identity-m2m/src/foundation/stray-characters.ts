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

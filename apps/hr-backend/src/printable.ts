/** Characters that do something to a terminal or to the order of a text, and those that are nothing. */
const UNPRINTABLE = /[\p{C}\p{Zl}\p{Zp}]/gu;

/** Text from outside as it may stand in a line of the log: it begins no further line, and acts on no terminal. */
export function printable(text: string): string {
  return text.slice(0, 1000).replace(UNPRINTABLE, '?');
}

import { printableText } from '../foundation/printable-text.js';
import type { OptionFault } from '../foundation/option-fault.js';
import { isHeaderName, isReservedHeader } from './header-names.js';

/** RFC 9110 §5.5: visible characters, with blanks and tabs between them. */
const VALUE = /^[\x21-\x7e](?:[\t\x20-\x7e]*[\x21-\x7e])?$/;

/** What is wrong with headers for token requests, every wrong one at once. Their values may be secret, and are not shown. */
export function tokenRequestHeadersFaults(headers: object, path: string): OptionFault[] {
  return Object.entries(headers).flatMap(([name, value]: [string, unknown]): OptionFault[] => {
    const at = `${path}.${printableText(name, 60)}`;
    if (!isHeaderName(name))
      return [{ path: at, expected: 'a header name (RFC 9110 §5.1)', found: 'other characters' }];
    if (isReservedHeader(name) || name.toLowerCase() === 'authorization') {
      return [{ path: at, expected: 'no such header, because the library sets it itself', found: 'a value' }];
    }
    if (typeof value === 'string' && VALUE.test(value)) return [];
    const expected = 'a string of visible ASCII characters and blanks, without blanks and line breaks at its ends';
    return [{ path: at, expected, found: typeof value === 'string' ? 'another string' : typeof value }];
  });
}

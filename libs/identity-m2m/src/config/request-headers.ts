import type { OptionFault } from '../foundation/option-check.js';
import { printableText } from '../foundation/text.js';

/** Headers that HTTP itself sets, that are for a proxy, or that hold a proof of possession. */
const RESERVED = [
  'content-type',
  'content-length',
  'content-encoding',
  'host',
  'connection',
  'keep-alive',
  'transfer-encoding',
  'te',
  'trailer',
  'upgrade',
  'expect',
  'accept-encoding',
  'proxy-authorization',
  'proxy-connection',
  'dpop',
];

/** RFC 9110 §5.1: a name is a token (§5.6.2). Names of authentication schemes are as well (§11.1). */
export function isHeaderName(name: string): boolean {
  return /^[\w!#$%&'*+.^`|~-]{1,100}$/.test(name);
}

/** Whether an application must not set a header, however its name is spelt. */
export function isReservedHeader(name: string): boolean {
  return RESERVED.includes(name.toLowerCase());
}

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

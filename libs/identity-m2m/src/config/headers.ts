import type { OptionFault } from '../foundation/option-check.js';
import { printableText } from '../foundation/text.js';

/** Headers that HTTP itself sets, that are meant for a proxy, or that hold a proof of possession. */
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

/**
 * Whether a value is the name of a header (RFC 9110 §5.1), or of an authentication scheme, which has the same form
 * (§11.1).
 */
export function isHeaderName(value: unknown): value is string {
  return typeof value === 'string' && /^[\w!#$%&'*+.^`|~-]{1,100}$/.test(value);
}

/** Whether an application must not set this header. Ignores the case of the name. */
export function isReservedHeader(name: string): boolean {
  return RESERVED.includes(name.toLowerCase());
}

/** RFC 9110 §5.5: visible characters, with spaces and tabs between them. */
const VALUE = /^[\x21-\x7e](?:[\t\x20-\x7e]*[\x21-\x7e])?$/;

/** Returns what is invalid in the headers for token requests. Does not show their values, which may be secret. */
export function tokenRequestHeadersFaults(headers: object, path: string): OptionFault[] {
  return Object.entries(headers).flatMap(([name, value]: [string, unknown]): OptionFault[] => {
    const at = `${path}.${printableText(name, 60)}`;
    if (!isHeaderName(name)) {
      return [{ path: at, expected: 'a header name (RFC 9110 §5.1)', found: 'other characters' }];
    }
    if (isReservedHeader(name) || name.toLowerCase() === 'authorization') {
      return [{ path: at, expected: 'no such header, because the library sets it itself', found: 'a value' }];
    }
    if (typeof value === 'string' && VALUE.test(value)) return [];
    const expected = 'a string of visible ASCII characters and spaces, without line breaks or surrounding whitespace';
    return [{ path: at, expected, found: typeof value === 'string' ? 'another string' : typeof value }];
  });
}

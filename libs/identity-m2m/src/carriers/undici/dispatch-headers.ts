import type { Dispatcher } from 'undici';
import type { CallAuthorization } from '../outgoing-call.js';

type Headers = Dispatcher.DispatchOptions['headers'];

/** What a carrier has to know of a call's headers. */
export interface HeadersInQuestion {
  /** Whether the caller set the header that the token goes into. */
  readonly hasToken: boolean;
  /** Empty where it is not one text. */
  readonly host: string | undefined;
}

const NONE: HeadersInQuestion = { hasToken: false, host: undefined };

/**
 * Reads the headers of a dispatch, in any of the forms that undici takes: an object, a flat list, pairs.
 *
 * @param key Name of the header that the token goes into, in lower case.
 */
export function inspectHeaders(headers: Headers, key: string): HeadersInQuestion {
  if (headers === undefined || headers === null) return NONE;
  let found = NONE;
  if (isPlain(headers)) {
    for (const name of Object.keys(headers))
      if (isInQuestion(name, key)) found = noting(found, key, name, headers[name]);
    return found;
  }
  const list = toFlatList(headers);
  for (let index = 0; index < list.length; index += 2) found = noting(found, key, String(list[index]), list[index + 1]);
  return found;
}

/** By the length alone, which nearly no other header has. */
function isInQuestion({ length }: string, key: string): boolean {
  return length === key.length || length === 'host'.length;
}

function noting(found: HeadersInQuestion, key: string, name: string, value: unknown): HeadersInQuestion {
  // undici leaves out what is undefined.
  if (value === undefined) return found;
  const lower = name.toLowerCase();
  if (lower === key) return { ...found, hasToken: true };
  return lower === 'host' ? { ...found, host: typeof value === 'string' ? value : '' } : found;
}

/**
 * The same call with headers that can be read more than once, which those of an iterator cannot: `new Map(…).entries()`, a
 * generator.
 */
export function withLastingHeaders(options: Dispatcher.DispatchOptions): Dispatcher.DispatchOptions {
  const { headers } = options;
  const isIterator = typeof headers === 'object' && headers !== null && 'next' in headers && !isPlain(headers);
  return isIterator ? Object.assign({}, options, { headers: toFlatList(headers) }) : options;
}

/**
 * The call as it was given, whatever its caller does afterwards with the options and the headers: undici reads these at
 * once, and this call may be sent after a wait, and once more.
 */
export function snapshotOf(options: Dispatcher.DispatchOptions): Dispatcher.DispatchOptions {
  const { headers } = options;
  const copy = Object.assign({}, options);
  if (headers !== undefined && headers !== null) copy.headers = isPlain(headers) ? { ...headers } : toFlatList(headers);
  return copy;
}

/** A copy with the authorization on it. The caller's own headers may be shared between calls. */
export function authorizedHeaders(
  headers: Headers,
  { header, authorization, dpop }: CallAuthorization,
): NonNullable<Dispatcher.DispatchOptions['headers']> {
  if (headers !== undefined && headers !== null && !isPlain(headers)) {
    const list = [...toFlatList(headers), header.key, authorization];
    return dpop === undefined ? list : [...list, 'dpop', dpop];
  }
  const copy: Record<string, string | string[] | undefined> = { ...headers, [header.key]: authorization };
  if (dpop !== undefined) copy.dpop = dpop;
  return copy;
}

function isPlain(headers: NonNullable<Headers>): headers is Record<string, string | string[] | undefined> {
  return !Array.isArray(headers) && !(Symbol.iterator in headers);
}

function toFlatList(headers: NonNullable<Headers>): string[] {
  const list = [...(headers as Iterable<string | [string, string]>)];
  return Array.isArray(list[0]) ? (list as [string, string][]).flat() : (list as string[]);
}

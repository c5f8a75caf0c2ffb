import type { Dispatcher } from 'undici';
import type { CallAuthorization } from '../outgoing-call.js';

type Headers = Dispatcher.DispatchOptions['headers'];

/** The call's headers that matter to the carrier. */
export interface InspectedHeaders {
  /** Whether the caller set the token's header. */
  readonly hasToken: boolean;
  /** Empty if the header is not a single string. */
  readonly host: string | undefined;
}

const NONE: InspectedHeaders = { hasToken: false, host: undefined };

/**
 * Reads the headers of a dispatch, in any form that undici accepts: an object, a flat list, pairs.
 *
 * @param key Name of the token's header, in lower case.
 */
export function inspectHeaders(headers: Headers, key: string): InspectedHeaders {
  if (headers === undefined || headers === null) return NONE;
  let found = NONE;
  if (isPlain(headers)) {
    for (const name of Object.keys(headers))
      if (mayMatter(name, key)) found = withHeader(found, key, name, headers[name]);
    return found;
  }
  const list = toFlatList(headers);
  for (let index = 0; index < list.length; index += 2)
    found = withHeader(found, key, String(list[index]), list[index + 1]);
  return found;
}

/** Compares lengths only, which excludes nearly all other headers. */
function mayMatter({ length }: string, key: string): boolean {
  return length === key.length || length === 'host'.length;
}

function withHeader(found: InspectedHeaders, key: string, name: string, value: unknown): InspectedHeaders {
  // undici skips undefined values.
  if (value === undefined) return found;
  const lower = name.toLowerCase();
  if (lower === key) return { ...found, hasToken: true };
  return lower === 'host' ? { ...found, host: typeof value === 'string' ? value : '' } : found;
}

/** Returns the call with headers that can be read more than once, unlike those of an iterator or a generator. */
export function withLastingHeaders(options: Dispatcher.DispatchOptions): Dispatcher.DispatchOptions {
  const { headers } = options;
  const isIterator = typeof headers === 'object' && headers !== null && 'next' in headers && !isPlain(headers);
  return isIterator ? Object.assign({}, options, { headers: toFlatList(headers) }) : options;
}

/**
 * Returns a copy of the call that later changes by its caller do not affect. undici reads options and headers at once;
 * this call may be sent after a wait, and again.
 */
export function snapshotOf(options: Dispatcher.DispatchOptions): Dispatcher.DispatchOptions {
  const { headers } = options;
  const copy = Object.assign({}, options);
  if (headers !== undefined && headers !== null) copy.headers = isPlain(headers) ? { ...headers } : toFlatList(headers);
  return copy;
}

/** Returns a copy of the headers with the authorization. The caller may share its own between calls. */
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

import type { Dispatcher } from 'undici';
import type { CallAuthorization } from '../token-carrier.js';

type Headers = Dispatcher.DispatchOptions['headers'];

/** What a carrier has to know of a call's headers. */
export interface HeadersInQuestion {
  readonly hasAuthorization: boolean;
  /** Empty where it is not one text. */
  readonly host: string | undefined;
}

const NONE: HeadersInQuestion = { hasAuthorization: false, host: undefined };

/** Reads the headers of a dispatch, in any of the forms that undici takes: an object, a flat list, pairs. */
export function inspectHeaders(headers: Headers): HeadersInQuestion {
  if (headers === undefined || headers === null) return NONE;
  let found = NONE;
  if (isPlain(headers)) {
    for (const name of Object.keys(headers)) if (isInQuestion(name)) found = noting(found, name, headers[name]);
    return found;
  }
  const list = toFlatList(headers);
  for (let index = 0; index < list.length; index += 2) found = noting(found, String(list[index]), list[index + 1]);
  return found;
}

/** By the length alone, which nearly no other header has. */
function isInQuestion({ length }: string): boolean {
  return length === 'authorization'.length || length === 'host'.length;
}

function noting(found: HeadersInQuestion, name: string, value: unknown): HeadersInQuestion {
  // undici leaves out what is undefined.
  if (value === undefined) return found;
  const lower = name.toLowerCase();
  if (lower === 'authorization') return { ...found, hasAuthorization: true };
  return lower === 'host' ? { ...found, host: typeof value === 'string' ? value : '' } : found;
}

/** A copy with the authorization on it. The caller's own headers may be shared between calls. */
export function authorizedHeaders(
  headers: Headers,
  { authorization, dpop }: CallAuthorization,
): NonNullable<Dispatcher.DispatchOptions['headers']> {
  if (headers !== undefined && headers !== null && !isPlain(headers)) {
    const list = [...toFlatList(headers), 'authorization', authorization];
    return dpop === undefined ? list : [...list, 'dpop', dpop];
  }
  const copy: Record<string, string | string[] | undefined> = { ...headers, authorization };
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

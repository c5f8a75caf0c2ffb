import { createHash } from 'node:crypto';
import { isScopeName } from '../foundation/text.js';
import { parseUrl } from '../foundation/url.js';
import type { RequestedAccess } from './outbound-events.js';

/**
 * Parameters of a token request. Each one replaces that of the client's options; members of `parameters` are merged.
 */
export interface TokenParameters {
  /** Scopes (RFC 6749 §3.3): a string of names separated by spaces, or a list. Default: none. */
  readonly scope?: string | readonly string[] | undefined;
  /** The API that the token is for, if the server uses this parameter. Default: none. */
  readonly audience?: string | undefined;
  /** URIs of the resources that the token is for (RFC 8707). Default: none. */
  readonly resource?: string | readonly string[] | undefined;
  /** Additional members of the token request's body. Default: none. */
  readonly parameters?: Readonly<Record<string, string>> | undefined;
}

/** Members of a token request's body that `parameters` must not contain, with the option that sets each. */
const RESERVED_PARAMETERS: ReadonlyMap<string, string> = new Map([
  ['grant_type', 'grant'],
  ['client_id', 'clientId'],
  ['client_secret', 'clientSecret'],
  ['client_assertion', 'clientAuthentication'],
  ['client_assertion_type', 'clientAuthentication'],
  ['assertion', 'grant'],
  ['scope', 'scope'],
  ['audience', 'audience'],
  ['resource', 'resource'],
]);

/** Returns what is invalid in a caller's parameters; undefined for valid ones. */
export function parametersFault({ scope, audience, resource, parameters = {} }: TokenParameters): string | undefined {
  if (![scope ?? []].flat().every(isText) || !namesOf(scope ?? []).every(isScopeName)) {
    return 'scope must be one or more scopes';
  }
  if (audience !== undefined && !isText(audience)) return 'audience must be a string';
  if (![resource ?? []].flat().every((uri) => isText(uri) && parseUrl(uri) !== undefined && !uri.includes('#'))) {
    return 'resource must be one or more absolute URIs without fragment';
  }
  if (typeof parameters !== 'object' || parameters === null) return 'parameters must be an object of strings';
  for (const [name, value] of Object.entries(parameters)) {
    const expected = parameterFault(name, value);
    if (expected !== undefined) return `parameters.${name}: expected ${expected}`;
  }
  return undefined;
}

/** Returns what was expected instead of one of `parameters`; undefined for a valid one. */
export function parameterFault(name: string, value: unknown): string | undefined {
  const option = RESERVED_PARAMETERS.get(name);
  if (option !== undefined) return `no parameter ${name}, because the option ${option} sets it`;
  return isText(name) && typeof value === 'string' && value.isWellFormed() ? undefined : 'a string';
}

/** Returns the parameters that are safe to log. */
export function requestedAccess({ scope, audience, resource }: TokenParameters): RequestedAccess {
  return {
    ...(scope !== undefined && { scope: namesOf(scope).join(' ') }),
    ...(audience !== undefined && { audience }),
    ...(resource !== undefined && { resource: [resource].flat() }),
  };
}

/** Members of a request's body in order. A name may occur more than once. */
export type BodyParameters = readonly (readonly [name: string, value: string])[];

/** Returns the members of a token request's body for these parameters. */
export function bodyParameters({ scope, audience, resource, parameters = {} }: TokenParameters): BodyParameters {
  return [
    ...(scope === undefined ? [] : [['scope', namesOf(scope).join(' ')] as const]),
    ...(audience === undefined ? [] : [['audience', audience] as const]),
    ...[resource ?? []].flat().map((uri) => ['resource', uri] as const),
    ...Object.entries(parameters),
  ];
}

/**
 * Returns the cache key for parameters. Equal parameters have equal keys, and different parameters have different keys.
 *
 * Scopes and resources are sets, so their order and repetition do not count. Each string has its length as a prefix, so
 * that two different lists cannot have the same key.
 */
export function tokenKey({ scope, audience, resource, parameters = {} }: TokenParameters): string {
  const hash = createHash('sha256');
  const section = (name: string, texts: readonly string[]) => {
    for (const text of [name, String(texts.length), ...texts]) hash.update(`${Buffer.byteLength(text)}:${text}`);
  };
  section('scope', asSet(scope === undefined ? [] : namesOf(scope)));
  section('audience', audience === undefined ? [] : [audience]);
  section('resource', asSet([resource ?? []].flat()));
  const names = Object.keys(parameters).toSorted();
  section(
    'parameters',
    names.flatMap((name) => [name, parameters[name]!]),
  );
  return hash.digest('base64url');
}

function isText(value: unknown): value is string {
  return typeof value === 'string' && value !== '' && value.isWellFormed();
}

function namesOf(scope: string | readonly string[]): string[] {
  return [scope].flat().flatMap((names) => names.split(' '));
}

/** Returns each string once, sorted by code units, which does not depend on a locale. */
function asSet(texts: readonly string[]): string[] {
  return [...new Set(texts)].toSorted();
}

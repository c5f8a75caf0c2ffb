import { createHash } from 'node:crypto';
import { isScopeName } from '../foundation/text.js';
import { parseUrl } from '../foundation/url.js';
import type { RequestedAccess } from './outbound-events.js';

/** What a token is asked for. Each member that is given takes the place of the same one of the client's options. */
export interface TokenParameters {
  /** Scopes (RFC 6749 §3.3): one text, names divided by blanks, or a list of names. */
  readonly scope?: string | readonly string[] | undefined;
  /** The API that the token is for, with servers that ask for it by this name. */
  readonly audience?: string | undefined;
  /** Addresses of the resources that the token is for (RFC 8707). */
  readonly resource?: string | readonly string[] | undefined;
  /** Any other members of the token request's body. */
  readonly parameters?: Readonly<Record<string, string>> | undefined;
}

/** Members of a token request's body that are not among `parameters`, with the option that sets each. */
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

/** What is wrong with parameters that a caller gave; undefined where nothing. */
export function parametersFault({ scope, audience, resource, parameters = {} }: TokenParameters): string | undefined {
  if (![scope ?? []].flat().every(isText) || !namesOf(scope ?? []).every(isScopeName)) {
    return 'scope is not one or more scopes';
  }
  if (audience !== undefined && !isText(audience)) return 'audience is not a text';
  if (![resource ?? []].flat().every((uri) => isText(uri) && parseUrl(uri) !== undefined && !uri.includes('#'))) {
    return 'resource is not one or more absolute URIs without fragment';
  }
  if (typeof parameters !== 'object' || parameters === null) return 'parameters is not an object of texts';
  for (const [name, value] of Object.entries(parameters)) {
    const expected = parameterFault(name, value);
    if (expected !== undefined) return `parameters.${name}: expected ${expected}`;
  }
  return undefined;
}

/** What would be right in place of one of `parameters`; undefined where it is right. */
export function parameterFault(name: string, value: unknown): string | undefined {
  const option = RESERVED_PARAMETERS.get(name);
  if (option !== undefined) return `no parameter ${name}, because the option ${option} sets it`;
  return isText(name) && typeof value === 'string' && value.isWellFormed() ? undefined : 'a string';
}

/** What of it can be told to anybody. */
export function requestedAccess({ scope, audience, resource }: TokenParameters): RequestedAccess {
  return {
    ...(scope !== undefined && { scope: namesOf(scope).join(' ') }),
    ...(audience !== undefined && { audience }),
    ...(resource !== undefined && { resource: [resource].flat() }),
  };
}

/** Members of the body, name and value, in the order of the protocol. A name may come more than once. */
export type BodyParameters = readonly (readonly [name: string, value: string])[];

/** The members of a token request's body that say what is asked for. */
export function bodyParameters({ scope, audience, resource, parameters = {} }: TokenParameters): BodyParameters {
  return [
    ...(scope === undefined ? [] : [['scope', namesOf(scope).join(' ')] as const]),
    ...(audience === undefined ? [] : [['audience', audience] as const]),
    ...[resource ?? []].flat().map((uri) => ['resource', uri] as const),
    ...Object.entries(parameters),
  ];
}

/**
 * The key that a token is kept under: two requests share it if, and only if, they ask for the same.
 *
 * Scopes and resources are sets, so their order and repetition do not count. Each text is preceded by its length, so
 * that no two lists of texts read the same.
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

/** Sorted by code units, which is the same everywhere, and each once. */
function asSet(texts: readonly string[]): string[] {
  return [...new Set(texts)].toSorted();
}

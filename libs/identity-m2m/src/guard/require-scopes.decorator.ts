import { applyDecorators } from '@nestjs/common';
import { isScopeName } from '../foundation/scope-name.js';
import { accessRule } from './access-metadata.js';

/**
 * Lets in only callers whose token has all of these scopes (RFC 6749 §3.3), or with `{ any: […] }` one of them; others
 * get 403 with the scopes named.
 *
 * On a method it takes the place of what stands on the class.
 *
 * @throws TypeError, while the class is being defined, where a name can't be a scope or there is none: a list left
 * empty by accident would let everybody in.
 */
export function RequireScopes(
  ...scopes: readonly [string, ...string[]] | readonly [{ readonly any: readonly string[] }]
): ClassDecorator & MethodDecorator {
  const [first] = scopes;
  const isAny = typeof first === 'object' && first !== null && Array.isArray(first.any) && scopes.length === 1;
  const names: readonly unknown[] = isAny ? first.any : scopes;
  if (names.length === 0 || !names.every(isScopeName)) {
    throw new TypeError(
      `@RequireScopes() takes one or more scopes of printable ASCII, or { any: [ … ] }; found ${JSON.stringify(scopes)}`,
    );
  }
  return applyDecorators(accessRule('scopes', names), accessRule('scopesMode', isAny ? 'any' : 'all'));
}

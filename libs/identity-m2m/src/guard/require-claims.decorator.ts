import { type ClaimRules, isClaimRules } from '../verification/claim-rule.js';
import { accessRule } from './access-metadata.js';

/**
 * Lets in only callers whose token has these claims; others get 403.
 *
 * Each claim has to have the value, or one of the values, that stand for it; a claim that is a list has to have it among
 * its members. Members of an object are named in an object: `{ tenant: 'acme', realm_access: { roles: ['admin'] } }`.
 *
 * On a method it takes the place of what stands on the class.
 *
 * @throws TypeError, while the class is being defined, where nothing is asked for, or something that no claim can be.
 */
export function RequireClaims(rules: ClaimRules): ClassDecorator & MethodDecorator {
  if (!isClaimRules(rules)) {
    throw new TypeError(
      `@RequireClaims() takes claims with a value, several values or an object each; found ${JSON.stringify(rules)}`,
    );
  }
  return accessRule('claims', rules);
}

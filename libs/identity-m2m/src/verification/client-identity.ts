import type { Claims } from '../identity-providers/access-token-profile.js';
import { type Refusal, refuse } from './refusal.js';
import { oneOf, shownClaim } from './refusal-detail.js';

/**
 * Which client a token was issued to, by the claims that name it with this issuer.
 *
 * Texts are compared to the letter and never normalised. Two claims that name different clients name none.
 */
export function resolveClientId(
  claims: Claims,
  names: readonly string[],
): { readonly ok: true; readonly clientId: string } | Refusal {
  const present = names.filter((name) => Object.hasOwn(claims, name));
  const [first] = present;
  if (first === undefined) return refuse('client_unknown', { claim: names.join(', '), expected: 'a client id' });
  const odd = present.find((name) => typeof claims[name] !== 'string' || claims[name] === '');
  if (odd !== undefined) {
    return refuse('client_unknown', { ...shownClaim(claims, odd, names), expected: 'a client id' });
  }
  const clientId = claims[first] as string;
  const other = present.find((name) => claims[name] !== clientId);
  if (other !== undefined) {
    return refuse('client_ambiguous', {
      ...shownClaim(claims, other, names),
      expected: `${oneOf([clientId])}, as in ${first}`,
    });
  }
  return { ok: true, clientId };
}

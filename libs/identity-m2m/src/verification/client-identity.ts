import type { Claims } from '../identity-providers/access-token-profile.js';
import { type Refusal, refuse } from './refusal.js';

/**
 * Which client a token was issued to, by the claims that name it with this issuer.
 *
 * Texts are compared to the letter and never normalised. Two claims that name different clients name none.
 */
export function resolveClientId(
  claims: Claims,
  names: readonly string[],
): { readonly ok: true; readonly clientId: string } | Refusal {
  const present = names.filter((name) => Object.hasOwn(claims, name)).map((name) => claims[name]);
  const [clientId] = present;
  if (present.length === 0) return refuse('client_unknown');
  if (present.some((value) => typeof value !== 'string' || value === '')) return refuse('client_unknown');
  if (present.some((value) => value !== clientId)) return refuse('client_ambiguous');
  return { ok: true, clientId: clientId as string };
}

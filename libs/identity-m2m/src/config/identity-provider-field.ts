import { field } from '../foundation/option-field.js';
import type { IdentityProvider } from '../identity-providers/identity-provider.js';

export const identityProvider = field<IdentityProvider>(
  'an identity provider, such as cyberArkIdentity({ … }) or genericOAuth2({ … })',
  isIdentityProvider,
);

export const A_LIST_OF_PROVIDERS = 'a list of identity providers, at least one';

/** An empty one too: whether it may be empty depends on the other options. */
export const identityProviders = field<readonly IdentityProvider[]>(
  A_LIST_OF_PROVIDERS,
  (value) => Array.isArray(value) && value.every(isIdentityProvider),
);

export function isIdentityProvider(value: unknown): value is IdentityProvider {
  return typeof value === 'object' && value !== null && 'faults' in value && typeof value.faults === 'function';
}

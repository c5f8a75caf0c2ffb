import { field } from '../foundation/option-field.js';
import type { IdentityProvider } from '../identity-providers/identity-provider.js';

export const identityProvider = field<IdentityProvider>(
  'an identity provider, such as cyberArkIdentity({ … }) or genericOAuth2({ … })',
  isIdentityProvider,
);

export const identityProviders = field<readonly IdentityProvider[]>(
  'a list of identity providers, at least one',
  (value) => Array.isArray(value) && value.length > 0 && value.every(isIdentityProvider),
);

function isIdentityProvider(value: unknown): boolean {
  return typeof value === 'object' && value !== null && 'faults' in value && typeof value.faults === 'function';
}

import type { OptionFault } from '../foundation/option-fault.js';
import type { HttpAllowance } from '../foundation/secure-url.js';
import { addressFault } from '../identity-providers/address-fault.js';
import type { IdentityProvider } from '../identity-providers/identity-provider.js';

const ADDRESSES = [
  'issuer',
  'tokenEndpoint',
  'revocationEndpoint',
  'introspectionEndpoint',
  'jwksUri',
  'fallbackJwksUri',
  'apiBaseUrl',
] as const;

/** What is wrong with an identity provider: the options of its preset, or else what was made of them. */
export function identityProviderFaults(provider: IdentityProvider, path: string, http: HttpAllowance): OptionFault[] {
  const faults = provider.faults(http);
  if (faults.length > 0) return faults.map((fault) => ({ ...fault, path: `${path}.${fault.path}` }));
  // It may be made by hand, or be a copy with other addresses than those that its preset has checked.
  const given = ADDRESSES.filter((name) => provider[name] !== undefined);
  return given.flatMap((name) =>
    addressFault(`${path}.${name}`, provider[name], http, { mayHaveQuery: name !== 'issuer' }),
  );
}

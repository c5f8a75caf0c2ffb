import { field, type OptionFault } from '../foundation/option-check.js';
import type { PlainHttp } from '../foundation/url.js';
import { type IdentityProvider, KEY_PLACES } from '../identity-providers/identity-provider.js';
import { addressFault, issuerFault } from '../identity-providers/preset-options.js';

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

/**
 * What is wrong with an identity provider: the options of its preset, or else what was made of them for this use. It may
 * be made by hand, or be a copy with other addresses than those of its preset.
 */
export function identityProviderFaults(
  provider: IdentityProvider,
  use: 'client' | 'guard',
  path: string,
  plainHttp: PlainHttp,
): OptionFault[] {
  const faults = provider.faults(plainHttp).map((fault) => ({ ...fault, path: `${path}.${fault.path}` }));
  if (faults.length > 0) return faults;
  return use === 'client' ? clientUseFaults(provider, path, plainHttp) : guardUseFaults(provider, path, plainHttp);
}

function clientUseFaults(provider: IdentityProvider, path: string, plainHttp: PlainHttp): OptionFault[] {
  const { issuer, tokenEndpoint } = provider;
  const addresses = (['tokenEndpoint', 'revocationEndpoint', 'apiBaseUrl'] as const).flatMap((name) =>
    provider[name] === undefined
      ? []
      : addressFault(`${path}.${name}`, provider[name], plainHttp, { mayHaveQuery: true }),
  );
  if (issuer === undefined) return addresses;
  // Where the endpoint is found by the issuer's name, that has to be an address. Otherwise it is a name like any other.
  const found = tokenEndpoint === undefined ? addressFault : issuerFault;
  return [...found(`${path}.issuer`, issuer, plainHttp), ...addresses];
}

function guardUseFaults(provider: IdentityProvider, path: string, plainHttp: PlainHttp): OptionFault[] {
  const { issuer, jwksUri, internalJwksUri, fallbackJwksUri } = provider;
  const faults: OptionFault[] = [];
  if (issuer !== undefined) {
    const isName = KEY_PLACES.some((place) => provider[place] !== undefined);
    faults.push(...(isName ? issuerFault(`${path}.issuer`, issuer) : foundBy(`${path}.issuer`, issuer, plainHttp)));
  }
  if (internalJwksUri !== undefined) {
    // Plain http is allowed for this address alone, which its name says to be inside the own network.
    faults.push(...addressFault(`${path}.internalJwksUri`, internalJwksUri, 'anywhere', { mayHaveQuery: true }));
  } else if (jwksUri !== undefined) {
    const ifPlain = 'an address inside your own network goes into internalJwksUri';
    const found = addressFault(`${path}.jwksUri`, jwksUri, plainHttp, { mayHaveQuery: true });
    faults.push(...found.map((fault) => ({ ...fault, expected: `${fault.expected}; ${ifPlain}` })));
  }
  if (fallbackJwksUri !== undefined)
    faults.push(...addressFault(`${path}.fallbackJwksUri`, fallbackJwksUri, plainHttp));
  return faults;
}

function foundBy(path: string, issuer: unknown, plainHttp: PlainHttp): OptionFault[] {
  return addressFault(path, issuer, plainHttp).map((fault) => ({
    ...fault,
    expected: `${fault.expected}, by which its keys are found; for any other issuer give jwksUri, jwks or jwksFile`,
  }));
}

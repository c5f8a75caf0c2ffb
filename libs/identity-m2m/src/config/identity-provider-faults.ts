import { field, type OptionFault } from '../foundation/option-check.js';
import type { PlainHttp } from '../foundation/url.js';
import { type IdentityProvider, KEY_PLACES } from '../identity-providers/identity-provider.js';
import { addressFault, describeAddress, issuerFault } from '../identity-providers/preset-options.js';
import { readKeySet, type UnusableKey } from '../verification/verification-key.js';

export const identityProvider = field<IdentityProvider>(
  'an identity provider, such as cyberArkIdentity({ … }) or genericOAuth2({ … })',
  isIdentityProvider,
);

export const A_LIST_OF_PROVIDERS = 'a list of identity providers, at least one';

/** May be empty; other options decide whether that is valid. */
export const identityProviders = field<readonly IdentityProvider[]>(
  A_LIST_OF_PROVIDERS,
  (value) => Array.isArray(value) && value.every(isIdentityProvider),
);

export function isIdentityProvider(value: unknown): value is IdentityProvider {
  return typeof value === 'object' && value !== null && 'faults' in value && typeof value.faults === 'function';
}

/**
 * Returns what is invalid in an identity provider: the options of its preset or, if these are valid, the addresses for
 * this use. A provider may be written by hand, or be a copy of a preset with other addresses.
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
  // The issuer must be a URL only if the token endpoint is discovered through it.
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
    // Plain http is allowed for this address alone, because it is inside the application's own network.
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
    expected: `${fault.expected}, through which its keys are discovered; for any other issuer, set jwksUri, jwks or jwksFile`,
  }));
}

/** Returns what is invalid in an issuer that the guard trusts. */
export function trustedIssuerFaults(
  provider: IdentityProvider,
  path: string,
  { plainHttp, isRepeated }: { readonly plainHttp: PlainHttp; readonly isRepeated: boolean },
): OptionFault[] {
  const faults = identityProviderFaults(provider, 'guard', path, plainHttp);
  const issuerPath = `${path}.issuer`;
  if (provider.issuer === undefined && !faults.some((fault) => fault.path === issuerPath)) {
    faults.push({ path: issuerPath, expected: 'the issuer of the tokens', found: 'nothing' });
  }
  if (isRepeated) {
    faults.push({ path: issuerPath, expected: 'an issuer that is not listed yet', found: 'a duplicate' });
  }
  return [...faults, ...(Array.isArray(provider.jwks?.keys) ? keyFaults(provider.jwks, `${path}.jwks`) : [])];
}

/**
 * A configured key that can't be used is a mistake. A key for another purpose is not, next to one that can be used: it
 * was copied together with the issuer's key set.
 */
function keyFaults(jwks: object, path: string): OptionFault[] {
  const { keys = [], unusable = [] } = readKeySet(jwks as Readonly<Record<string, unknown>>) ?? {};
  const isForOtherUses = ({ reason }: UnusableKey) => reason === 'not_for_signatures' || reason === 'unsupported';
  const mistakes = keys.length > 0 ? unusable.filter((key) => !isForOtherUses(key)) : unusable;
  return mistakes.map(({ kid, reason }) => ({
    path: kid === undefined ? path : `${path}[kid ${describeAddress(kid)}]`,
    expected: 'public keys for signatures (RSA with at least 2048 bits, P-256, P-384, P-521, Ed25519)',
    found: `a key that is ${reason.replaceAll('_', ' ')}`,
  }));
}

/** Returns a fault if an issuer's tokens do not show which clients may call and the options name none. */
export function unnamedClientsFaults({ name, accessToken }: IdentityProvider, path: string): OptionFault[] {
  const { isMachine, requiresNamedClients, hasNoAudience } = accessToken;
  if (isMachine && !requiresNamedClients && !hasNoAudience) return [];
  const because = isMachine
    ? `any client of ${name} can get a token for this API`
    : `tokens of ${name} do not distinguish machines from people`;
  return [{ path, expected: `the clients to allow, because ${because}`, found: 'nothing' }];
}

/** Checks an option that must name an issuer the guard trusts. */
export function issuerNameFaults(
  issuer: string | undefined,
  { issuers, areSeveral }: { readonly issuers: readonly IdentityProvider[]; readonly areSeveral: boolean },
  path: string,
): OptionFault[] {
  if (issuer === undefined && areSeveral) {
    const expected = 'the issuer of its tokens, or a list of them, because the guard trusts several';
    return [{ path, expected, found: 'nothing' }];
  }
  if (issuer === undefined || issuers.some((provider) => provider.issuer === issuer)) return [];
  const expected = 'one of the issuers that the guard trusts, exactly as configured';
  return [{ path, expected, found: describeAddress(issuer) }];
}

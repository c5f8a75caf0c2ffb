import { type OptionFault, optionFaults } from '../foundation/option-check.js';
import { type PlainHttp, allowedPlainHttp } from '../foundation/url.js';
import { strayCharacters, withoutStrayCharacters } from '../foundation/text.js';
import { addressFault, describeAddress } from '../identity-providers/preset-options.js';
import type { IdentityProvider } from '../identity-providers/identity-provider.js';
import { INTROSPECTION_METHODS } from '../verification/introspection-authentication.js';
import { readKeySet, type UnusableKey } from '../verification/verification-key.js';
import type { GuardOptions, NamedClient } from './guard-options.js';
import { guardSchema } from './guard-schema.js';
import { A_LIST_OF_PROVIDERS, identityProviderFaults } from './identity-provider-faults.js';
import { placeOf } from './option-places.js';

/** What is wrong with the guard's options, every wrong field at once. */
export function guardFaults(options: GuardOptions, root: string, production: boolean): OptionFault[] {
  const faults = optionFaults(guardSchema, options, root, placeOf);
  // What goes beyond the form of a field is judged only where its form is right.
  const isSound = (...fields: (keyof GuardOptions)[]) =>
    !faults.some(({ path }) => path === root || fields.some((field) => path.startsWith(`${root}.${field}`)));
  if (!isSound('issuers')) return faults;
  return [
    ...faults,
    ...resolverFaults(options, root),
    ...issuerFaults(options, root, production),
    ...(isSound('clients') ? clientFaults(options, root) : []),
    ...(isSound('introspection') ? introspectionFaults(options, root, production) : []),
  ];
}

function resolverFaults({ issuers, issuerResolver, resolvedIssuers }: GuardOptions, root: string): OptionFault[] {
  if (issuerResolver !== undefined) return [];
  const faults: OptionFault[] = [];
  if (issuers.length === 0) {
    const expected = `${A_LIST_OF_PROVIDERS}, or an issuerResolver`;
    faults.push({ path: `${root}.issuers`, expected, found: 'a list of 0' });
  }
  if (resolvedIssuers !== undefined) {
    const expected = 'nothing, because there is no issuerResolver';
    faults.push({ path: `${root}.resolvedIssuers`, expected, found: 'an object' });
  }
  return faults;
}

function issuerFaults(options: GuardOptions, root: string, production: boolean): OptionFault[] {
  const plainHttp = allowedPlainHttp(options.unsafeAllowHttp === true, production);
  return options.issuers.flatMap((provider, index) => {
    const path = `${root}.issuers[${index}]`;
    const faults = identityProviderFaults(provider, 'guard', path, plainHttp);
    if (provider.issuer === undefined) {
      if (faults.some((fault) => fault.path === `${path}.issuer`)) return faults;
      faults.push({ path: `${path}.issuer`, expected: 'the issuer of the tokens', found: 'nothing' });
    } else if (options.issuers.slice(0, index).some(({ issuer }) => issuer === provider.issuer)) {
      faults.push({ path: `${path}.issuer`, expected: 'an issuer that is not listed yet', found: 'a repetition' });
    }
    const { isMachine, requiresNamedClients, hasNoAudience } = provider.accessToken;
    if (options.clients === undefined && (!isMachine || requiresNamedClients || hasNoAudience)) {
      const because = isMachine
        ? `any client of ${provider.name} can get a token for this API`
        : `tokens of ${provider.name} do not tell machines from people`;
      faults.push({ path: `${root}.clients`, expected: `the clients to let in, because ${because}`, found: 'nothing' });
    }
    return [...faults, ...(Array.isArray(provider.jwks?.keys) ? keyFaults(provider.jwks, `${path}.jwks`) : [])];
  });
}

/**
 * A key that is given by hand and can't be used is a mistake. A key for other uses is not, beside one that can be used:
 * it was copied along with the issuer's key set.
 */
function keyFaults(jwks: object, path: string): OptionFault[] {
  const { keys = [], unusable = [] } = readKeySet(jwks as Readonly<Record<string, unknown>>) ?? {};
  const isForOtherUses = ({ reason }: UnusableKey) => reason === 'not_for_signatures' || reason === 'unsupported';
  const mistakes = keys.length > 0 ? unusable.filter((key) => !isForOtherUses(key)) : unusable;
  return mistakes.map(({ kid, reason }) => ({
    path: kid === undefined ? path : `${path}[kid ${describeAddress(kid)}]`,
    expected: 'public keys for signatures (RSA from 2048 bits, P-256, P-384, P-521, Ed25519)',
    found: `a key that is ${reason.replaceAll('_', ' ')}`,
  }));
}

function clientFaults({ issuers, issuerResolver, clients = [] }: GuardOptions, root: string): OptionFault[] {
  const several = issuers.length > 1 || issuerResolver !== undefined;
  const listed = new Set<string>();
  return clients.flatMap((client, index) => {
    const path = `${root}.clients[${index}]`;
    const { clientId, issuer }: NamedClient = typeof client === 'object' ? client : { clientId: client };
    const list = Array.isArray(issuer) ? (issuer as readonly string[]) : undefined;
    return (list ?? [issuer as string | undefined]).flatMap((one, at) => {
      const faults = issuerNameFaults(issuers, several, one, list ? `${path}.issuer[${at}]` : `${path}.issuer`);
      if (faults.length > 0) return faults;
      const key = JSON.stringify([clientId, one ?? issuers[0]?.issuer]);
      // Which scopes and which end count would be a matter of order.
      if (listed.has(key)) return [{ path, expected: 'a client that is not listed yet', found: 'a repetition' }];
      listed.add(key);
      return [];
    });
  });
}

function introspectionFaults(options: GuardOptions, root: string, production: boolean): OptionFault[] {
  const { issuers, introspection = [] } = options;
  const plainHttp = allowedPlainHttp(options.unsafeAllowHttp === true, production);
  const [only] = issuers;
  const faults = introspection.flatMap((asked, index): OptionFault[] => {
    const path = `${root}.introspection[${index}]`;
    const { authenticate, clientId, clientSecret, signedAnswers, issuer = only?.issuer } = asked;
    if (!only) {
      const expected = 'nothing, because an issuer that is asked about tokens has to be one of the options';
      return [{ path, expected, found: 'an issuer to ask' }];
    }
    const found = issuerNameFaults(issuers, issuers.length > 1, asked.issuer, `${path}.issuer`);
    if (
      found.length === 0 &&
      introspection.slice(0, index).some((other) => (other.issuer ?? only?.issuer) === issuer)
    ) {
      found.push({ path: `${path}.issuer`, expected: 'an issuer that is not listed yet', found: 'a repetition' });
    }
    if (authenticate !== undefined && clientSecret !== undefined) {
      found.push({ path: `${path}.authenticate`, expected: 'nothing, because clientSecret is given', found: 'both' });
    }
    if (authenticate === undefined && (clientId === undefined || clientSecret === undefined)) {
      const expected = 'clientId and clientSecret, or authenticate';
      found.push({ path: `${path}.clientSecret`, expected, found: 'nothing that proves the guard' });
    }
    if (typeof clientSecret === 'string' && withoutStrayCharacters(clientSecret) !== clientSecret) {
      const expected = 'a secret without a byte order mark and without line breaks at its end';
      found.push({ path: `${path}.clientSecret`, expected, found: `a text that ${strayCharacters(clientSecret)}` });
    }
    const at = issuers.findIndex((provider) => provider.issuer === issuer);
    if (at >= 0) found.push(...endpointFaults(issuers[at]!, `${root}.issuers[${at}]`, plainHttp));
    const method = issuers[at]?.clientSecretMethod;
    if (clientSecret !== undefined && method !== undefined && !INTROSPECTION_METHODS.some((one) => one === method)) {
      const expected = 'authenticate in its place, because the provider takes no secret as it is';
      found.push({ path: `${path}.clientSecret`, expected, found: `a secret, and '${method}'` });
    }
    if (authenticate !== undefined && signedAnswers && clientId === undefined) {
      const expected = 'the client identifier that answers are signed for';
      found.push({ path: `${path}.clientId`, expected, found: 'nothing' });
    }
    return found;
  });
  const opaque = introspection.findLastIndex(({ opaqueTokens }) => opaqueTokens !== false);
  if (introspection.filter(({ opaqueTokens }) => opaqueTokens !== false).length > 1) {
    const expected = 'false, because a token that can’t be read does not say whose it is, and one issuer is asked';
    faults.push({ path: `${root}.introspection[${opaque}].opaqueTokens`, expected, found: 'a second issuer' });
  }
  return faults;
}

/** Where an issuer is asked about tokens: at an address that is given, or that is found by the issuer's name. */
function endpointFaults(
  { issuer, introspectionEndpoint }: IdentityProvider,
  path: string,
  plainHttp: PlainHttp,
): OptionFault[] {
  const endpointPath = `${path}.introspectionEndpoint`;
  if (introspectionEndpoint !== undefined) {
    return addressFault(endpointPath, introspectionEndpoint, plainHttp, { mayHaveQuery: true });
  }
  if (addressFault('issuer', issuer, plainHttp).length === 0) return [];
  const expected = 'its address, because it can’t be found by an issuer that is no https URL';
  return [{ path: endpointPath, expected, found: 'nothing' }];
}

function issuerNameFaults(
  issuers: GuardOptions['issuers'],
  areSeveral: boolean,
  issuer: string | undefined,
  path: string,
): OptionFault[] {
  if (issuer === undefined && areSeveral) {
    const expected = 'the issuer of its tokens, or a list of them, because the guard trusts several';
    return [{ path, expected, found: 'nothing' }];
  }
  if (issuer === undefined || issuers.some((provider) => provider.issuer === issuer)) return [];
  const expected = 'one of the issuers that the guard trusts, to the letter';
  return [{ path, expected, found: describeAddress(issuer) }];
}

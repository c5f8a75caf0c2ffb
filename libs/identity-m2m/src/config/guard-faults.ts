import type { OptionFault } from '../foundation/option-fault.js';
import { optionFaults } from '../foundation/option-faults.js';
import { strayCharacters, withoutStrayCharacters } from '../foundation/stray-characters.js';
import { describeAddress } from '../identity-providers/address-fault.js';
import { INTROSPECTION_METHODS } from '../verification/introspection-authentication.js';
import { readKeySet } from '../verification/verification-key.js';
import type { GuardOptions } from './guard-options.js';
import { guardSchema } from './guard-schema.js';
import { httpAllowance } from './http-allowance.js';
import { identityProviderFaults } from './identity-provider-faults.js';

/** What is wrong with the guard's options, every wrong field at once. */
export function guardFaults(options: GuardOptions, root: string, production: boolean): OptionFault[] {
  const faults = optionFaults(guardSchema, options, root);
  // What goes beyond the form of a field is judged only where its form is right.
  const isSound = (...fields: (keyof GuardOptions)[]) =>
    !faults.some(({ path }) => path === root || fields.some((field) => path.startsWith(`${root}.${field}`)));
  if (!isSound('issuers')) return faults;
  return [
    ...faults,
    ...issuerFaults(options, root, production),
    ...(isSound('clients') ? clientFaults(options, root) : []),
    ...(isSound('introspection') ? introspectionFaults(options, root) : []),
  ];
}

function issuerFaults(options: GuardOptions, root: string, production: boolean): OptionFault[] {
  const http = httpAllowance(options.unsafeAllowHttp === true, production);
  return options.issuers.flatMap((provider, index) => {
    const path = `${root}.issuers[${index}]`;
    const faults = identityProviderFaults(provider, path, http);
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

/** A key that is given by hand and can't be used is a mistake, and not the issuer's other business. */
function keyFaults(jwks: object, path: string): OptionFault[] {
  const unusable = readKeySet(jwks as Readonly<Record<string, unknown>>)?.unusable ?? [];
  return unusable.map(({ kid, reason }) => ({
    path: kid === undefined ? path : `${path}[kid ${describeAddress(kid)}]`,
    expected: 'public keys for signatures (RSA from 2048 bits, P-256, P-384, P-521, Ed25519)',
    found: `a key that is ${reason.replaceAll('_', ' ')}`,
  }));
}

function clientFaults({ issuers, clients = [] }: GuardOptions, root: string): OptionFault[] {
  const [only] = issuers;
  const named = clients.map((client) =>
    typeof client === 'object' ? client : { clientId: client, issuer: undefined },
  );
  return named.flatMap(({ clientId, issuer }, index) => {
    const path = `${root}.clients[${index}]`;
    const faults = issuerNameFaults(issuers, issuer, `${path}.issuer`);
    const isSame = (other: (typeof named)[number]) =>
      other.clientId === clientId && (other.issuer ?? only!.issuer) === (issuer ?? only!.issuer);
    if (faults.length === 0 && named.slice(0, index).some(isSame)) {
      // Which scopes and which end count would be a matter of order.
      faults.push({ path, expected: 'a client that is not listed yet', found: 'a repetition' });
    }
    return faults;
  });
}

function introspectionFaults({ issuers, introspection = [] }: GuardOptions, root: string): OptionFault[] {
  const [only] = issuers;
  const faults = introspection.flatMap((asked, index): OptionFault[] => {
    const path = `${root}.introspection[${index}]`;
    const { authenticate, clientId, clientSecret, signedAnswers, issuer = only!.issuer } = asked;
    const found = issuerNameFaults(issuers, asked.issuer, `${path}.issuer`);
    if (
      found.length === 0 &&
      introspection.slice(0, index).some((other) => (other.issuer ?? only!.issuer) === issuer)
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
    const method = issuers.find((provider) => provider.issuer === issuer)?.clientSecretMethod;
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

function issuerNameFaults(issuers: GuardOptions['issuers'], issuer: string | undefined, path: string): OptionFault[] {
  if (issuer === undefined && issuers.length > 1) {
    return [{ path, expected: 'the issuer of its tokens, because the guard trusts several', found: 'nothing' }];
  }
  if (issuer === undefined || issuers.some((provider) => provider.issuer === issuer)) return [];
  const expected = 'one of the issuers that the guard trusts, to the letter';
  return [{ path, expected, found: describeAddress(issuer) }];
}

import { z } from 'zod';
import { cleanText, field, flag, type OptionFault, text } from '../foundation/option-check.js';
import { type SecretInput, toSecretSource } from '../foundation/secret-source.js';
import type { PlainHttp } from '../foundation/url.js';
import type { IdentityProvider } from '../identity-providers/identity-provider.js';
import { addressFault } from '../identity-providers/preset-options.js';
import {
  INTROSPECTION_METHODS,
  type IntrospectionAuthentication,
  introspectionClient,
  type IntrospectionMethod,
} from '../verification/introspection-authentication.js';
import { secret, strayCharacterFaults } from './credential-options.js';
import { issuerNameFaults } from './identity-provider-faults.js';

/**
 * How the guard checks tokens with their issuer (introspection, RFC 7662).
 *
 * The response about an opaque token must have `exp`, and `aud` with the guard's `audience`, although the RFC makes
 * both optional. Without them, the guard knows neither how long the token is valid nor whether it is for this API. Many
 * servers send no `aud` here. The option `hasNoAudience` of the issuer accepts that, if the guard's options name the
 * clients.
 */
export type IntrospectionOptions = {
  /** Issuer that checks the tokens. Required if the guard trusts several. Default: the only issuer. */
  readonly issuer?: string;
  /** Whether this issuer checks opaque tokens, which are not signed JWTs. At most one issuer can. Default: true. */
  readonly opaqueTokens?: boolean;
  /** Whether responses must be JWTs that the issuer signed for `clientId` (RFC 9701). Default: false. */
  readonly signedAnswers?: boolean;
} & (
  | {
      /** Client identifier and secret of the guard itself; the secret is sent by the method of the issuer's preset. */
      readonly clientId: string;
      readonly clientSecret: SecretInput;
      readonly authenticate?: undefined;
    }
  | {
      /** Authenticates the guard in any other way. */
      readonly authenticate: IntrospectionAuthentication;
      readonly clientId?: string;
      readonly clientSecret?: undefined;
    }
);

/** Schema of {@link IntrospectionOptions}, field by field. */
export const introspectionSchema = z.strictObject({
  issuer: text('an issuer').optional(),
  opaqueTokens: flag.optional(),
  signedAnswers: flag.optional(),
  clientId: cleanText('a client identifier').optional(),
  clientSecret: secret.optional(),
  authenticate: field<IntrospectionAuthentication>(
    'a function that returns headers, a body, or both',
    (value) => typeof value === 'function',
  ).optional(),
});

/** Returns what is invalid beyond the schema. */
export function introspectionFaults(
  introspection: readonly IntrospectionOptions[],
  issuers: readonly IdentityProvider[],
  root: string,
  plainHttp: PlainHttp,
): OptionFault[] {
  const [only] = issuers;
  const faults = introspection.flatMap((options, index): OptionFault[] => {
    const path = `${root}.introspection[${index}]`;
    if (!only) {
      const expected = 'nothing, because only configured issuers can check tokens, and there are none';
      return [{ path, expected, found: 'an entry' }];
    }
    const { issuer = only.issuer } = options;
    const found = issuerNameFaults(options.issuer, { issuers, areSeveral: issuers.length > 1 }, `${path}.issuer`);
    const isRepeated = introspection.slice(0, index).some((other) => (other.issuer ?? only.issuer) === issuer);
    if (found.length === 0 && isRepeated) {
      found.push({ path: `${path}.issuer`, expected: 'an issuer that is not listed yet', found: 'a duplicate' });
    }
    const position = issuers.findIndex((provider) => provider.issuer === issuer);
    found.push(...authenticationFaults(options, issuers[position]?.clientSecretMethod, path));
    if (position >= 0) found.push(...endpointFaults(issuers[position]!, `${root}.issuers[${position}]`, plainHttp));
    return found;
  });
  const opaque = introspection.flatMap(({ opaqueTokens }, index) => (opaqueTokens === false ? [] : [index]));
  if (opaque.length > 1) {
    const expected =
      'false, because an opaque token does not name its issuer, so only one issuer can check opaque tokens';
    const path = `${root}.introspection[${opaque.at(-1)}].opaqueTokens`;
    faults.push({ path, expected, found: 'a second issuer' });
  }
  return faults;
}

function authenticationFaults(
  { authenticate, clientId, clientSecret, signedAnswers }: IntrospectionOptions,
  method: string | undefined,
  path: string,
): OptionFault[] {
  const faults: OptionFault[] = [];
  if (authenticate !== undefined && clientSecret !== undefined) {
    faults.push({ path: `${path}.authenticate`, expected: 'nothing, because clientSecret is given', found: 'both' });
  }
  if (authenticate === undefined && (clientId === undefined || clientSecret === undefined)) {
    const expected = 'clientId and clientSecret, or authenticate';
    faults.push({ path: `${path}.clientSecret`, expected, found: 'nothing that authenticates the guard' });
  }
  if (typeof clientSecret === 'string') faults.push(...strayCharacterFaults(clientSecret, `${path}.clientSecret`));
  const found = clientSecret === undefined ? undefined : toSecretSource(clientSecret).fault();
  if (found !== undefined) faults.push({ path: `${path}.clientSecret`, expected: 'a secret', found });
  if (clientSecret !== undefined && method !== undefined && !INTROSPECTION_METHODS.some((one) => one === method)) {
    const expected = 'authenticate instead, because introspection sends a secret only by HTTP Basic or in the body';
    faults.push({ path: `${path}.clientSecret`, expected, found: `a secret, and '${method}'` });
  }
  if (authenticate !== undefined && signedAnswers && clientId === undefined) {
    const expected = 'the client identifier that responses are signed for';
    faults.push({ path: `${path}.clientId`, expected, found: 'nothing' });
  }
  return faults;
}

/** The endpoint is configured, or discovered through an issuer that is an https URL. */
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
  const expected = 'its address, because it can’t be discovered through an issuer that is not an https URL';
  return [{ path: endpointPath, expected, found: 'nothing' }];
}

/** How the guard asks an issuer about tokens: {@link IntrospectionOptions}, checked, with every default filled in. */
export interface IntrospectionConfiguration {
  readonly authenticate: IntrospectionAuthentication;
  readonly opaqueTokens: boolean;
  /** Client identifier that responses must be signed for; undefined: they are not signed. */
  readonly signedFor: string | undefined;
}

/** @param options Free of faults. */
export function introspectionConfiguration(
  { authenticate, clientId, clientSecret, opaqueTokens = true, signedAnswers = false }: IntrospectionOptions,
  { clientSecretMethod }: IdentityProvider,
): IntrospectionConfiguration {
  const method = clientSecretMethod as IntrospectionMethod;
  return {
    authenticate: authenticate ?? introspectionClient({ clientId, clientSecret, method }),
    opaqueTokens,
    signedFor: signedAnswers ? clientId : undefined,
  };
}

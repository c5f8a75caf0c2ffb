import { z } from 'zod';
import { ASSERTION_AUDIENCES, type AssertionAudience } from '../credentials/client-assertion.js';
import { CLIENT_SECRET_METHODS, type ClientSecretMethod } from '../credentials/client-secret-authentication.js';
import { definedOnly } from '../foundation/plain-objects.js';
import {
  type OptionFault,
  optionFaults,
  aFunction,
  cleanTexts,
  field,
  flag,
  oneOf,
  someOf,
  text,
} from '../foundation/option-check.js';
import { strayCharacters } from '../foundation/text.js';
import type { PlainHttp } from '../foundation/url.js';
import {
  type AccessTokenProfile,
  RFC_9068,
  rfc9068WithClientIn,
  SIGNATURE_ALGORITHMS,
  isForeignTokenType,
  type IdentityProvider,
  type JsonWebKeySet,
  KEY_PLACES,
} from './identity-provider.js';
import { addressFault, issuerFault } from './preset-options.js';

export interface GenericOAuth2Options {
  /**
   * Issuer identifier, exactly as in the tokens. Addresses that are not set below are discovered through its metadata
   * (RFC 8414, OpenID Connect), so it must be an https URL. If all are set, it may be any name (RFC 7519 §4.1.1):
   * `urn:sso.acme.example`, `http://adfs.acme.example/adfs/services/trust`, `sso`.
   */
  readonly issuer?: string;
  /** Token endpoint. Required for a client without `issuer`. */
  readonly tokenEndpoint?: string;
  /** Revocation endpoint (RFC 7009), for a client with `revokeOnShutdown`. */
  readonly revocationEndpoint?: string;
  /** Address of the key set (RFC 7517 §5). Required if it is not on the issuer's own origin. */
  readonly jwksUri?: string;
  /**
   * Address of the key set inside your own network, if the guard can't reach the issuer. It may be plain http. Default:
   * `jwksUri`.
   */
  readonly internalJwksUri?: string;
  /** The key set itself, instead of an address. */
  readonly jwks?: JsonWebKeySet;
  /**
   * Path of a file with the key set. The guard reads it again every few seconds while it is used, so you can replace
   * it.
   */
  readonly jwksFile?: string;
  /** Introspection endpoint (RFC 7662). Required if it is not on the issuer's own origin. */
  readonly introspectionEndpoint?: string;
  /** Name of the server in messages. Default: `OAuth 2.0 server`. */
  readonly name?: string;
  /** How a client secret is sent. Default: `client_secret_basic`. */
  readonly clientSecretMethod?: ClientSecretMethod;
  /**
   * `aud` of the assertions of `privateKeyJwt` and `client_secret_jwt`. `issuer`: the issuer, or the token endpoint if
   * no issuer is set. `endpoint`: the endpoint of the request, for servers that accept nothing else. Default: `issuer`.
   */
  readonly assertionAudience?: AssertionAudience;
  /**
   * Accepts tokens and introspection responses (RFC 7662 §2.2) without `aud`. Such a token is valid for every API that
   * trusts this issuer, so the guard's options must name the clients. An `aud` that is present must match. Default:
   * false.
   */
  readonly hasNoAudience?: boolean;
  /** Where its access tokens differ from RFC 9068. Default: nowhere. */
  readonly accessToken?: Partial<Omit<AccessTokenProfile, 'hasNoAudience'>>;
}

/** Any standards-compliant OAuth 2.0 authorization server. */
export function genericOAuth2(options: GenericOAuth2Options): IdentityProvider {
  return {
    name: options.name ?? 'OAuth 2.0 server',
    issuer: options.issuer,
    tokenEndpoint: options.tokenEndpoint,
    revocationEndpoint: options.revocationEndpoint,
    clientSecretMethod: options.clientSecretMethod ?? 'client_secret_basic',
    assertionAudience: options.assertionAudience,
    jwksUri: options.jwksUri,
    internalJwksUri: options.internalJwksUri,
    jwks: options.jwks,
    jwksFile: options.jwksFile,
    introspectionEndpoint: options.introspectionEndpoint,
    accessToken: {
      ...profileOf(options.accessToken?.clientIdClaims),
      ...(options.accessToken && definedOnly(options.accessToken)),
      hasNoAudience: options.hasNoAudience,
    },
    faults: (http) => faults(options, http),
  };
}

function profileOf(clientIdClaims: readonly string[] | undefined): AccessTokenProfile {
  return Array.isArray(clientIdClaims) ? rfc9068WithClientIn(clientIdClaims) : RFC_9068;
}

const claimNames = field<readonly string[]>(
  'a list of claim names',
  (value) =>
    Array.isArray(value) &&
    value.every((name) => typeof name === 'string' && name !== '' && strayCharacters(name) === undefined),
);

const keySet = field<JsonWebKeySet>(
  'a key set, { keys: [ … ] }, with at least one public key',
  (value) =>
    typeof value === 'object' &&
    value !== null &&
    'keys' in value &&
    Array.isArray(value.keys) &&
    value.keys.length > 0,
);

function isTokenType(type: unknown): boolean {
  return type === undefined || (typeof type === 'string' && /^[a-z0-9.+-]+$/.test(type) && !isForeignTokenType(type));
}

const schema = z.strictObject({
  issuer: z.unknown().optional(),
  tokenEndpoint: z.unknown().optional(),
  revocationEndpoint: z.unknown().optional(),
  jwksUri: z.unknown().optional(),
  internalJwksUri: z.unknown().optional(),
  jwks: keySet.optional(),
  jwksFile: text('a path').optional(),
  introspectionEndpoint: z.unknown().optional(),
  name: text('a name').optional(),
  clientSecretMethod: oneOf(CLIENT_SECRET_METHODS).optional(),
  assertionAudience: oneOf(ASSERTION_AUDIENCES).optional(),
  hasNoAudience: flag.optional(),
  accessToken: z
    .strictObject({
      algorithms: someOf(SIGNATURE_ALGORITHMS).optional(),
      tokenTypes: field<readonly (string | undefined)[]>(
        'a list of media types in lower case, or undefined for none',
        (value) => Array.isArray(value) && value.length > 0 && value.every(isTokenType),
      ).optional(),
      clientIdClaims: cleanTexts('a list of claim names, at least one').optional(),
      scopeClaims: cleanTexts('a list of claim names, at least one').optional(),
      requiredClaims: claimNames.optional(),
      foreignClaims: claimNames.optional(),
      isAccessToken: aFunction('a function of the claims').optional(),
      isMachine: aFunction('a function of the claims').optional(),
      requiresNamedClients: flag.optional(),
      introspectsTimesAsText: flag.optional(),
    })
    .optional(),
});

function faults(options: GenericOAuth2Options, plainHttp: PlainHttp): OptionFault[] {
  const found = optionFaults(schema, options);
  const addresses = ['tokenEndpoint', 'revocationEndpoint', 'introspectionEndpoint'] as const;
  for (const path of addresses) {
    if (options[path] === undefined) continue;
    found.push(...addressFault(path, options[path], plainHttp, { mayHaveQuery: true }));
  }
  const places = KEY_PLACES.filter((path) => options[path] !== undefined);
  // The client or guard that uses the provider decides whether anything is discovered through the issuer.
  const isName = places.length > 0 || options.tokenEndpoint !== undefined;
  if (options.issuer !== undefined && isName) found.push(...issuerFault('issuer', options.issuer));
  if (places.length > 1) {
    found.push({ path: places[1]!, expected: `nothing, because ${places[0]} is given`, found: 'both' });
  }
  if (options.issuer === undefined && options.tokenEndpoint === undefined) {
    found.push({ path: 'issuer', expected: 'an issuer, or a tokenEndpoint instead', found: 'neither' });
  }
  return found;
}

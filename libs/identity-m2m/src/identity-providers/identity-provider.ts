import type { ClientSecretMethod } from '../credentials/client-secret-authentication.js';
import type { AssertionAudience } from '../credentials/client-assertion.js';
import type { OptionFault } from '../foundation/option-check.js';
import type { PlainHttp } from '../foundation/url.js';
import type { TokenResponseReader } from '../token/token-response-reader.js';

/** A key set (RFC 7517 §5). */
export interface JsonWebKeySet {
  readonly keys: readonly Readonly<Record<string, unknown>>[];
}

/**
 * An identity provider: its endpoints, and where it differs from the standards.
 *
 * Created by a preset such as `cyberArkIdentity()` or `genericOAuth2()`.
 */
export interface IdentityProvider {
  /** Product name in messages. */
  readonly name: string;
  /** Issuer identifier, exactly as in the tokens (RFC 8414 §2). */
  readonly issuer?: string | undefined;
  /** Token endpoint. Default: discovered through the issuer's metadata. */
  readonly tokenEndpoint?: string | undefined;
  /**
   * Revocation endpoint (RFC 7009). Default: discovered through the issuer's metadata if `tokenEndpoint` is not set.
   */
  readonly revocationEndpoint?: string | undefined;
  /** Method that sends the client secret, unless the client's options name one. */
  readonly clientSecretMethod: ClientSecretMethod;
  /**
   * `aud` of the assertions that the client signs (RFC 7523 §3): the issuer, or the endpoint of the request, for
   * servers that accept nothing else. Default: `issuer`.
   */
  readonly assertionAudience?: AssertionAudience | undefined;
  /** Headers of every token request and revocation. Default: none. */
  readonly tokenRequestHeaders?: Readonly<Record<string, string>>;
  /** Additional values of `error` that mean a rejected credential. Default: none. */
  readonly credentialErrors?: readonly string[];
  /** Reads non-standard responses of the token endpoint. Default: none. */
  readonly readTokenResponse?: TokenResponseReader | undefined;
  /** Base URL of the provider's own API: an allowed origin of its tokens, and the base of relative URLs. */
  readonly apiBaseUrl?: string | undefined;
  /** Headers of calls to that API. Default: none. */
  readonly apiHeaders?: Readonly<Record<string, string>>;
  /** Address of the key set. Default: discovered through the issuer's metadata. */
  readonly jwksUri?: string | undefined;
  /** Address of the key set if the issuer has no metadata. */
  readonly fallbackJwksUri?: string | undefined;
  /**
   * Address of the key set inside your own network, if the guard can't reach the issuer; replaces `jwksUri`. It may be
   * plain http, even in production. Anyone who can respond in its place can sign tokens.
   */
  readonly internalJwksUri?: string | undefined;
  /** The key set itself, instead of an address. */
  readonly jwks?: JsonWebKeySet | undefined;
  /** Path of a file with the key set, instead of an address. */
  readonly jwksFile?: string | undefined;
  /** Introspection endpoint (RFC 7662). Default: discovered through the issuer's metadata. */
  readonly introspectionEndpoint?: string | undefined;
  /** Profile of its access tokens. */
  readonly accessToken: AccessTokenProfile;
  /**
   * Returns what an error text of the token endpoint means in this product, and what to do; undefined if it is unknown.
   */
  readonly hint?: (detail: string) => string | undefined;
  /** Returns what is invalid in the preset's own options, with paths relative to them. */
  readonly faults: (plainHttp: PlainHttp) => readonly OptionFault[];
}

/** An identity provider with a known issuer, which `clients` of the guard can name. */
export interface KnownIssuer extends IdentityProvider {
  readonly issuer: string;
}

/** Options that locate the keys; without them, the issuer's metadata does. */
export const KEY_PLACES = ['jwks', 'jwksFile', 'jwksUri', 'internalJwksUri'] as const;

/** Claims of a token whose signature has been verified. */
export type Claims = Readonly<Record<string, unknown>>;

/** Signature algorithms that the guard can accept (RFC 7518 §3.1, RFC 9864): neither HMAC nor `none`. */
export const SIGNATURE_ALGORITHMS = [
  'RS256',
  'RS384',
  'RS512',
  'PS256',
  'PS384',
  'PS512',
  'ES256',
  'ES384',
  'ES512',
  'EdDSA',
  'Ed25519',
] as const;

export type SignatureAlgorithm = (typeof SIGNATURE_ALGORITHMS)[number];

/** A test of a token's claims. Only `true` accepts the token; if the test throws, the guard refuses it. */
export interface ClaimsTest {
  (claims: Claims): boolean;
  /** The conditions of the test, so that a refusal can name the claim. */
  readonly conditions?: readonly ClaimCondition[] | undefined;
}

/** One condition of a {@link ClaimsTest}. */
export interface ClaimCondition {
  /** Name of the claim: `sub`. */
  readonly claim: string;
  /** Expected value, for events and logs: `equal to client_id`. */
  readonly expected: string;
  readonly holds: (claims: Claims) => boolean;
}

/** Returns a test that requires all conditions. */
export function allOf(...conditions: readonly ClaimCondition[]): ClaimsTest {
  const test = (claims: Claims) => conditions.every(({ holds }) => holds(claims));
  return Object.assign(test, { conditions });
}

/** Returns the condition that a claim is absent. */
export function absent(claim: string): ClaimCondition {
  return { claim, expected: 'none', holds: (claims) => !Object.hasOwn(claims, claim) };
}

/**
 * Profile of an identity provider's access tokens. The guard needs it to tell the access token of a machine from other
 * tokens that are signed with the same keys.
 *
 * Its functions receive only the claims of a token. If one throws, the guard refuses the token.
 */
export interface AccessTokenProfile {
  /** Accepted signature algorithms. */
  readonly algorithms: readonly SignatureAlgorithm[];
  /**
   * Accepted values of the `typ` header, in lower case, without `application/`; undefined accepts tokens without it.
   * RFC 9068 §4 requires `at+jwt`; many servers send `JWT` or nothing. Types of other tokens, such as `logout+jwt`, are
   * always refused.
   */
  readonly tokenTypes: readonly (string | undefined)[];
  /** Claims that name the client. One is enough; if several are present, they must agree. */
  readonly clientIdClaims: readonly string[];
  /** Claims that list the scopes. One is enough; if several are present, they must agree. Default: `scope`, `scp`. */
  readonly scopeClaims?: readonly string[] | undefined;
  /** Claims that every access token of this provider has; the guard refuses a token without them. */
  readonly requiredClaims: readonly string[];
  /** Additional claims that only other kinds of tokens have, like `nonce`, `at_hash` and `events`. Default: none. */
  readonly foreignClaims?: readonly string[] | undefined;
  /**
   * Whether a token is an access token, by the values of its claims, such as `token_use`. Default: no further
   * condition.
   */
  readonly isAccessToken?: ClaimsTest | undefined;
  /**
   * Whether a token belongs to a machine and not to a person. Default: the tokens do not show it, so the guard's
   * options must name the clients.
   */
  readonly isMachine?: ClaimsTest | undefined;
  /**
   * Whether the guard's options must name the clients even so, because any client can get a token for any API. Default:
   * false.
   */
  readonly requiresNamedClients?: boolean | undefined;
  /**
   * Whether tokens may have no `aud`, or an empty one, because this provider sets none. The guard's options must then
   * name the clients. Default: false.
   */
  readonly hasNoAudience?: boolean | undefined;
  /** Whether introspection returns times as strings of digits. Default: false. */
  readonly introspectsTimesAsText?: boolean | undefined;
}

/** The profile of RFC 9068. Without a resource owner, the subject is the client itself (§2.2). */
export const RFC_9068: AccessTokenProfile = {
  algorithms: SIGNATURE_ALGORITHMS,
  tokenTypes: ['at+jwt'],
  clientIdClaims: ['client_id', 'azp'],
  requiredClaims: ['sub', 'iat', 'client_id'],
  isMachine: isSubject('client_id'),
};

/** Returns the same profile with other claims for the client. */
export function rfc9068WithClientIn(clientIdClaims: readonly string[]): AccessTokenProfile {
  return { ...RFC_9068, clientIdClaims, requiredClaims: ['sub', 'iat'], isMachine: isSubject(...clientIdClaims) };
}

function isSubject(...names: readonly string[]): ClaimsTest {
  return allOf({
    claim: 'sub',
    expected: `equal to ${names.join(' or ')}`,
    holds: (claims) => typeof claims.sub === 'string' && names.some((name) => claims[name] === claims.sub),
  });
}

/**
 * Media types of other tokens that may be signed with the same keys (RFC 8725 §3.11): logout tokens, security events
 * (RFC 8417), DPoP proofs (RFC 9449), introspection responses (RFC 9701), request objects (RFC 9101), client
 * assertions, refresh tokens, statements and credentials.
 */
const FOREIGN_TOKEN_TYPES: ReadonlySet<string> = new Set([
  'client-authentication+jwt',
  'dc+sd-jwt',
  'dpop+jwt',
  'entity-statement+jwt',
  'id_token+jwt',
  'kb+jwt',
  'logout+jwt',
  'oauth-authz-req+jwt',
  'oauth-id-jag+jwt',
  'openid4vci-proof+jwt',
  'refresh+jwt',
  'rt+jwt',
  'secevent+jwt',
  'statuslist+jwt',
  'token-introspection+jwt',
  'txntoken+jwt',
  'vc+sd-jwt',
]);

/** Whether a media type belongs to another kind of token. @param type In lower case, without `application/`. */
export function isForeignTokenType(type: string): boolean {
  return FOREIGN_TOKEN_TYPES.has(type);
}

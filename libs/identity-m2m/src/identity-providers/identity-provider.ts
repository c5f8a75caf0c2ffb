import type { ClientSecretMethod } from '../credentials/client-secret-authentication.js';
import type { AssertionAudience } from '../credentials/client-assertion.js';
import type { OptionFault } from '../foundation/option-check.js';
import type { PlainHttp } from '../foundation/url.js';
import type { TokenResponseReader } from '../token/token-response-reader.js';

/** A key set as RFC 7517 §5 writes it. */
export interface JsonWebKeySet {
  readonly keys: readonly Readonly<Record<string, unknown>>[];
}

/**
 * What the library knows about an identity provider: where it is, and what is peculiar to it.
 *
 * Made by a preset such as `cyberArkIdentity()` or `genericOAuth2()`.
 */
export interface IdentityProvider {
  /** Its product name, for messages. */
  readonly name: string;
  /** Issuer identifier, to the letter (RFC 8414 §2). */
  readonly issuer?: string | undefined;
  /** Token endpoint; where absent, it is found through the issuer's metadata. */
  readonly tokenEndpoint?: string | undefined;
  /** Revocation endpoint (RFC 7009), where it is known without metadata. */
  readonly revocationEndpoint?: string | undefined;
  /** How a client secret is sent where the client's options do not say. */
  readonly clientSecretMethod: ClientSecretMethod;
  /**
   * Whom assertions that the client signs are addressed to, as their only `aud` (RFC 7523 §3): the issuer, or the endpoint
   * that the request goes to, for servers that accept nothing else. Default: `issuer`.
   */
  readonly assertionAudience?: AssertionAudience | undefined;
  /** Headers that every token request should carry. */
  readonly tokenRequestHeaders?: Readonly<Record<string, string>>;
  /** Values of `error` by which its token endpoint refuses the client's credential, besides the standard ones. */
  readonly credentialErrors?: readonly string[];
  /** Reads the answers of its token endpoint, where they have a form of their own. */
  readonly readTokenResponse?: TokenResponseReader | undefined;
  /** The provider's own API, which its tokens are bound to and relative URLs lead to. */
  readonly apiBaseUrl?: string | undefined;
  /** Headers that calls of that API should carry. */
  readonly apiHeaders?: Readonly<Record<string, string>>;
  /** Address of the key set; where absent, it is found through the issuer's metadata. */
  readonly jwksUri?: string | undefined;
  /** Address of the key set where the issuer has no metadata. */
  readonly fallbackJwksUri?: string | undefined;
  /**
   * Address of the key set inside the own network, where the issuer's own can't be reached; takes the place of
   * `jwksUri`. Plain http is allowed for it, in production too: whoever can answer in its place can sign tokens.
   */
  readonly internalJwksUri?: string | undefined;
  /** The key set itself, in place of an address. */
  readonly jwks?: JsonWebKeySet | undefined;
  /** Path of a file with the key set, in place of an address. */
  readonly jwksFile?: string | undefined;
  /** Introspection endpoint (RFC 7662); where absent, it is found through the issuer's metadata. */
  readonly introspectionEndpoint?: string | undefined;
  readonly accessToken: AccessTokenProfile;
  /** What a refusal of the token endpoint means in this product, and where to mend it. */
  readonly hint?: (detail: string) => string | undefined;
  /** What is wrong with the preset's own options; paths are relative to them. */
  readonly faults: (plainHttp: PlainHttp) => readonly OptionFault[];
}

/** An identity provider whose issuer is known: `clients` can be named with it. */
export interface KnownIssuer extends IdentityProvider {
  readonly issuer: string;
}

/** Where keys come from, if they are not found through the issuer's metadata. */
export const KEY_PLACES = ['jwks', 'jwksFile', 'jwksUri', 'internalJwksUri'] as const;

/** Claims of a token whose signature has been verified. */
export type Claims = Readonly<Record<string, unknown>>;

/** Signature algorithms that can be accepted (RFC 7518 §3.1, RFC 9864): none with a shared secret, and not `none`. */
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

/** A test of a token's claims. Only `true` accepts them; where it throws, they are refused. */
export interface ClaimsTest {
  (claims: Claims): boolean;
  /** What the test consists of, so that a refusal can name the claim that was wrong. */
  readonly conditions?: readonly ClaimCondition[] | undefined;
}

/** One condition of a {@link ClaimsTest}. */
export interface ClaimCondition {
  /** Name of the claim: `sub`. */
  readonly claim: string;
  /** What it should be, for events and logs: `equal to client_id`. */
  readonly expected: string;
  readonly holds: (claims: Claims) => boolean;
}

/** The test that several conditions make together. */
export function allOf(...conditions: readonly ClaimCondition[]): ClaimsTest {
  const test = (claims: Claims) => conditions.every(({ holds }) => holds(claims));
  return Object.assign(test, { conditions });
}

/** The condition that a claim is absent. */
export function no(claim: string): ClaimCondition {
  return { claim, expected: 'none', holds: (claims) => !Object.hasOwn(claims, claim) };
}

/**
 * How one kind of identity provider writes its access tokens: what the guard must know to tell an access token of a
 * machine from everything else that the same keys sign.
 *
 * Its functions judge a token by its claims and by nothing else; where one throws, it has not said yes.
 */
export interface AccessTokenProfile {
  /** Signature algorithms accepted. */
  readonly algorithms: readonly SignatureAlgorithm[];
  /**
   * Values of the `typ` header accepted: lower case, without `application/`; undefined stands for its absence.
   * RFC 9068 §4 wants `at+jwt`; many servers send `JWT` or nothing. Types that are known to be something else, such as
   * `logout+jwt`, are refused whatever stands here.
   */
  readonly tokenTypes: readonly (string | undefined)[];
  /** Claims that name the client, any of them. Where several are present they must agree. */
  readonly clientIdClaims: readonly string[];
  /** Claims that list what the client may do, any of them. Where several are present they must agree. Default: `scope`, `scp`. */
  readonly scopeClaims?: readonly string[] | undefined;
  /** Claims that an access token of this provider always has. */
  readonly requiredClaims: readonly string[];
  /** Claims that show some other kind of token, besides those that do so everywhere (`nonce`, `at_hash`, `events` …). */
  readonly foreignClaims: readonly string[];
  /**
   * Whether this is an access token, where the values of its claims tell: `token_use`, say. Default: no further
   * condition.
   */
  readonly isAccessToken?: ClaimsTest | undefined;
  /**
   * Whether a token belongs to a machine and not to a person. Left out where tokens of this provider do not tell: then the
   * guard accepts only clients that its options name.
   */
  readonly isMachine?: ClaimsTest | undefined;
  /**
   * Whether clients have to be named even so, because with this provider any client can get a token for any API.
   * Default: false.
   */
  readonly requiresNamedClients?: boolean | undefined;
  /**
   * Whether a token may come without `aud`, or with an empty list of audiences, because this provider writes none. Clients
   * have to be named then. Default: false.
   */
  readonly hasNoAudience?: boolean | undefined;
  /** Whether introspection writes times as texts of digits. Default: false. */
  readonly introspectsTimesAsText?: boolean | undefined;
}

/** RFC 9068 §2.2: where no resource owner is involved, the subject is the client itself. */
export const RFC_9068: AccessTokenProfile = {
  algorithms: SIGNATURE_ALGORITHMS,
  tokenTypes: ['at+jwt'],
  clientIdClaims: ['client_id', 'azp'],
  requiredClaims: ['sub', 'iat', 'client_id'],
  foreignClaims: [],
  isMachine: isSubject('client_id'),
};

/** The same where other claims name the client. */
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
 * Media types of tokens that are something other than access tokens, and that the same keys may have signed (RFC 8725
 * §3.11): logout tokens, security events (RFC 8417), DPoP proofs (RFC 9449), introspection answers (RFC 9701), request
 * objects (RFC 9101), client assertions, refresh tokens, statements and credentials.
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

/** @param type In lower case, without `application/`. */
export function isForeignTokenType(type: string): boolean {
  return FOREIGN_TOKEN_TYPES.has(type);
}

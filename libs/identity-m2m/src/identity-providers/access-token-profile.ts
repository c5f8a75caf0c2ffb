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

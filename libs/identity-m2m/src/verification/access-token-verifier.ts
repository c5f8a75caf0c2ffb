import { OPAQUE_TOKEN } from '../foundation/text.js';
import { EventStream } from '../foundation/event-stream.js';
import type { BoundedMapLimits } from '../foundation/bounded-map.js';
import type { Clock } from '../foundation/clock.js';
import type { Claims } from '../identity-providers/identity-provider.js';
import { type ClaimsPolicy, claimsRefusal, unwanted } from './claims-policy.js';
import { tooLong } from './compact-jws.js';
import type { IntrospectionResult } from './introspection.js';
import type { MachineCaller } from './machine-caller.js';
import { type Refusal, refuse, type RefusalDetail, shown, shownClaim } from './refusal.js';
import { type RevocableToken, revocationRefusal, type RevocationStore } from './revocation.js';
import { type RightsContext, type RoutePolicy, routeVerdict, type Verdict } from './route-policy.js';
import { type CallerIdentity, callerIdentity, clientExpired, confirmedCaller, readScopes } from './caller-identity.js';
import { issuerUnknown, readSignedToken, type SignedToken } from './signed-token.js';
import type { TrustedIssuer } from './trusted-issuer.js';
import type { TrustedIssuers } from './trusted-issuers.js';
import type { VerificationEvent } from './verification-events.js';
import { type VerifiedToken, VerifiedTokens, verifySignature } from './verified-token.js';

export interface AccessTokenVerifierOptions {
  readonly issuers: TrustedIssuers;
  /** Whether a bare client identifier may mean more than one client. */
  readonly hasSeveralIssuers: boolean;
  /** The issuer that checks opaque tokens; undefined: opaque tokens are refused. */
  readonly opaqueTokensOf: string | undefined;
  readonly revocations: RevocationStore | undefined;
  /** Longest accepted token, in characters. */
  readonly maxTokenLength: number;
  readonly verifiedTokens: BoundedMapLimits;
  readonly events: EventStream<VerificationEvent>;
  readonly clock: Clock;
}

const ANY_ROUTE: RoutePolicy = {};

/**
 * Verifies access tokens, and decides whether their callers are allowed.
 *
 * Cheap checks come first: form, issuer, header, claims; then the key, and the signature last. Until the signature is
 * verified, the claims are untrusted: they can refuse a token, but never accept it. A token whose signature was
 * verified before passes the same checks except for the signature, so the cache never changes a verdict.
 */
export class AccessTokenVerifier {
  readonly #verified: VerifiedTokens;
  /** Signatures that are being verified, by token: no more than there are waiting calls. */
  readonly #underWay = new Map<string, Promise<VerifiedToken | Refusal>>();
  readonly #rights: RightsContext;

  /** Events about key sets, issuers and introspection. */
  readonly events: Pick<EventStream<VerificationEvent>, 'subscribe' | 'publishOn'>;

  constructor(private readonly options: AccessTokenVerifierOptions) {
    const { hasSeveralIssuers, verifiedTokens, events } = options;
    this.events = events;
    this.#verified = new VerifiedTokens(verifiedTokens);
    this.#rights = { hasSeveralIssuers };
  }

  /**
   * Verifies a token and checks the rights of its caller.
   *
   * @param route What the route requires besides a valid token. Default: nothing.
   * @returns The verdict, without a promise if it is known at once, as for a cached token; otherwise a promise, which
   * never rejects.
   */
  verify(token: string, route: RoutePolicy = ANY_ROUTE): Verdict | Promise<Verdict> {
    if (typeof token !== 'string') return refuse('token_malformed');
    const { issuers } = this.options;
    const known = this.#verified.get(token);
    if (known && (!known.issuer.isResolved || issuers.resolved?.accepts(known.issuer)))
      return this.#judgeSigned(known, route, known);
    const { maxTokenLength, opaqueTokensOf } = this.options;
    if (token.length > maxTokenLength) return tooLong(token.length, maxTokenLength);
    if (opaqueTokensOf !== undefined && isOpaque(token)) return this.#judgeOpaque(token, route);
    const signed = readSignedToken(token, issuers);
    if (signed instanceof Promise) return signed.then((late) => this.#judgeRead(late, route));
    return this.#judgeRead(signed, route);
  }

  /**
   * Fetches the issuers' keys before the first token arrives, as the option `start` requires.
   * `createAccessTokenVerifier` has already called it: call it again to wait for the keys if the option is `require`.
   *
   * @throws `KeySetError` with `require`, if the keys are not available in time. The message names the issuers and what
   * failed.
   */
  start(): Promise<void> {
    return this.options.issuers.start();
  }

  /**
   * Ends background work and requests under way. From then on, a token whose key would have to be fetched is refused.
   */
  close(): void {
    this.#verified.clear();
    this.options.issuers.close();
  }

  #judgeRead(signed: SignedToken | Refusal, route: RoutePolicy): Verdict | Promise<Verdict> {
    return signed.ok ? this.#judgeSigned(signed, route) : signed;
  }

  #judgeSigned(signed: SignedToken, route: RoutePolicy, known?: VerifiedToken): Verdict | Promise<Verdict> {
    const now = this.options.clock.now();
    const refusal = claimsRefusal(signed.claims, signed.issuer.policy, now.wallMs / 1000);
    if (refusal) {
      if (known && refusal.reason === 'token_expired') this.#verified.delete(known);
      return refusal;
    }
    const hasCurrentKey = known?.hasCurrentKey(now);
    if (known && hasCurrentKey) return this.#judgeVerified(known, route, now.wallMs);
    if (known && hasCurrentKey === false) this.#verified.delete(known);
    return this.#verifyAndJudge(signed, route);
  }

  async #verifyAndJudge(signed: SignedToken, route: RoutePolicy): Promise<Verdict> {
    const verified = await this.#verifyOnce(signed);
    if (!verified.ok) return verified;
    // Time has passed.
    const { wallMs } = this.options.clock.now();
    const refusal = claimsRefusal(verified.claims, verified.issuer.policy, wallMs / 1000);
    return refusal ?? this.#judgeVerified(verified, route, wallMs);
  }

  /** Verifies a signature once for all calls that wait for it: a client may send a new token on many calls at once. */
  #verifyOnce(signed: SignedToken): Promise<VerifiedToken | Refusal> {
    const { token } = signed;
    const underWay = this.#underWay.get(token);
    if (underWay) return underWay;
    const begun = verifySignature(signed)
      .then((verified) => {
        if (verified.ok) {
          this.#verified.add(verified);
          if (verified.issuer.isResolved) this.options.issuers.resolved?.markProven(verified.issuer);
        }
        return verified;
      })
      .finally(() => this.#underWay.delete(token));
    this.#underWay.set(token, begun);
    return begun;
  }

  #judgeVerified(verified: VerifiedToken, route: RoutePolicy, nowMs: number): Verdict | Promise<Verdict> {
    const identity = (verified.identity ??= callerIdentity(verified, 'signed'));
    if (!identity.ok) return identity;
    return this.#judgeIdentity(identity, verified.issuer, verified.key.kid, route, nowMs, verified.token);
  }

  async #judgeOpaque(token: string, route: RoutePolicy): Promise<Verdict> {
    if (!OPAQUE_TOKEN.test(token)) return refuse('token_malformed', { expected: 'visible ASCII characters, no comma' });
    const issuer = this.options.issuers.find(this.options.opaqueTokensOf!)!;
    const result = await issuer.opaqueTokens!.ask(token);
    if (result.active !== true) return inactive(result);
    const { claims } = result;
    // An issuer can only vouch for its own tokens.
    if (Object.hasOwn(claims, 'iss') && claims.iss !== issuer.issuer) return issuerUnknown(claims, [issuer.issuer]);
    const { wallMs } = this.options.clock.now();
    const refusal = foreignRefusal(claims) ?? answerRefusal(claims, issuer.policy, wallMs / 1000);
    if (refusal) return refusal;
    const identity = callerIdentity({ token, issuer, claims }, 'introspected');
    return identity.ok ? this.#judgeIdentity(identity, issuer, undefined, route, wallMs, token) : identity;
  }

  #judgeIdentity(
    { caller, clientEndsAtMs }: CallerIdentity,
    issuer: TrustedIssuer,
    keyId: string | undefined,
    route: RoutePolicy,
    nowMs: number,
    token: string,
  ): Verdict | Promise<Verdict> {
    const { revocations, clock } = this.options;
    if (nowMs >= clientEndsAtMs) return clientExpired(caller, clientEndsAtMs);
    if (!revocations) return this.#judgeRoute(caller, issuer, route, token);
    const revoked = revocationRefusal(revocations, revocable(caller, keyId), clock);
    if (revoked instanceof Promise) {
      return revoked.then((found) => found ?? this.#judgeRoute(caller, issuer, route, token));
    }
    return revoked ?? this.#judgeRoute(caller, issuer, route, token);
  }

  #judgeRoute(
    caller: MachineCaller,
    issuer: TrustedIssuer,
    route: RoutePolicy,
    token: string,
  ): Verdict | Promise<Verdict> {
    const verdict = routeVerdict(caller, route, this.#rights);
    const mustAskIssuer = !verdict.ok && verdict.reason === 'introspection_unavailable';
    if (!mustAskIssuer || !issuer.signedTokens) return verdict;
    const result = issuer.signedTokens.ask(token);
    return result instanceof Promise
      ? result.then((late) => this.#confirm(caller, issuer, route, late))
      : this.#confirm(caller, issuer, route, result);
  }

  /** Confirms a signed token by its issuer's response, which can narrow what the token grants, but never widen it. */
  #confirm(caller: MachineCaller, { policy }: TrustedIssuer, route: RoutePolicy, result: IntrospectionResult): Verdict {
    if (result.active !== true) return inactive(result);
    const { claims } = result;
    const difference = differenceFrom(claims, caller);
    if (difference) return refuse('token_inactive', difference);
    const { wallMs } = this.options.clock.now();
    const all = { ...caller.claims, ...claims };
    const refusal = foreignRefusal(claims, caller.claims) ?? answerRefusal(all, policy, wallMs / 1000);
    if (refusal) return { ...refusal, caller };
    if (Object.hasOwn(claims, 'act')) return { ...unwanted('delegated_token', claims, 'act'), caller };
    const scopes = readScopes(claims, ['scope']);
    if (!scopes.ok) return { ...scopes, caller };
    const confirmed = confirmedCaller(caller, Object.hasOwn(claims, 'scope') ? scopes.granted : caller.scopes);
    return routeVerdict(confirmed, route, this.#rights);
  }
}

/**
 * Whether a token is opaque. A token that looks like a signed one is treated as one, however malformed, and is sent to
 * no issuer. Three parts alone do not make it look so: opaque tokens of some issuers, such as Salesforce, contain dots.
 */
function isOpaque(token: string): boolean {
  const first = token.indexOf('.');
  const second = token.indexOf('.', first + 1);
  if (second < 0 || token.includes('.', second + 1)) return true;
  const header = token.slice(0, first);
  // The decoder skips characters that are not base64, so it finds a header in any spelling.
  return NO_BASE64.test(header) && Buffer.from(header, 'base64url').toString().trimStart()[0] !== '{';
}

const NO_BASE64 = /[^\w+/=-]/;

/**
 * Checks the claims of an introspection response. RFC 7662 §2.2 makes all of them optional, so claims that a profile
 * requires of tokens may be missing. `exp` and `aud` are still required, because no other source has them; except `aud`
 * for a profile with `hasNoAudience`.
 */
function answerRefusal(claims: Claims, policy: ClaimsPolicy, nowSeconds: number): Refusal | undefined {
  const profile = { ...policy.profile, requiredClaims: [], isAccessToken: undefined };
  return claimsRefusal(claims, { ...policy, profile }, nowSeconds);
}

/**
 * Claims with the type of a token. RFC 7662 §2.2 puts the type of RFC 6749 §5.1 into `token_type`. Some servers put the
 * kind of token there, as a word or a URI (RFC 8693 §3), or into another claim. Nothing else identifies a refresh
 * token.
 */
const TYPE_CLAIMS = ['token_type', 'token_use', 'typ'];
const TOKEN_TYPE_URI = 'urn:ietf:params:oauth:token-type:';
const ACCESS_TOKEN_TYPES = ['bearer', 'access_token', 'access', 'jwt', 'at+jwt', 'application/at+jwt'];

/**
 * Refuses an introspection response about another kind of token.
 *
 * @param own Claims of the token itself. The profile has checked those that the response repeats.
 */
function foreignRefusal(answer: Claims, own: Claims = {}): Refusal | undefined {
  const isRepeated = (claim: string) => claim !== 'token_type' && answer[claim] === own[claim];
  const name = TYPE_CLAIMS.find(
    (claim) => Object.hasOwn(answer, claim) && !isRepeated(claim) && !isAccessTokenType(answer[claim]),
  );
  if (name === undefined) return undefined;
  return refuse('foreign_token', { claim: name, found: shown(answer[name]), expected: 'an access token' });
}

function isAccessTokenType(type: unknown): boolean {
  if (typeof type !== 'string') return false;
  const word = type.toLowerCase();
  return ACCESS_TOKEN_TYPES.includes(word) || word === `${TOKEN_TYPE_URI}access_token`;
}

function inactive(result: Exclude<IntrospectionResult, { active: true }>): Refusal {
  return result.active === 'unknown'
    ? { ...refuse('introspection_unavailable'), retryAfterSeconds: result.retryAfterSeconds }
    : refuse('token_inactive');
}

/** Returns what shows that a response is about another token; undefined if it is about this one. */
function differenceFrom(answer: Claims, { claims, clientId }: MachineCaller): RefusalDetail | undefined {
  const differs = (name: string, own: unknown) => Object.hasOwn(answer, name) && answer[name] !== own;
  const name = ['iss', 'sub', 'jti'].find((claim) => Object.hasOwn(claims, claim) && differs(claim, claims[claim]));
  if (name !== undefined) return { ...shownClaim(answer, name), expected: 'the same as in the token' };
  const own = claims.client_id ?? clientId;
  return differs('client_id', own) ? { ...shownClaim(answer, 'client_id'), expected: shown(own) } : undefined;
}

function revocable({ issuer, clientId, subject, claims }: MachineCaller, keyId: string | undefined): RevocableToken {
  return {
    issuer,
    clientId,
    tokenId: typeof claims.jti === 'string' ? claims.jti : undefined,
    subject,
    keyId,
    issuedAtMs: typeof claims.iat === 'number' ? claims.iat * 1000 : undefined,
  };
}

import { type Clock, elapsedMs, type Instant, systemClock } from '../foundation/clock.js';
import { parseUrl } from '../foundation/url.js';
import { untilAborted } from '../foundation/promises.js';
import { type AccessToken, AUTHORIZATION_HEADER, type TokenHeader } from '../token/access-token.js';
import { clientWarnings } from '../token/outbound-events.js';
import { tokenKey } from '../token/token-parameters.js';
import type { GetTokenOptions, TokenProvider } from '../token/token-provider.js';
import {
  DEFAULT_MAX_REPLAY_BYTES,
  DEFAULT_TOKEN_REJECTION,
  type TokenRejection,
  TokenRejectionRule,
} from '../token/token-rejection.js';
import type { CallAuthorization, OutgoingCall } from './outgoing-call.js';
import { RenewalThrottle, receiverKey } from './renewal-throttle.js';

/** Which calls are repeated, and which responses renew the token. */
export interface ReplayPolicy {
  /** Maximum size of a body that is sent again, in bytes. */
  readonly maxBytes: number;
  /** Which responses reject the token. */
  readonly isTokenRejected: TokenRejection;
}

const DEFAULT_REPLAY_POLICY: ReplayPolicy = {
  maxBytes: DEFAULT_MAX_REPLAY_BYTES,
  isTokenRejected: DEFAULT_TOKEN_REJECTION,
};

/** Time for which calls use the previous token if a receiver's clock is behind, in milliseconds. */
const SET_BACK_MS = 2000;

/** Maximum number of origins for which `call.refused_origin` is emitted. */
const MAX_REFUSED_ORIGINS = 100;

const carriers = new WeakMap<TokenProvider, TokenCarrier>();

/**
 * Returns the provider's only carrier: what it learns about a receiver applies to every kind of call.
 *
 * The first call for a provider configures its carrier; the arguments of later calls have no effect. A client calls
 * this first for its own provider. A provider that replaces it in a test may have been used before, by `bearerFetch` or
 * by another client with the same replacement: its carrier stays as it is.
 */
export function carrierOf(
  provider: TokenProvider,
  clock: Clock = systemClock,
  replay: ReplayPolicy = DEFAULT_REPLAY_POLICY,
  header?: TokenHeader,
): TokenCarrier {
  const existing = carriers.get(provider);
  if (existing) return existing;
  const carrier = new TokenCarrier(provider, clock, replay, header);
  carriers.set(provider, carrier);
  return carrier;
}

/**
 * Puts a client's token on calls to its allowed origins only. If the receiver rejects the token, the carrier renews it
 * and sends the call once more.
 *
 * It renews a rejected token even if the call cannot be repeated, so that the next call has a valid one.
 */
export class TokenCarrier {
  #rejectionRule: TokenRejectionRule | undefined;
  #throttle: RenewalThrottle | undefined;
  /** Renewals under way, by the rejected token: all calls whose token is rejected meanwhile share one. */
  readonly #renewals = new Map<AccessToken, Promise<AccessToken | undefined>>();
  /** Tokens that were rejected for another reason than a receiver's clock. */
  readonly #rejected = new WeakSet<AccessToken>();
  /** Tokens that the previous one replaces for a moment, and since when. */
  readonly #setBack = new Map<AccessToken, Instant>();
  readonly #refusedOrigins = new Set<string>();
  #callsUnderWay = 0;
  #idleListeners: (() => void)[] = [];

  constructor(
    private readonly provider: TokenProvider,
    private readonly clock: Clock,
    private readonly replay: ReplayPolicy,
    readonly header: TokenHeader = AUTHORIZATION_HEADER,
  ) {}

  /** Name of the client in the module's options. */
  get client(): string {
    return this.provider.clientName;
  }

  /** Maximum size of a body that is sent again, in bytes. */
  get maxReplayBytes(): number {
    return this.replay.maxBytes;
  }

  /**
   * Whether the token may go to this address. Emits `call.refused_origin` once per origin where it may not.
   *
   * @param host The call's own `Host` header, if it has one. A server for many hosts routes by it and not by the
   * address, so both must be allowed.
   */
  allows(url: string, host?: string | null): boolean {
    const { isAllowed, reason } = this.provider.explain(url);
    if (!isAllowed) this.#emitRefused(url, reason);
    if (!isAllowed || host === undefined || host === null) return isAllowed;
    const { protocol, host: ownHost, pathname } = new URL(url);
    if (host === ownHost) return true;
    return this.allows(/^[^/\\?#@\s]+$/.test(host) ? `${protocol}//${host}${pathname}` : `${protocol}//`);
  }

  /**
   * Whether a response with this status may reject the token. Nothing else of other responses is read, and a success
   * does not even make the rule.
   */
  mayReject(status: number | undefined): boolean {
    return status !== undefined && status >= 400 && this.#rejection.mayReject(status);
  }

  /** Whether the status alone makes a rejection likely, before the rest of the response arrives. */
  isLikelyRejection(status: number | undefined): boolean {
    return status !== undefined && status >= 400 && this.#rejection.isLikelyRejection(status);
  }

  /** Returns the authorization for a call, without the proof that a DPoP token needs. */
  authorizationOf(token: AccessToken): CallAuthorization {
    const { header } = this;
    return { token, header, authorization: header.revealValue(token) };
  }

  /** Returns the token if it can go on a call at once and without a proof. */
  peekBearer(wanted: GetTokenOptions | undefined): AccessToken | undefined {
    const token = this.provider.peek(wanted);
    return token?.tokenType === 'Bearer' ? this.#inUse(token, wanted) : undefined;
  }

  /**
   * Sends a call to an allowed address with the token on it. Repeats it if the token was rejected and another one may
   * be accepted.
   *
   * @throws `TokenUnavailableError` before anything is sent; the reason of the call's signal while it waits; whatever
   * `send` throws.
   */
  async call<Response>(call: OutgoingCall<Response>): Promise<Response> {
    this.callBegins();
    try {
      const token = this.#inUse(this.provider.peek(call.token) ?? (await this.#wait(call)), call.token);
      const response = await this.#send(call, token);
      return this.mayReject(call.status(response)) ? await this.finish(call, token, response) : response;
    } finally {
      this.callEnds();
    }
  }

  /** For carriers that send a call without {@link call}. */
  callBegins(): void {
    this.#callsUnderWay += 1;
  }

  callEnds(): void {
    this.#callsUnderWay -= 1;
    if (this.#callsUnderWay > 0) return;
    for (const notify of this.#idleListeners.splice(0)) notify();
  }

  /** Resolves when no call is under way: the tokens may be revoked. */
  async whenIdle(): Promise<void> {
    if (this.#callsUnderWay > 0) await new Promise<void>((resolve) => this.#idleListeners.push(resolve));
  }

  /**
   * The second half of {@link call}, for a call that was sent with the token and has a response: renews a rejected
   * token, and repeats the call if possible.
   *
   * @returns The response for the caller: the first one, or that of the repeated call.
   * @throws Whatever `send` throws.
   */
  async finish<Response>(call: OutgoingCall<Response>, token: AccessToken, response: Response): Promise<Response> {
    if (!(await this.#isRejection(call, response))) return response;
    const previous = this.#previousOf(token, call.token);
    if (previous) return this.#fallBack(call, token, { response, previous });
    this.#rejected.add(token);
    const receiver = this.#receiverOf(call);
    const replacement = this.#replacementFor(token, call.token, receiver);
    if (!replacement) return response;
    // Even if this call cannot be repeated: the caller may make the next one at once.
    const stopFlowing = call.keepFlowing?.(response);
    // The replacement never rejects.
    const other = await untilAborted(Promise.resolve(replacement), call.signal()).catch(() => undefined);
    stopFlowing?.();
    if (!other || call.signal().aborted || !call.isReplayable(response)) return response;
    const second = await this.#sendAgain(call, other, response);
    const isRejectedAgain = await this.#isRejection(call, second);
    this.#renewalThrottle.renewalEnded(receiver, isRejectedAgain ? 'did not help' : 'helped');
    return second;
  }

  /**
   * Uses the previous token if the current one is ahead of the receiver's clock: for this call, and briefly for others.
   */
  async #fallBack<Response>(
    call: OutgoingCall<Response>,
    token: AccessToken,
    { response, previous }: { readonly response: Response; readonly previous: AccessToken },
  ): Promise<Response> {
    this.#setTokenBack(token, previous, originOf(call.url));
    if (call.signal().aborted || !call.isReplayable(response)) return response;
    const second = await this.#sendAgain(call, previous, response);
    if (!(await this.#isRejection(call, second))) return second;
    // The clock was not the cause. The next call needs a token other than these two.
    this.#setBack.delete(token);
    this.#rejected.add(previous).add(token);
    void this.#replacementFor(token, call.token, this.#receiverOf(call));
    return second;
  }

  #sendAgain<Response>(call: OutgoingCall<Response>, token: AccessToken, first: Response): Promise<Response> {
    call.discard(first);
    const { clientName: client, events } = this.provider;
    events.emit({ type: 'call.replayed', client, origin: originOf(call.url), fingerprint: token.fingerprint });
    return this.#send(call, token);
  }

  /** Returns the token for a call: the current one, or for a moment the previous one. */
  #inUse(token: AccessToken, wanted: GetTokenOptions | undefined): AccessToken {
    if (this.#setBack.size === 0) return token;
    const since = this.#setBack.get(token);
    if (!since) return token;
    const isOver = elapsedMs(since, this.clock.now()) >= SET_BACK_MS;
    const previous = isOver ? undefined : this.#previousOf(token, wanted);
    if (!previous) this.#setBack.delete(token);
    return previous ?? token;
  }

  #setTokenBack(token: AccessToken, previous: AccessToken, origin: string): void {
    const now = this.clock.now();
    if (!this.#setBack.has(token)) {
      const { clientName: client, events } = this.provider;
      const { fingerprint } = token;
      events.emit({
        type: 'call.clock_behind',
        client,
        origin,
        fingerprint,
        previousFingerprint: previous.fingerprint,
      });
    }
    for (const [other, since] of this.#setBack) if (elapsedMs(since, now) >= SET_BACK_MS) this.#setBack.delete(other);
    this.#setBack.set(token, now);
  }

  #previousOf(token: AccessToken, wanted: GetTokenOptions | undefined): AccessToken | undefined {
    const previous = this.provider.previousToken(token, wanted);
    return previous && !this.#rejected.has(previous) ? previous : undefined;
  }

  async #isRejection<Response>(call: OutgoingCall<Response>, response: Response): Promise<boolean> {
    const status = call.status(response);
    if (status === undefined || !this.mayReject(status)) return false;
    const body = this.#rejection.readsBody ? await call.bodyStart(response) : '';
    return this.#rejection.isRejection({ status, headers: call.headers(response), body });
  }

  #wait<Response>(call: OutgoingCall<Response>): Promise<AccessToken> {
    return this.provider.getToken({ ...call.token, signal: call.signal() });
  }

  #send<Response>(call: OutgoingCall<Response>, token: AccessToken): Promise<Response> {
    const authorization = this.authorizationOf(token);
    return token.tokenType === 'Bearer' ? call.send(authorization) : this.#sendWithProof(call, authorization);
  }

  /** RFC 9449 §9: a response may bring a nonce for the next proof, or only demand one. */
  async #sendWithProof<Response>(call: OutgoingCall<Response>, authorization: CallAuthorization): Promise<Response> {
    const { method, url } = call;
    const proof = () => this.provider.proof(authorization.token, method, url);
    const send = async () => call.send({ ...authorization, dpop: await proof() });
    const learnNonce = (response: Response) =>
      call.status(response) !== undefined && this.provider.learnNonce(url, call.headers(response)['dpop-nonce']);
    const response = await send();
    const isNewNonce = learnNonce(response);
    const isWanted = isNewNonce && call.status(response) === 401;
    if (!isWanted || !/use_dpop_nonce/.test(call.headers(response)['www-authenticate'] ?? '')) return response;
    if (!call.isReplayable(response)) return response;
    call.discard(response);
    const second = await send();
    learnNonce(second);
    return second;
  }

  get #rejection(): TokenRejectionRule {
    return (this.#rejectionRule ??= this.#makeRejectionRule());
  }

  #makeRejectionRule(): TokenRejectionRule {
    const { clientName, events } = this.provider;
    const { emitOptionFailure } = clientWarnings(clientName, events);
    return new TokenRejectionRule(this.replay.isTokenRejected, (problem) =>
      emitOptionFailure('isTokenRejected', problem),
    );
  }

  get #renewalThrottle(): RenewalThrottle {
    return (this.#throttle ??= new RenewalThrottle(this.clock));
  }

  #receiverOf({ token, url }: Pick<OutgoingCall<unknown>, 'url' | 'token'>): string {
    return receiverKey(tokenKey(token ?? {}), originOf(url));
  }

  /**
   * Returns a token other than the rejected one, or a promise of it; undefined if there is none to wait for.
   *
   * Starts to renew the token if the throttle permits. The promise never rejects.
   */
  #replacementFor(
    rejected: AccessToken,
    wanted: GetTokenOptions | undefined,
    receiver: string,
  ): AccessToken | Promise<AccessToken | undefined> | undefined {
    const current = this.provider.peek(wanted);
    if (current && !current.equals(rejected)) return current;
    const shared = this.#renewals.get(rejected);
    if (shared) return shared;
    return this.#renewalThrottle.tryForceRenewal(receiver) ? this.#renew(rejected, wanted, receiver) : undefined;
  }

  /** Never rejects: the 401 tells the caller more than a failed renewal, which emits its own event. */
  #renew(
    rejected: AccessToken,
    wanted: GetTokenOptions | undefined,
    receiver: string,
  ): Promise<AccessToken | undefined> {
    // A custom provider or a mock may throw, or return a value instead of a promise.
    const renewing = async () => this.provider.renewToken(rejected, wanted);
    const renewed = renewing()
      .catch(() => undefined)
      .then((token) => {
        this.#renewals.delete(rejected);
        if (!token) this.#renewalThrottle.renewalEnded(receiver, 'did not help');
        return token;
      });
    this.#renewals.set(rejected, renewed);
    return renewed;
  }

  #emitRefused(url: string, reason: ReturnType<TokenProvider['explain']>['reason']): void {
    const origin = parseUrl(url)?.origin ?? 'an address that is not a URL';
    if (this.#refusedOrigins.has(origin) || this.#refusedOrigins.size >= MAX_REFUSED_ORIGINS) return;
    this.#refusedOrigins.add(origin);
    const { clientName: client, events } = this.provider;
    events.emit({ type: 'call.refused_origin', client, origin, reason });
  }
}

/** The URL standard defines origins for web schemes only; other addresses name the receiver themselves. */
function originOf(url: string): string {
  const { origin } = new URL(url);
  return origin === 'null' ? url : origin;
}

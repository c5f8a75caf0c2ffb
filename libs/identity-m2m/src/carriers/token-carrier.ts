import { type Clock, elapsedMs, type Instant } from '../foundation/clock.js';
import { parseUrl } from '../foundation/url.js';
import { untilAborted } from '../foundation/promises.js';
import { type AccessToken, AUTHORIZATION_HEADER, type TokenHeader } from '../token/access-token.js';
import { tokenKey } from '../token/token-parameters.js';
import type { GetTokenOptions, TokenProvider } from '../token/token-provider.js';
import { DEFAULT_TOKEN_REJECTION, type TokenRejection, TokenRejectionRule } from '../token/token-rejection.js';
import { RenewalThrottle, receiverKey } from './renewal-throttle.js';

/** What goes onto a call: the token, the header that presents it, and for a token bound to a key its proof. */
export interface CallAuthorization {
  readonly token: AccessToken;
  /** Where the token goes: `Authorization`, unless the client says otherwise. */
  readonly header: TokenHeader;
  /** The header's value. */
  readonly authorization: string;
  readonly dpop?: string | undefined;
}

/** A call to a resource server, as every kind of HTTP client can describe it. */
export interface OutgoingCall<Response> {
  readonly method: string;
  /** The address that the call really goes to. Of messages, the name of the broker or receiver as a URL. */
  readonly url: string;
  /** Which token it wants; undefined for the client's usual one. */
  readonly token: GetTokenOptions | undefined;
  /** Sends the call with these headers on it. Called at most four times: twice, and each time once more for the nonce of a proof. */
  send(authorization: CallAuthorization): Promise<Response>;
  /** undefined where no answer came, or one from a place that the token was not sent to. */
  status(response: Response): number | undefined;
  /** By their names in lower case. Asked for only where the status says that the answer may be about the token. */
  headers(response: Response): Readonly<Record<string, string>>;
  /**
   * The beginning of the answer's body, which stays whole for the caller; empty where it cannot be read in time. Asked for
   * only if a predicate judges the answer.
   */
  bodyStart(response: Response): string | Promise<string>;
  /**
   * Keeps an answer flowing that would be paused while it is not read. Asked for while the token is renewed.
   *
   * @returns Ends that: the answer is passed on or discarded.
   */
  keepFlowing?(response: Response): () => void;
  /** Whether the call can be sent a second time after this answer: its body is still there, and not too long. */
  isReplayable(response: Response): boolean;
  /** Lets go of a response that nobody will read, with its socket. */
  discard(response: Response): void;
  /** Ends the wait for a token. Asked for only if there is a wait. */
  signal(): AbortSignal;
}

/** Which calls are sent a second time, and which renew the token. */
export interface ReplayPolicy {
  /** Longest body that is sent a second time, in bytes. */
  readonly maxBytes: number;
  /** What an answer looks like that rejects the token. */
  readonly isTokenRejected: TokenRejection;
}

export const DEFAULT_REPLAY_POLICY: ReplayPolicy = { maxBytes: 1_048_576, isTokenRejected: DEFAULT_TOKEN_REJECTION };

/** How long a token that is ahead of a receiver's clock is set back, in milliseconds. */
const SET_BACK_MS = 2000;

/** Most origins that a refusal is told of. */
const MAX_REFUSED_ORIGINS = 100;

/**
 * Puts a client's token on calls: to the places it is bound to and no others, always a usable one, and once more with
 * another one where the receiver rejects the first.
 *
 * A rejected token is renewed whether or not its call can be sent again, so that the next call has a good one.
 *
 * All carriers of a client share one, so that what one of them learns of a receiver holds for the others.
 */
export class TokenCarrier {
  readonly rejection: TokenRejectionRule;
  /** Longest body that is sent a second time, in bytes. */
  readonly maxReplayBytes: number;
  readonly #brake: RenewalThrottle;
  /** Renewals under way, by the token that was rejected: all calls share one whose token was rejected meanwhile. */
  readonly #renewals = new Map<AccessToken, Promise<AccessToken | undefined>>();
  /** Tokens that were rejected for another reason than that they are ahead of the receiver's clock. */
  readonly #rejected = new WeakSet<AccessToken>();
  /** Tokens in whose place the one before is used for a moment, and since when. */
  readonly #setBack = new Map<AccessToken, Instant>();
  readonly #refusedOrigins = new Set<string>();
  #hasPredicateFailed = false;
  #callsUnderWay = 0;
  #tellIdle: (() => void)[] = [];

  constructor(
    private readonly provider: TokenProvider,
    private readonly clock: Clock,
    { maxBytes, isTokenRejected }: ReplayPolicy,
    readonly header: TokenHeader = AUTHORIZATION_HEADER,
  ) {
    this.#brake = new RenewalThrottle(clock);
    this.maxReplayBytes = maxBytes;
    this.rejection = new TokenRejectionRule(isTokenRejected, (error) => this.#tellPredicateFailure(error));
  }

  /** Name of the client in the module's configuration. */
  get client(): string {
    return this.provider.clientName;
  }

  /**
   * Whether the token may go to this address. Tells of each origin where it may not, once.
   *
   * @param host The call's own `Host` header, where it has one. A server that acts for many hosts goes by it, not by the
   * address, so the token has to be bound to both.
   */
  allows(url: string, host?: string | null): boolean {
    const { isAllowed, reason } = this.provider.explain(url);
    if (!isAllowed) this.#tellRefused(url, reason);
    if (!isAllowed || host === undefined || host === null) return isAllowed;
    const { protocol, host: ownHost, pathname } = new URL(url);
    if (host === ownHost) return true;
    return this.allows(/^[^/\\?#@\s]+$/.test(host) ? `${protocol}//${host}${pathname}` : `${protocol}//`);
  }

  /** How a token goes onto a call, without the proof that some need. */
  authorizationOf(token: AccessToken): CallAuthorization {
    const { header } = this;
    return { token, header, authorization: header.revealValue(token) };
  }

  /** The token where it can go on a call at once and without a proof, which is nearly always. */
  peekBearer(wanted: GetTokenOptions | undefined): AccessToken | undefined {
    const token = this.provider.peek(wanted);
    return token?.tokenType === 'Bearer' ? this.#inUse(token, wanted) : undefined;
  }

  /**
   * Sends a call to a bound address with the token on it, a second time if the token was rejected and another one may be
   * accepted.
   *
   * @throws `TokenUnavailableError`, and nothing has been sent; the reason of the call's signal while it waits; whatever
   * `send` throws.
   */
  async call<Response>(call: OutgoingCall<Response>): Promise<Response> {
    this.callBegins();
    try {
      const token = this.#inUse(this.provider.peek(call.token) ?? (await this.#wait(call)), call.token);
      const response = await this.#send(call, token);
      return this.rejection.mayReject(call.status(response)) ? await this.finish(call, token, response) : response;
    } finally {
      this.callEnds();
    }
  }

  /** For whoever sends a call without {@link call}. */
  callBegins(): void {
    this.#callsUnderWay += 1;
  }

  callEnds(): void {
    this.#callsUnderWay -= 1;
    if (this.#callsUnderWay > 0) return;
    for (const tell of this.#tellIdle.splice(0)) tell();
  }

  /** Resolves when no call is under way: the tokens may be revoked. */
  async whenIdle(): Promise<void> {
    if (this.#callsUnderWay > 0) await new Promise<void>((resolve) => this.#tellIdle.push(resolve));
  }

  /**
   * The second half of {@link call}, once the call was sent with the token and answered: renews a token that was rejected,
   * and sends the call again where that is possible.
   *
   * @returns The answer for the caller: the first one, or that to the second sending.
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
    // Also where this call cannot be sent again: its caller may make the next one at once.
    const stopFlowing = call.keepFlowing?.(response);
    // It never rejects itself.
    const other = await untilAborted(Promise.resolve(replacement), call.signal()).catch(() => undefined);
    stopFlowing?.();
    if (!other || call.signal().aborted || !call.isReplayable(response)) return response;
    const second = await this.#sendAgain(call, other, response);
    const isRejectedAgain = await this.#isRejection(call, second);
    this.#brake.renewalEnded(receiver, isRejectedAgain ? 'did not help' : 'helped');
    return second;
  }

  /**
   * Uses the token before in place of one that is ahead of the receiver's clock: for this call, if it can be sent again, and
   * for others for a moment.
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
    // So it was not the clock. The next call needs a token that neither of these is.
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

  /** The token for a call: the one that is current, or for a moment the one before. */
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
    if (status === undefined || !this.rejection.mayReject(status)) return false;
    const body = this.rejection.readsBody ? await call.bodyStart(response) : '';
    return this.rejection.isRejection({ status, headers: call.headers(response), body });
  }

  #wait<Response>(call: OutgoingCall<Response>): Promise<AccessToken> {
    return this.provider.getToken({ ...call.token, signal: call.signal() });
  }

  #send<Response>(call: OutgoingCall<Response>, token: AccessToken): Promise<Response> {
    const authorization = this.authorizationOf(token);
    return token.tokenType === 'Bearer' ? call.send(authorization) : this.#sendWithProof(call, authorization);
  }

  /** RFC 9449 §9: an answer may bring a nonce for the next proof, and may be no more than the demand for one. */
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

  #receiverOf({ token, url }: Pick<OutgoingCall<unknown>, 'url' | 'token'>): string {
    return receiverKey(tokenKey(token ?? {}), originOf(url));
  }

  /**
   * Another token than the one that was rejected, now or when it is there; undefined where there is none to wait for.
   *
   * Begins to renew the token, if the brake allows it. The promise never rejects.
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
    return this.#brake.mayForceRenewal(receiver) ? this.#renew(rejected, wanted, receiver) : undefined;
  }

  /** Never rejects: the caller learns more from the 401 than from a failed attempt to mend it, which has an event. */
  #renew(
    rejected: AccessToken,
    wanted: GetTokenOptions | undefined,
    receiver: string,
  ): Promise<AccessToken | undefined> {
    // A provider of the application's own, or a mock of one, may throw or return where a promise is due.
    const renewing = async () => this.provider.renewToken(rejected, wanted);
    const renewed = renewing()
      .catch(() => undefined)
      .then((token) => {
        this.#renewals.delete(rejected);
        if (!token) this.#brake.renewalEnded(receiver, 'did not help');
        return token;
      });
    this.#renewals.set(rejected, renewed);
    return renewed;
  }

  #tellRefused(url: string, reason: ReturnType<TokenProvider['explain']>['reason']): void {
    const origin = parseUrl(url)?.origin ?? 'an address that is no URL';
    if (this.#refusedOrigins.has(origin) || this.#refusedOrigins.size >= MAX_REFUSED_ORIGINS) return;
    this.#refusedOrigins.add(origin);
    const { clientName: client, events } = this.provider;
    events.emit({ type: 'call.refused_origin', client, origin, reason });
  }

  /** Once: it is the same function for each call. Without the error's text, which may repeat the answer's. */
  #tellPredicateFailure(error: unknown): void {
    if (this.#hasPredicateFailed) return;
    this.#hasPredicateFailed = true;
    const { clientName: client, events } = this.provider;
    events.emit({ type: 'option.failed', client, option: 'isTokenRejected', problem: `threw a ${kindOf(error)}` });
  }
}

/** The URL standard knows origins only of the web; of what is none, the address itself names the receiver. */
function originOf(url: string): string {
  const { origin } = new URL(url);
  return origin === 'null' ? url : origin;
}

function kindOf(error: unknown): string {
  return error instanceof Error ? error.name : typeof error;
}

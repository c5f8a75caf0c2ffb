import { type Clock, elapsedMs, type Instant } from '../foundation/clock.js';
import type { EventStream } from '../foundation/event-stream.js';
import type { AccessToken } from './access-token.js';
import { type AcquiredToken, type HeldToken, isAlive, replaceHeldToken } from './held-token.js';
import type { OutboundEvent, RequestedAccess } from './outbound-events.js';
import {
  backgroundAttemptTimeoutMs,
  livesLongEnough,
  type RefreshPolicy,
  retryRoomMs,
  tokenFreshness,
  YOUNG_TOKEN_MS,
} from './refresh-policy.js';
import { RefreshTimer } from './refresh-timer.js';
import { RetryBackoff } from './retry-policy.js';
import { tryProgress, type TryProgress, type SecondTries, type SilenceWatch, SingleFlight } from './single-flight.js';
import { type FailureContext, type TokenUnavailableError, unexpectedFailure } from './token-errors.js';
import { type AccessTokenStatus, TokenReport, tokenStatus } from './token-report.js';
import { type Acquisition, isRetryable, type TokenFailure, type TokenResult } from './token-result.js';

export interface RefreshedTokenOptions {
  /** Makes one attempt to get a token, and updates its progress. */
  readonly attempt: (signal: AbortSignal, progress: TryProgress) => Promise<TokenResult<Acquisition>>;
  readonly policy: RefreshPolicy;
  /** Refreshes the token even while no call uses it. */
  readonly keepWarm: boolean;
  /** Maximum time that a caller waits for a token, over any number of attempts, in milliseconds. */
  readonly acquireTimeoutMs: number;
  /** Timeout of one attempt, in milliseconds. */
  readonly requestTimeoutMs: number;
  /** Time for which an expired token is still used while there is no other, in milliseconds. Unsafe above 0. */
  readonly unsafeExpiredTokenGraceMs: number;
  readonly context: FailureContext;
  /** What the token is requested for, for events. */
  readonly requestedAccess: RequestedAccess;
  readonly events: EventStream<OutboundEvent>;
  /** Shared by all tokens of the client. */
  readonly secondTries: SecondTries;
  readonly clock: Clock;
  /** Uniform in [0, 1). */
  readonly random: () => number;
}

/** Result of an attempt for the callers that waited: no error after a success. */
type AttemptEnd = { readonly error: TokenUnavailableError | undefined };

/**
 * Keeps one access token usable: fetches it when it is first needed, refreshes it before it expires, and shares every
 * attempt among all waiting callers.
 *
 * `refresh-policy.ts`, `retry-policy.ts` and `single-flight.ts` make the decisions. Timers and callers follow the same
 * schedule. One attempt of at most two tries runs at a time. After a failure, no attempt starts before it is due,
 * however many callers there are.
 */
export class RefreshedToken {
  #held: HeldToken | undefined;
  /** The token before that one, if a scheduled refresh replaced it. */
  #previous: HeldToken | undefined;
  /** Whether a resource server rejected the held token. */
  #isHeldRejected = false;
  /** Age below which the server is known to return the same token again. */
  #earliestRenewalMs: number | undefined;
  readonly #attempt: SingleFlight<TokenResult<Acquisition>, AttemptEnd>;
  readonly #silence: SilenceWatch;
  readonly #timer: RefreshTimer;
  readonly #report: TokenReport;
  /** Progress of the first try of the attempt under way. */
  #first: TryProgress | undefined;
  /** Background refreshes run until `stopRefreshing`, attempts for callers until `close`. */
  #phase: 'running' | 'draining' | 'closed' = 'running';

  /** @param backoff The back-off of an evicted instance for the same parameters, if any. */
  constructor(
    private readonly options: RefreshedTokenOptions,
    readonly backoff = new RetryBackoff(options.random),
  ) {
    const { clock, context, events, keepWarm, requestedAccess } = options;
    this.#report = new TokenReport(context, requestedAccess, events);
    this.#attempt = new SingleFlight(clock, {
      isDecisive: (result) => result.ok || !isRetryable(result.failure.kind),
      outcomeOf: (error) => ({ ok: false, failure: unexpectedFailure(error) }),
      finish: (result) => this.#finishAttempt(result),
    });
    this.#silence = options.secondTries.watch({
      isNeeded: () => this.#attempt.isAwaited && (this.#isHeldRejected || !this.#canServeStale(clock.now())),
      start: (place) => this.#startSecondTry(place),
    });
    this.#timer = new RefreshTimer({
      clock,
      keepWarm,
      delayMs: (now) => this.#untilNextAttemptMs(now),
      onDue: (now) => (this.backoff.lastError || !this.#timer.goDormantIfUnused()) && this.#startAttempt(now),
      onDormant: () => this.#report.dormant(),
    });
  }

  /**
   * Returns the token if there is no need to wait for it. Starts a background refresh if one is due.
   *
   * @param minTtlMs Minimum remaining lifetime, in milliseconds.
   */
  peek(minTtlMs = 0): AccessToken | undefined {
    const held = this.#held;
    if (!held) return undefined;
    const now = this.options.clock.now();
    const ageMs = elapsedMs(held.since, now);
    if (!livesLongEnough(held.schedule, ageMs, minTtlMs)) return undefined;
    const freshness = tokenFreshness(held.schedule, ageMs);
    if (freshness !== 'fresh' && freshness !== 'stale') return undefined;
    this.#noteUse(now);
    if (freshness === 'stale') this.#attemptIfDue(now);
    return held.token;
  }

  /**
   * Returns the token, or waits until it is fetched or renewed. Waits over several attempts, while the next one is due
   * within `acquireTimeoutMs` and may succeed.
   *
   * @param signal Aborts this caller's wait, not the attempt, which other callers may share.
   * @param minTtlMs Wanted remaining lifetime, in milliseconds: a token with less is renewed first, if possible.
   * @throws {@link TokenUnavailableError} or a subclass; the signal's reason once that has aborted.
   */
  async getToken(signal?: AbortSignal, minTtlMs = 0): Promise<AccessToken> {
    signal?.throwIfAborted();
    return this.peek(minTtlMs) ?? this.#tokenByWaiting(signal);
  }

  /**
   * Returns a token other than the one that a resource server has just rejected.
   *
   * Many calls may be rejected with the same token at once: the first starts an attempt, and all share it. As in
   * {@link getToken}, each waits over several attempts while the next one is due within `acquireTimeoutMs`.
   *
   * @returns undefined if there is no other token in that time, or the server returned the same one again.
   */
  async renew(rejected: AccessToken, signal?: AbortSignal): Promise<AccessToken | undefined> {
    signal?.throwIfAborted();
    if (this.#previous?.token.equals(rejected)) this.#previous = undefined;
    if (this.#held && !this.#held.token.equals(rejected)) return this.getToken(signal);
    this.#isHeldRejected = true;
    const begin = this.options.clock.now();
    for (;;) {
      const now = this.options.clock.now();
      this.#noteUse(now);
      this.#attemptIfDue(now);
      const maxWaitMs = this.#maxWaitMs(begin, now);
      if (!this.#attempt.isRunning) {
        if (this.#phase === 'closed' || !this.backoff.isWorthWaiting(now, maxWaitMs)) return undefined;
      }
      const end = await this.#waitForAttempt(maxWaitMs, signal);
      if (end?.error) continue;
      const renewed = this.#held?.token;
      return end && renewed && !renewed.equals(rejected) ? renewed : undefined;
    }
  }

  /**
   * Returns the token that a scheduled refresh has just replaced with this one, if it was never rejected and has not
   * expired. For receivers whose clock is behind: they reject a token younger than {@link YOUNG_TOKEN_MS}.
   *
   * @param minTtlMs Minimum remaining lifetime, in milliseconds.
   */
  previousToken(token: AccessToken, minTtlMs = 0): AccessToken | undefined {
    const previous = this.#previous;
    if (!previous || !this.#held?.token.equals(token)) return undefined;
    const now = this.options.clock.now();
    const isYoung = elapsedMs(this.#held.since, now) < YOUNG_TOKEN_MS;
    return isYoung && isAlive(previous, now, minTtlMs) ? previous.token : undefined;
  }

  /** Starts to fetch a token before the first call. */
  warmUp(): void {
    const now = this.options.clock.now();
    this.#noteUse(now);
    if (!this.#held) this.#attemptIfDue(now);
  }

  /** Whether an attempt is under way, or a caller waits for one. */
  get isBusy(): boolean {
    return this.#attempt.isRunning || this.#attempt.isAwaited;
  }

  /** Ends the back-off, whatever its reason. */
  retryNow(): void {
    this.backoff.retryNow();
    this.#timer.arm(this.options.clock.now());
  }

  status(): AccessTokenStatus {
    const state = { isRefreshing: this.#attempt.isRunning, isDormant: this.#timer.isDormant };
    return tokenStatus(this.#held, this.options.clock.now(), { ...state, lastError: this.backoff.lastError });
  }

  /** Returns the held token; undefined once it has expired. */
  heldToken(): AccessToken | undefined {
    return this.#held && isAlive(this.#held, this.options.clock.now()) ? this.#held.token : undefined;
  }

  /** Stops background refreshes; callers are still served. */
  stopRefreshing(): void {
    if (this.#phase === 'running') this.#phase = 'draining';
    this.#timer.arm(this.options.clock.now());
  }

  /** Aborts the attempt under way and every caller's wait. The held token is still returned until it expires. */
  close(): void {
    this.#phase = 'closed';
    this.#timer.cancel();
    this.#silence.attemptEnded();
    this.#attempt.close({ error: this.#report.closedError() });
  }

  #noteUse(now: Instant): void {
    this.#timer.usedAt = now;
    if (this.#timer.isDormant) this.#timer.wake(now);
  }

  #attemptIfDue(now: Instant): void {
    if (this.#attempt.isRunning || this.#phase === 'closed' || this.backoff.dueInMs(now) > 0) return;
    this.#startAttempt(now);
  }

  #startAttempt(now: Instant): void {
    const { requestTimeoutMs } = this.options;
    this.#timer.cancel();
    const held = this.#held;
    const isInBackground = held !== undefined && elapsedMs(held.since, now) < held.schedule.waitAtMs;
    const timeoutMs = isInBackground ? backgroundAttemptTimeoutMs(held.schedule, requestTimeoutMs) : requestTimeoutMs;
    const first = tryProgress(now);
    this.#first = first;
    this.#silence.attemptStarted(first);
    first.abort = this.#attempt.start((signal) => this.options.attempt(signal, first), timeoutMs);
  }

  /** Starts a second try, so that one hung connection does not delay callers without a token. */
  #startSecondTry(place: 'beside' | 'instead'): void {
    const { attempt, clock, requestTimeoutMs } = this.options;
    const second = tryProgress(clock.now(), this.#first);
    second.abort = this.#attempt.start((signal) => attempt(signal, second), requestTimeoutMs);
    this.#report.secondTry(place === 'instead');
  }

  #finishAttempt(result: TokenResult<Acquisition>): AttemptEnd {
    const now = this.options.clock.now();
    this.#silence.attemptEnded();
    const error = result.ok ? this.#accept(result, now) : this.#fail(result.failure, now);
    this.#timer.arm(now);
    return { error };
  }

  #accept(acquired: AcquiredToken, now: Instant): TokenUnavailableError | undefined {
    const { granted, requestedAt, receivedAt, credential } = acquired;
    const { lifetimeMs } = granted.lifetime;
    const arrivalAgeMs = elapsedMs(requestedAt, receivedAt);
    if (arrivalAgeMs >= lifetimeMs) {
      const detail = `the token lives for ${lifetimeMs} ms and took ${Math.round(arrivalAgeMs)} ms to arrive, so it had expired`;
      const advice =
        'Have the server issue tokens that live longer than a token request takes, or find out why it responds so slowly. The client retries automatically.';
      return this.#fail({ kind: 'transient', detail, advice }, now);
    }
    this.backoff.reset();
    this.options.secondTries.granted(arrivalAgeMs);
    this.#timer.refreshed();
    const { policy, random } = this.options;
    const context = { policy, random, earliestRenewalMs: this.#earliestRenewalMs };
    const { held, replaced, earliestRenewalMs } = replaceHeldToken(this.#held, acquired, context);
    this.#earliestRenewalMs = earliestRenewalMs;
    if (held.token !== replaced?.token) {
      const isBySchedule = replaced && !held.isReissued && !this.#isHeldRejected && replaced.credential === credential;
      this.#previous = isBySchedule ? replaced : undefined;
      this.#isHeldRejected = false;
    }
    this.#held = held;
    this.#report.granted(acquired, held, replaced);
    return undefined;
  }

  #fail(failure: TokenFailure, now: Instant): TokenUnavailableError {
    const { context, policy } = this.options;
    const roomMs = this.#held ? retryRoomMs(this.#held.schedule) : policy.outageBudgetMs;
    const decision = this.backoff.failed(failure, now, roomMs, context);
    const usable = this.#canServeStale(now) ? this.#held : undefined;
    if (decision.isNew) this.#report.failed(failure, decision, usable, now);
    return decision.error;
  }

  async #tokenByWaiting(signal: AbortSignal | undefined): Promise<AccessToken> {
    const { acquireTimeoutMs, clock } = this.options;
    const begin = clock.now();
    for (;;) {
      const now = clock.now();
      this.#noteUse(now);
      this.#attemptIfDue(now);
      const maxWaitMs = this.#maxWaitMs(begin, now);
      if (!this.#attempt.isRunning) {
        const late = this.#serveStale(now);
        if (late) return late;
        if (this.#phase === 'closed') throw this.#report.closedError();
        if (this.backoff.lastError && !this.backoff.isWorthWaiting(now, maxWaitMs)) throw this.backoff.lastError;
      }
      const end = await this.#waitForAttempt(maxWaitMs, signal);
      const after = clock.now();
      this.#noteUse(after);
      const token = this.#serveStale(after, end && !end.error);
      if (token) return token;
      if (!end?.error) throw this.#report.waitTimeoutError(acquireTimeoutMs, this.backoff.lastError);
    }
  }

  /** Returns the remaining wait of a caller, in milliseconds. */
  #maxWaitMs(begin: Instant, now: Instant): number {
    return Math.max(this.options.acquireTimeoutMs - elapsedMs(begin, now), 0);
  }

  /** Returns the result of the attempt under way, or of the next one; undefined after `maxWaitMs`. */
  async #waitForAttempt(maxWaitMs: number, signal: AbortSignal | undefined): Promise<AttemptEnd | undefined> {
    const end = this.#attempt.wait(maxWaitMs, signal);
    if (this.#attempt.isRunning) this.#silence.watch();
    else this.#timer.arm(this.options.clock.now());
    try {
      return await end;
    } finally {
      // The timer of the next attempt may have been for this caller alone.
      if (this.#phase === 'draining' && !this.isBusy) this.#timer.arm(this.options.clock.now());
    }
  }

  /** Returns the held token even if it is due for renewal, as long as it has not expired. */
  #serveStale(now: Instant, isNew = false): AccessToken | undefined {
    const held = this.#held;
    if (!held || !this.#canServeStale(now)) return undefined;
    if (!isNew && !held.isServedStale) {
      this.#held = { ...held, isServedStale: true };
      this.#report.servedStale(held);
    }
    return held.token;
  }

  #canServeStale(now: Instant): boolean {
    return this.#held !== undefined && isAlive(this.#held, now, -this.options.unsafeExpiredTokenGraceMs);
  }

  /** Returns the time to the next attempt by timer, in milliseconds; undefined for none. */
  #untilNextAttemptMs(now: Instant): number | undefined {
    if (this.#attempt.isRunning || this.#phase === 'closed') return undefined;
    const dueInMs = this.backoff.dueInMs(now);
    // A caller waits for the next attempt.
    if (this.#attempt.isAwaited) return dueInMs;
    if (this.#phase === 'draining' || this.#timer.isDormant) return undefined;
    const held = this.#held;
    if (this.backoff.lastError) {
      const isKept = held
        ? held.schedule.timed && (this.options.keepWarm || isAlive(held, now))
        : this.options.keepWarm;
      return isKept || this.#timer.hasCallers(now) ? dueInMs : undefined;
    }
    if (!held?.schedule.timed) return undefined;
    return Math.max(held.schedule.refreshAtMs - elapsedMs(held.since, now), 0);
  }
}

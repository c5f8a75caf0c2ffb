import { type Clock, elapsedMs, type Instant, MAX_TIMER_DELAY_MS } from '../foundation/clock.js';
import type { EventStream } from '../foundation/event-stream.js';
import type { AccessToken } from './access-token.js';
import type { RequestedAccess, OutboundEvent } from './outbound-events.js';
import {
  backgroundAttemptTimeoutMs,
  livesLongEnough,
  PROLONGED_LIFETIME_MS,
  type RefreshPolicy,
  type RefreshSchedule,
  refreshSchedule,
  reissuedSchedule,
  retryRoomMs,
  type TokenFreshness,
  tokenFreshness,
  YOUNG_TOKEN_MS,
} from './refresh-policy.js';
import { RetryBackoff } from './retry-policy.js';
import type { SecondAttempts, SilenceWatch } from './second-attempts.js';
import { SingleFlight, type TryEnd } from './single-flight.js';
import { type FailureContext, tokenFailureError, TokenUnavailableError, unexpectedFailure } from './token-errors.js';
import { type AcquisitionOutcome, attemptBegins, type AttemptProgress } from './token-requester.js';
import { isRetryable, type TokenFailure } from './token-result.js';

export interface RefreshedTokenOptions {
  /** Makes one attempt to get a token, and keeps its progress up to date. */
  readonly attempt: (signal: AbortSignal, progress: AttemptProgress) => Promise<AcquisitionOutcome>;
  readonly policy: RefreshPolicy;
  /** Refreshes the token also while nobody uses it. */
  readonly keepWarm: boolean;
  /** How long a caller waits for a token, over as many attempts as fit in, in milliseconds. */
  readonly acquireTimeoutMs: number;
  /** How long one attempt may take, in milliseconds. */
  readonly requestTimeoutMs: number;
  /** How long a dead token is still used while no other can be had, in milliseconds. Unsafe above 0. */
  readonly unsafeExpiredTokenGraceMs: number;
  readonly context: FailureContext;
  /** What the token is asked for, for events. */
  readonly askedFor: RequestedAccess;
  readonly events: EventStream<OutboundEvent>;
  /** Of the client, for all its tokens. */
  readonly secondAttempts: SecondAttempts;
  readonly clock: Clock;
  /** Uniform in [0, 1). */
  readonly random: () => number;
}

/** What can be said of a managed token at a moment. Never holds the token. */
export interface AccessTokenStatus {
  readonly freshness: TokenFreshness | 'none';
  readonly fingerprint?: string;
  readonly expiresAt?: Date;
  readonly refreshAt?: Date;
  readonly refreshing: boolean;
  /** Not refreshed, because it was not used. */
  readonly dormant: boolean;
  /** The last failure since the last success. */
  readonly lastError?: TokenUnavailableError;
}

/** Callers are taken to be there still for this long after the last one called, in milliseconds. */
const CALLERS_LINGER_MS = 60_000;

interface HeldToken {
  readonly token: AccessToken;
  /** Just before it was asked for: where its age is measured from. */
  readonly since: Instant;
  readonly schedule: RefreshSchedule;
  /** Whether the server has handed it out more than once. */
  readonly isReissued: boolean;
  readonly isServedStale: boolean;
  /** Fingerprint of the credential that it was granted for. */
  readonly credential: string;
}

type AttemptResult = { readonly ok: true } | { readonly ok: false; readonly error: TokenUnavailableError };

/**
 * Keeps one access token usable: gets it when it is first needed, refreshes it before its end, and shares every attempt
 * among all who wait.
 *
 * It carries out what `refresh-policy.ts`, `retry-policy.ts` and `second-attempts.ts` decide. Timers and callers obey
 * the same schedule: one attempt runs at a time, of two tries at most, and after a failure none starts before it is due,
 * however many callers come.
 */
export class RefreshedToken {
  #held: HeldToken | undefined;
  /** The token before that one, where the schedule alone had it replaced. */
  #previous: HeldToken | undefined;
  /** Whether a resource server has rejected the token that is held. */
  #isHeldRejected = false;
  readonly #attempt: SingleFlight<AcquisitionOutcome, AttemptResult>;
  readonly #silence: SilenceWatch;
  /** Of the first try of the attempt under way. */
  #first: AttemptProgress | undefined;
  #cancelTimer: (() => void) | undefined;
  #lastUse: Instant | undefined;
  #isUsedSinceRefresh = false;
  #unusedRefreshes = 0;
  #isDormant = false;
  /** Age below which the server is known to hand out the same token again. */
  #earliestRenewalMs: number | undefined;
  /** What is done without being asked for goes on until `stopRefreshing`, everything else until `dispose`. */
  #phase: 'running' | 'draining' | 'disposed' = 'running';

  /** @param gate That of a manager of the same token before, where there was one. */
  constructor(
    private readonly options: RefreshedTokenOptions,
    readonly gate = new RetryBackoff(options.random),
  ) {
    this.#attempt = new SingleFlight(options.clock, {
      isDecisive: (end) => 'value' in end && isDecisive(end.value),
      finish: (end) => this.#finishAttempt(end),
    });
    this.#silence = options.secondAttempts.watch({
      isNeeded: () => this.#attempt.isAwaited && (this.#isHeldRejected || !this.#canServeLate(options.clock.now())),
      start: (place) => this.#startSecondTry(place),
    });
  }

  /**
   * The token, where it can be had without waiting.
   *
   * @param minTtlMs How long it has to live still.
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
   * The token, after waiting for it where it has to be fetched or renewed first: over several attempts, while the next
   * one is due within `acquireTimeoutMs` and can be of use.
   *
   * @param signal Ends this caller's wait, never the attempt that others may be waiting for.
   * @param minTtlMs How long it should live still: one that does not is renewed first, if that can be done.
   * @throws {@link TokenUnavailableError} or a subclass; the signal's reason once that has aborted.
   */
  async getToken(signal?: AbortSignal, minTtlMs = 0): Promise<AccessToken> {
    signal?.throwIfAborted();
    return this.peek(minTtlMs) ?? this.#tokenByWaiting(signal);
  }

  /**
   * A token other than the one that a resource server has just rejected.
   *
   * Many calls may be rejected with the same token at once; the first starts an attempt and all share it. As in
   * {@link getToken}, each waits over several attempts while the next one is due within `acquireTimeoutMs`.
   *
   * @returns undefined where there is no other token to be had in that time, or the server issued the same one again.
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
      const patienceMs = this.#patienceMs(begin, now);
      if (!this.#attempt.isRunning) {
        if (this.#phase === 'disposed' || !this.gate.isWorthWaiting(now, patienceMs)) return undefined;
      }
      const result = await this.#waitForAttempt(patienceMs, signal);
      if (result && !result.ok) continue;
      const renewed = this.#held?.token;
      return result && renewed && !renewed.equals(rejected) ? renewed : undefined;
    }
  }

  /**
   * Returns the token that this one has just replaced by schedule, if it was never rejected and is still alive: for
   * receivers whose clock is behind, which reject a token that is younger than {@link YOUNG_TOKEN_MS}.
   *
   * @param minTtlMs How long it has to live still.
   */
  previousToken(token: AccessToken, minTtlMs = 0): AccessToken | undefined {
    const held = this.#held;
    const previous = this.#previous;
    if (!previous || !held?.token.equals(token)) return undefined;
    const now = this.options.clock.now();
    const isYoung = elapsedMs(held.since, now) < YOUNG_TOKEN_MS;
    const isAlive = elapsedMs(previous.since, now) + minTtlMs < previous.schedule.expiresAtMs;
    return isYoung && isAlive ? previous.token : undefined;
  }

  /** Starts to fetch a token without anybody waiting for it. */
  warmUp(): void {
    const now = this.options.clock.now();
    this.#noteUse(now);
    if (!this.#held) this.#attemptIfDue(now);
  }

  /** Whether an attempt is under way, or somebody waits for one. */
  get isBusy(): boolean {
    return this.#attempt.isRunning || this.#attempt.isAwaited;
  }

  /** Ends the wait for the next attempt, whatever it is for. */
  retryNow(): void {
    this.gate.retryNow();
    this.#armTimer(this.options.clock.now());
  }

  status(): AccessTokenStatus {
    const now = this.options.clock.now();
    const held = this.#held;
    return {
      freshness: held ? tokenFreshness(held.schedule, elapsedMs(held.since, now)) : 'none',
      ...(held && { fingerprint: held.token.fingerprint, expiresAt: expiresAt(held), refreshAt: refreshAt(held) }),
      refreshing: this.#attempt.isRunning,
      dormant: this.#isDormant,
      ...(this.gate.lastError && { lastError: this.gate.lastError }),
    };
  }

  /** The token that is held, while it lives. */
  heldToken(): AccessToken | undefined {
    const held = this.#held;
    if (!held || elapsedMs(held.since, this.options.clock.now()) >= held.schedule.expiresAtMs) return undefined;
    return held.token;
  }

  /** Ends all that is done without being asked for. Callers are served as before. */
  stopRefreshing(): void {
    if (this.#phase === 'running') this.#phase = 'draining';
    this.#armTimer(this.options.clock.now());
  }

  /** Ends the attempt under way as well, and with it everybody's wait. A live token can be had until its end. */
  dispose(): void {
    this.#phase = 'disposed';
    this.#cancelTimer?.();
    this.#silence.attemptEnds();
    this.#attempt.end({ ok: false, error: this.#shutDownError() });
  }

  #noteUse(now: Instant): void {
    this.#lastUse = now;
    this.#isUsedSinceRefresh = true;
    if (this.#isDormant) {
      this.#isDormant = false;
      this.#unusedRefreshes = 0;
      this.#armTimer(now);
    }
  }

  #attemptIfDue(now: Instant): void {
    if (this.#attempt.isRunning || this.#phase === 'disposed' || this.gate.dueInMs(now) > 0) return;
    this.#startAttempt(now);
  }

  #startAttempt(now: Instant): void {
    const { requestTimeoutMs } = this.options;
    this.#cancelTimer?.();
    const held = this.#held;
    const isBehindCallers = held !== undefined && elapsedMs(held.since, now) < held.schedule.waitAtMs;
    const timeoutMs = isBehindCallers ? backgroundAttemptTimeoutMs(held.schedule, requestTimeoutMs) : requestTimeoutMs;
    const first = attemptBegins(now);
    this.#first = first;
    this.#silence.attemptBegins(first);
    first.abort = this.#attempt.start(this.#try(first), timeoutMs);
  }

  /** One hung connection does not hold up callers who have no token. */
  #startSecondTry(place: 'beside' | 'instead'): void {
    const { clock, events, requestTimeoutMs } = this.options;
    const second = attemptBegins(clock.now(), this.#first);
    second.abort = this.#attempt.start(this.#try(second), requestTimeoutMs);
    events.emit({ type: 'token.second_attempt', ...this.#requestFacts(), isFirstAborted: place === 'instead' });
  }

  #try(progress: AttemptProgress) {
    return (signal: AbortSignal) => this.options.attempt(signal, progress);
  }

  #finishAttempt(end: TryEnd<AcquisitionOutcome>): AttemptResult {
    const now = this.options.clock.now();
    this.#silence.attemptEnds();
    const result = 'error' in end ? this.#fail(unexpectedFailure(end.error), now) : this.#take(end.value, now);
    this.#armTimer(now);
    return result;
  }

  #take(outcome: AcquisitionOutcome, now: Instant): AttemptResult {
    if (outcome.ok) return this.#accept(outcome, now);
    return outcome.refusal ? this.#refuseClient(outcome, now) : this.#fail(outcome.failure, now);
  }

  #accept(outcome: Extract<AcquisitionOutcome, { ok: true }>, now: Instant): AttemptResult {
    const { granted, requestedAt, receivedAt, credential } = outcome;
    const { lifetimeMs } = granted.lifetime;
    const arrivalAgeMs = elapsedMs(requestedAt, receivedAt);
    if (arrivalAgeMs >= lifetimeMs) {
      const detail = `the token lives for ${lifetimeMs} ms and took ${Math.round(arrivalAgeMs)} ms to arrive, so it had expired`;
      const advice =
        'Have the server issue tokens that live longer than a token request takes, or find out why it answers so slowly. It is tried again by itself.';
      return this.#fail({ kind: 'transient', detail, advice }, now);
    }
    this.gate.open();
    this.options.secondAttempts.granted(arrivalAgeMs);
    this.#isUsedSinceRefresh = false;
    const previous = this.#held;
    const previousAgeMs = previous ? elapsedMs(previous.since, receivedAt) : Infinity;
    const isUsable = previous !== undefined && previousAgeMs < previous.schedule.expiresAtMs;
    const isSame = previous?.token.equals(granted.accessToken) ?? false;
    if (isUsable && isSame) {
      const endsAtMs = elapsedMs(previous.since, requestedAt) + lifetimeMs;
      const schedule = reissuedSchedule(previous.schedule, previousAgeMs, endsAtMs, this.options.policy);
      this.#held = { ...previous, schedule, isReissued: true };
    } else {
      // Only what a server does with a token that lives tells when it renews one.
      if (isUsable && previous.isReissued) this.#earliestRenewalMs = previousAgeMs;
      const schedule = refreshSchedule(
        {
          lifetimeMs: isSame ? Math.min(lifetimeMs, PROLONGED_LIFETIME_MS) : lifetimeMs,
          arrivalAgeMs,
          jitter: this.options.random(),
          refreshInMs: granted.refreshInMs,
          earliestRenewalMs: this.#earliestRenewalMs,
        },
        this.options.policy,
      );
      const { accessToken: token } = granted;
      const isBySchedule = isUsable && !isSame && !this.#isHeldRejected && previous.credential === credential;
      this.#previous = isBySchedule ? previous : undefined;
      this.#isHeldRejected = false;
      this.#held = { token, since: requestedAt, schedule, isReissued: isSame, isServedStale: false, credential };
    }
    this.#emitAccepted(outcome, this.#held, isUsable ? previous : undefined);
    return { ok: true };
  }

  /** Once the token is held: a listener may ask for it. */
  #emitAccepted(
    { granted, rotation }: Extract<AcquisitionOutcome, { ok: true }>,
    held: HeldToken,
    replaced: HeldToken | undefined,
  ): void {
    const { events, context } = this.options;
    const facts = this.#tokenFacts(held);
    const { source: lifetimeSource } = granted.lifetime;
    if (rotation) events.emit({ type: 'credential.rotated', client: context.client, ...rotation });
    if (!replaced) events.emit({ type: 'token.acquired', ...facts, lifetimeSource });
    else if (replaced.token === held.token) events.emit({ type: 'token.reissued', ...facts });
    else {
      const previousFingerprint = replaced.token.fingerprint;
      events.emit({ type: 'token.refreshed', ...facts, lifetimeSource, previousFingerprint });
    }
  }

  #fail(failure: TokenFailure, now: Instant): AttemptResult {
    const room = this.#held ? retryRoomMs(this.#held.schedule) : this.options.policy.outageBudgetMs;
    const decision = this.gate.decide(failure, now, room);
    const { kind, delayMs } = decision;
    const error = tokenFailureError({ ...failure, kind }, this.options.context, new Date(now.wallMs + delayMs));
    this.gate.close(error, now, decision);
    this.#emitFailure(error, now, delayMs);
    return { ok: false, error };
  }

  #refuseClient({ failure, refusal }: Extract<AcquisitionOutcome, { refusal: object }>, now: Instant): AttemptResult {
    const { kind } = failure;
    const { delayMs, halted, isWithheld, clockSkewMs } = refusal;
    const known = this.gate.lastError;
    if (isWithheld && known && kind === 'credential' && this.gate.isCredentialRefused) {
      // Nothing is new: the credential was looked at, and is the one that was refused.
      this.gate.closeForRefusal(known, now, { kind, delayMs });
      return { ok: false, error: known };
    }
    const retryAt = dateAfter(now, delayMs);
    const error = tokenFailureError(failure, this.options.context, retryAt, halted);
    this.gate.closeForRefusal(error, now, { kind, delayMs });
    this.#emitFailure(error, now, delayMs);
    const { client } = this.options.context;
    if (kind === 'credential' && !isWithheld) {
      this.options.events.emit({ type: 'credential.quarantined', client, retryAt, halted });
    }
    if (clockSkewMs !== undefined) this.options.events.emit({ type: 'client.clock_skew', client, clockSkewMs });
    return { ok: false, error };
  }

  #emitFailure(error: TokenUnavailableError, now: Instant, delayMs: number): void {
    const held = this.#held;
    this.options.events.emit({
      type: 'token.refresh_failed',
      ...this.#requestFacts(),
      error,
      retryAt: dateAfter(now, delayMs),
      degraded: !held || elapsedMs(held.since, now) + delayMs >= held.schedule.expiresAtMs,
    });
  }

  async #tokenByWaiting(signal: AbortSignal | undefined): Promise<AccessToken> {
    const { clock } = this.options;
    const begin = clock.now();
    for (;;) {
      const now = clock.now();
      this.#noteUse(now);
      this.#attemptIfDue(now);
      const patienceMs = this.#patienceMs(begin, now);
      if (!this.#attempt.isRunning) {
        const late = this.#serveLate(now);
        if (late) return late;
        if (this.#phase === 'disposed') throw this.#shutDownError();
        if (this.gate.lastError && !this.gate.isWorthWaiting(now, patienceMs)) throw this.gate.lastError;
      }
      const result = await this.#waitForAttempt(patienceMs, signal);
      const after = clock.now();
      this.#noteUse(after);
      // The new token, else the old one while it lives.
      const token = this.#serveLate(after, result?.ok);
      if (token) return token;
      if (!result || result.ok) throw this.#waitTimeoutError();
    }
  }

  /** What is left of a caller's time, in milliseconds. */
  #patienceMs(begin: Instant, now: Instant): number {
    return Math.max(this.options.acquireTimeoutMs - elapsedMs(begin, now), 0);
  }

  /** The end of the attempt under way, or of the next one; undefined when this caller has waited long enough. */
  async #waitForAttempt(patienceMs: number, signal: AbortSignal | undefined): Promise<AttemptResult | undefined> {
    const end = this.#attempt.wait(patienceMs, signal);
    if (this.#attempt.isRunning) this.#silence.begin();
    else this.#armTimer(this.options.clock.now());
    try {
      return await end;
    } finally {
      // The next attempt may have been for this caller alone, who has gone.
      if (this.#phase === 'draining' && !this.isBusy) this.#armTimer(this.options.clock.now());
    }
  }

  #waitTimeoutError(): TokenUnavailableError {
    const { client, server } = this.options.context;
    return new TokenUnavailableError(
      'wait_timeout',
      `No access token for client "${client}" from ${server} within ${this.options.acquireTimeoutMs} ms. The token request goes on; try again.`,
      { client, cause: this.gate.lastError },
    );
  }

  /** The token that is held, however near its end, as long as it lives. */
  #serveLate(now: Instant, isNew = false): AccessToken | undefined {
    const held = this.#held;
    if (!held || !this.#canServeLate(now)) return undefined;
    if (!isNew && !held.isServedStale) {
      this.#held = { ...held, isServedStale: true };
      this.options.events.emit({ type: 'token.served_stale', ...this.#tokenFacts(held) });
    }
    return held.token;
  }

  #canServeLate(now: Instant): boolean {
    const held = this.#held;
    const graceMs = this.options.unsafeExpiredTokenGraceMs;
    return held !== undefined && elapsedMs(held.since, now) < held.schedule.expiresAtMs + graceMs;
  }

  #armTimer(now: Instant): void {
    this.#cancelTimer?.();
    this.#cancelTimer = undefined;
    const delayMs = this.#timerDelayMs(now);
    if (delayMs === undefined) return;
    // Rounded up, so that the callback is not early by a fraction again and again. A longer wait is cut to what a
    // timer can take; then the callback is early, and arms the rest.
    const timerMs = Math.min(Math.ceil(delayMs), MAX_TIMER_DELAY_MS);
    this.#cancelTimer = this.options.clock.setTimer(timerMs, () => this.#onTimer());
  }

  /** Time to the next attempt that is made without being asked for; undefined where there is none. */
  #timerDelayMs(now: Instant): number | undefined {
    if (this.#attempt.isRunning || this.#phase === 'disposed') return undefined;
    const dueInMs = this.gate.dueInMs(now);
    // Somebody waits for the next attempt to begin.
    if (this.#attempt.isAwaited) return dueInMs;
    if (this.#phase === 'draining' || this.#isDormant) return undefined;
    const held = this.#held;
    const ageMs = held ? elapsedMs(held.since, now) : 0;
    if (this.gate.lastError) {
      const isAlive = held !== undefined && held.schedule.timed && ageMs < held.schedule.expiresAtMs;
      const isKeptWarm = this.options.keepWarm && held?.schedule.timed !== false;
      return isAlive || isKeptWarm || this.#hasCallers(now) ? dueInMs : undefined;
    }
    if (!held?.schedule.timed) return undefined;
    return Math.max(held.schedule.refreshAtMs - ageMs, 0);
  }

  #onTimer(): void {
    const now = this.options.clock.now();
    const delayMs = this.#timerDelayMs(now);
    if (delayMs === undefined) return;
    if (delayMs > 0) this.#armTimer(now);
    else if (this.gate.lastError || this.#isWorthRefreshing()) this.#startAttempt(now);
  }

  /** A token that nobody has used since its last two refreshes is left to expire. */
  #isWorthRefreshing(): boolean {
    this.#unusedRefreshes = this.#isUsedSinceRefresh ? 0 : this.#unusedRefreshes + 1;
    if (this.options.keepWarm || this.#unusedRefreshes < 2) return true;
    this.#isDormant = true;
    this.options.events.emit({ type: 'token.dormant', ...this.#requestFacts() });
    return false;
  }

  #hasCallers(now: Instant): boolean {
    return this.#lastUse !== undefined && elapsedMs(this.#lastUse, now) < CALLERS_LINGER_MS;
  }

  #requestFacts() {
    const { context, askedFor } = this.options;
    return { client: context.client, ...askedFor };
  }

  #tokenFacts(held: HeldToken) {
    return {
      ...this.#requestFacts(),
      fingerprint: held.token.fingerprint,
      requestedAt: new Date(held.since.wallMs),
      expiresAt: expiresAt(held),
      refreshAt: refreshAt(held),
    };
  }

  #shutDownError(): TokenUnavailableError {
    const { client } = this.options.context;
    return new TokenUnavailableError('shut_down', `No access token for client "${client}": it has been shut down.`, {
      client,
    });
  }
}

/** Whether an attempt is over with this, although another try of it is under way: it succeeded, or no try can. */
function isDecisive(outcome: AcquisitionOutcome): boolean {
  return outcome.ok || !isRetryable(outcome.failure.kind);
}

/** undefined for never. */
function dateAfter(now: Instant, delayMs: number): Date | undefined {
  return Number.isFinite(delayMs) ? new Date(now.wallMs + delayMs) : undefined;
}

/** By the wall clock as it was when the token was asked for. */
function expiresAt({ since, schedule }: HeldToken): Date {
  return new Date(since.wallMs + schedule.expiresAtMs);
}

function refreshAt({ since, schedule }: HeldToken): Date {
  return new Date(since.wallMs + schedule.refreshAtMs);
}

import { doublingDelayMs, elapsedMs, type Instant } from '../foundation/clock.js';
import { type FailureContext, failureText, tokenFailureError, type TokenUnavailableError } from './token-errors.js';
import { type CredentialRefusal, isRetryable, type TokenFailure, type TokenFailureKind } from './token-result.js';

/** The curves on which token requests back off. Each counts its own failures. */
export type RetryCurve = 'transient' | 'malformed' | 'certificate' | 'configuration';

/** How long statuses without an OAuth error count as transient, in milliseconds. */
const UNEXPLAINED_IS_TRANSIENT_MS = 120_000;

/**
 * Returns the curve for a status without an OAuth error.
 *
 * @param lastedMs Time for which the server has sent only such responses, in milliseconds.
 */
export function unexplainedCurve(lastedMs: number): 'transient' | 'configuration' {
  return lastedMs < UNEXPLAINED_IS_TRANSIENT_MS ? 'transient' : 'configuration';
}

export interface RetryInput {
  readonly curve: RetryCurve;
  /** Number of earlier failures on this curve since the last success. */
  readonly priorFailures: number;
  /** Time since the first failure after the last success, on any curve, in milliseconds. */
  readonly failingForMs: number;
  /** Time that the current token leaves for retries ({@link retryRoomMs}), in milliseconds. */
  readonly retryRoomMs: number;
  /** Value of `Retry-After`, in milliseconds. */
  readonly retryAfterMs?: number | undefined;
  readonly random: () => number;
}

/** Maximum `Retry-After` that is respected, in milliseconds. */
const MAX_RETRY_AFTER_MS = 3600_000;

/** Maximum length of an outage that counts as short, in milliseconds. */
const SHORT_OUTAGE_MS = 10_000;

/** Maximum delay during a short outage, in milliseconds. */
const SHORT_OUTAGE_DELAY_MS = 5000;

/**
 * Returns the delay before the next token request after a failure, in milliseconds.
 *
 * Timers and callers follow one schedule, so that the load on a failing server does not depend on traffic. Delays
 * double up to a cap, and are not longer than the outage so far: a short outage ends within 5 s of the server's
 * recovery. Jitter draws a delay from its upper half, so that processes retry at different times, and never
 * immediately. A request with a wrong configuration is retried later than planned, never earlier.
 */
export function retryDelayMs(input: RetryInput): number {
  const { random, retryAfterMs } = input;
  const delay =
    input.curve === 'configuration'
      ? doublingDelayMs(60_000, 900_000, input.priorFailures) * (1 + 0.2 * random())
      : equalJitter(outageDelayMs(input), random);
  return Math.max(delay, boundedRetryAfterMs(retryAfterMs, random));
}

/** Returns the delay for a `Retry-After`, limited and with jitter, in milliseconds. */
export function boundedRetryAfterMs(retryAfterMs: number | undefined, random: () => number): number {
  return retryAfterMs === undefined ? 0 : Math.min(retryAfterMs, MAX_RETRY_AFTER_MS) * (1 + 0.1 * random());
}

function outageDelayMs({ curve, priorFailures, failingForMs, retryRoomMs }: RetryInput): number {
  const capMs = Math.min(Math.max(retryRoomMs / 8, 5000), 60_000);
  const outageMs = failingForMs < SHORT_OUTAGE_MS ? SHORT_OUTAGE_DELAY_MS : failingForMs;
  return doublingDelayMs(curve === 'malformed' ? 5000 : 1000, Math.min(capMs, outageMs), priorFailures);
}

function equalJitter(delayMs: number, random: () => number): number {
  return delayMs / 2 + (delayMs / 2) * random();
}

/**
 * Interval at which the source of a refused credential is read again, in milliseconds. Only a changed credential is
 * sent.
 */
const CREDENTIAL_RECHECK_MS = 5000;

interface Backoff {
  readonly error: TokenUnavailableError;
  readonly kind: TokenFailureKind;
  readonly since: Instant;
  readonly delayMs: number;
}

/** The decision after a failed attempt. */
export interface BackoffDecision {
  /** The error for callers. */
  readonly error: TokenUnavailableError;
  /** What was found, and what to do. */
  readonly problem: string;
  /** Time to the next attempt, in milliseconds; Infinity for none. */
  readonly delayMs: number;
  /** Whether the failure is a new one. */
  readonly isNew: boolean;
}

/** Decides when the next attempt may start after a failure: the same time for timers and callers. */
export class RetryBackoff {
  #backoff: Backoff | undefined;
  /** Failures since the last success, by curve. The quarantine counts refusals of the client. */
  readonly #failures = new Map<RetryCurve, number>();
  /** The first failure since the last success. */
  #failingSince: Instant | undefined;
  /** Start of the current series of statuses without an OAuth error. */
  #unexplainedSince: Instant | undefined;

  constructor(private readonly random: () => number) {}

  /** Returns the last failure; undefined after a success. */
  get lastError(): TokenUnavailableError | undefined {
    return this.#backoff?.error;
  }

  /** Returns whether a caller that waits this long may get a token. */
  isWorthWaiting(now: Instant, maxWaitMs: number): boolean {
    return !this.#backoff || (isRetryable(this.#backoff.kind) && this.dueInMs(now) <= maxWaitMs);
  }

  /** Returns the time until an attempt may be made, in milliseconds. */
  dueInMs(now: Instant): number {
    return this.#backoff ? Math.max(this.#backoff.delayMs - elapsedMs(this.#backoff.since, now), 0) : 0;
  }

  /** Notes that an attempt failed, and backs off. */
  failed(failure: TokenFailure, now: Instant, retryRoomMs: number, context: FailureContext): BackoffDecision {
    if (failure.refusal) return this.#refused(failure, failure.refusal, now, context);
    this.#failingSince ??= now;
    const kind = this.#explain(failure.kind, now);
    const curve = curveOf(kind);
    const priorFailures = this.#failures.get(curve) ?? 0;
    this.#failures.set(curve, priorFailures + 1);
    const delayMs = retryDelayMs({
      curve,
      priorFailures,
      failingForMs: elapsedMs(this.#failingSince, now),
      retryRoomMs,
      retryAfterMs: failure.retryAfterMs,
      random: this.random,
    });
    const explained = { ...failure, kind };
    const error = tokenFailureError(explained, context, dateAfter(now, delayMs));
    this.#backoff = { error, kind, since: now, delayMs };
    return { error, problem: failureText(explained, context), delayMs, isNew: true };
  }

  /** Backs off as the quarantine decides. The source of a refused credential is read again at intervals. */
  #refused(failure: TokenFailure, refusal: CredentialRefusal, now: Instant, context: FailureContext): BackoffDecision {
    const { kind } = failure;
    const { delayMs, halted, isWithheld } = refusal;
    const known = this.#backoff;
    const isKnown = isWithheld && kind === 'credential' && known?.kind === 'credential';
    // The source still returns the refused credential.
    const error = isKnown ? known.error : tokenFailureError(failure, context, dateAfter(now, delayMs), halted);
    this.#unexplainedSince = undefined;
    const recheckMs = kind === 'credential' ? CREDENTIAL_RECHECK_MS : Infinity;
    this.#backoff = { error, kind, since: now, delayMs: Math.min(delayMs, recheckMs) };
    return { error, problem: failureText(failure, context, halted), delayMs, isNew: !isKnown };
  }

  /** Notes that an attempt succeeded. */
  reset(): void {
    this.#backoff = undefined;
    this.#forget();
  }

  /** Allows the next attempt now, and resets every curve. */
  retryNow(): void {
    if (this.#backoff) this.#backoff = { ...this.#backoff, delayMs: 0 };
    this.#forget();
  }

  #forget(): void {
    this.#failures.clear();
    this.#failingSince = undefined;
    this.#unexplainedSince = undefined;
  }

  #explain(kind: TokenFailureKind, now: Instant): TokenFailureKind {
    if (kind !== 'unexplained') {
      this.#unexplainedSince = undefined;
      return kind;
    }
    this.#unexplainedSince ??= now;
    const curve = unexplainedCurve(elapsedMs(this.#unexplainedSince, now));
    return curve === 'transient' ? kind : curve;
  }
}

function curveOf(kind: TokenFailureKind): RetryCurve {
  switch (kind) {
    case 'malformed':
    case 'certificate':
    case 'configuration':
      return kind;
    // Retried rarely, because a proxy may lock an account as well.
    case 'proxy':
      return 'configuration';
    default:
      return 'transient';
  }
}

/** Returns when a delay from now ends; undefined for an infinite delay. */
export function dateAfter(now: Instant, delayMs: number): Date | undefined {
  return Number.isFinite(delayMs) ? new Date(now.wallMs + delayMs) : undefined;
}

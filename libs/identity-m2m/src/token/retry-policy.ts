import { doublingDelayMs, elapsedMs, type Instant } from '../foundation/clock.js';
import { type FailureContext, tokenFailureError, type TokenUnavailableError } from './token-errors.js';
import { type CredentialRefusal, isRetryable, type TokenFailure, type TokenFailureKind } from './token-result.js';

/** The curves on which token requests back off. Each counts its own failures. */
export type RetryCurve = 'transient' | 'malformed' | 'certificate' | 'configuration';

/** How long statuses without an OAuth error count as transient, in milliseconds. */
const UNEXPLAINED_IS_TRANSIENT_MS = 120_000;

/**
 * What a status without an OAuth error is taken for.
 *
 * @param lastedMs How long the server has answered so, with no other answer in between, in milliseconds.
 */
export function unexplainedCurve(lastedMs: number): 'transient' | 'configuration' {
  return lastedMs < UNEXPLAINED_IS_TRANSIENT_MS ? 'transient' : 'configuration';
}

export interface RetryInput {
  readonly curve: RetryCurve;
  /** Failures on this curve since the last success, this one aside. */
  readonly priorFailures: number;
  /** Time since the first failure after the last success, on whatever curve, in milliseconds. */
  readonly failingForMs: number;
  /** Time that the current token leaves for retries ({@link retryRoomMs}), in milliseconds. */
  readonly retryRoomMs: number;
  /** What the server asked for with `Retry-After`, in milliseconds. */
  readonly retryAfterMs?: number | undefined;
  readonly random: () => number;
}

/** Longest `Retry-After` that is obeyed, in milliseconds. */
const MAX_RETRY_AFTER_MS = 3600_000;

/** Outages of up to this length end without further delay … */
const SHORT_OUTAGE_MS = 10_000;

/** … than this, in milliseconds. */
const SHORT_OUTAGE_DELAY_MS = 5000;

/**
 * How long to leave the token endpoint alone after a failure, in milliseconds.
 *
 * One schedule serves timers and callers alike, so that the load on an ailing server does not depend on traffic.
 * Delays double up to a cap, and are no longer than the outage itself has been: a short one ends within 5 s of the
 * server's recovery. They are drawn from their upper half, so that processes fall out of step without ever retrying at
 * once; a wrong request is only ever retried later than planned, never sooner.
 */
export function retryDelayMs(input: RetryInput): number {
  const { random, retryAfterMs } = input;
  const delay =
    input.curve === 'configuration'
      ? doublingDelayMs(60_000, 900_000, input.priorFailures) * (1 + 0.2 * random())
      : equalJitter(outageDelayMs(input), random);
  return Math.max(delay, boundedRetryAfterMs(retryAfterMs, random));
}

/** How long `Retry-After` is obeyed, in milliseconds. */
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

/** The source of a refused credential is read this often, in milliseconds: compared with the refused one, not sent. */
const CREDENTIAL_RECHECK_MS = 5000;

interface Backoff {
  readonly error: TokenUnavailableError;
  readonly kind: TokenFailureKind;
  readonly since: Instant;
  readonly delayMs: number;
}

/** What follows from a failed attempt. */
export interface BackoffDecision {
  /** What callers see. */
  readonly error: TokenUnavailableError;
  /** Time to the next attempt, in milliseconds; infinite for none. */
  readonly delayMs: number;
  /** Whether the failure is another one than before. */
  readonly isNew: boolean;
}

/** Decides when the next attempt may be made after a failure: the same time for timers and callers. */
export class RetryBackoff {
  #backoff: Backoff | undefined;
  /** Failures since the last success, by curve. Refusals of the client are counted by the quarantine. */
  readonly #failures = new Map<RetryCurve, number>();
  /** The first failure since the last success. */
  #failingSince: Instant | undefined;
  /** The first of the statuses without an OAuth error that the server answers now, one after the other. */
  #unexplainedSince: Instant | undefined;

  constructor(private readonly random: () => number) {}

  /** Returns the last failure, while no success has followed. */
  get lastError(): TokenUnavailableError | undefined {
    return this.#backoff?.error;
  }

  /** Whether a caller who can wait this long may get a token by waiting. */
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
    const error = tokenFailureError({ ...failure, kind }, context, dateAfter(now, delayMs));
    this.#backoff = { error, kind, since: now, delayMs };
    return { error, delayMs, isNew: true };
  }

  /** The quarantine decides how long. Once a credential was refused, its source is read anew now and then. */
  #refused(failure: TokenFailure, refusal: CredentialRefusal, now: Instant, context: FailureContext): BackoffDecision {
    const { kind } = failure;
    const { delayMs, halted, isWithheld } = refusal;
    const known = this.#backoff;
    const isKnown = isWithheld && kind === 'credential' && known?.kind === 'credential';
    // Nothing has changed: the source still returns the credential that was refused.
    const error = isKnown ? known.error : tokenFailureError(failure, context, dateAfter(now, delayMs), halted);
    this.#unexplainedSince = undefined;
    const recheckMs = kind === 'credential' ? CREDENTIAL_RECHECK_MS : Infinity;
    this.#backoff = { error, kind, since: now, delayMs: Math.min(delayMs, recheckMs) };
    return { error, delayMs, isNew: !isKnown };
  }

  /** Notes that an attempt succeeded. */
  reset(): void {
    this.#backoff = undefined;
    this.#forget();
  }

  /** Allows the next attempt now, and starts every curve anew. */
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
    // The account that a proxy asks for can be locked as well.
    case 'proxy':
      return 'configuration';
    default:
      return 'transient';
  }
}

/** When a delay from now ends; undefined for never. */
export function dateAfter(now: Instant, delayMs: number): Date | undefined {
  return Number.isFinite(delayMs) ? new Date(now.wallMs + delayMs) : undefined;
}

import { elapsedMs, type Instant } from '../foundation/clock.js';
import {
  isMendedByWaiting,
  type RetryCurve,
  retryDelayMs,
  type TokenFailureKind,
  unexplainedCurve,
} from './retry-schedule.js';
import type { TokenUnavailableError } from './token-errors.js';
import type { TokenFailure } from './token-response.js';

/** A refused credential is looked at anew this often, in milliseconds: not shown, only compared with the refused one. */
const CREDENTIAL_RECHECK_MS = 5000;

interface ClosedGate {
  readonly error: TokenUnavailableError;
  readonly kind: TokenFailureKind;
  readonly since: Instant;
  readonly delayMs: number;
}

/** What a failure is taken for, and how long it keeps attempts off. */
export interface RetryDecision {
  readonly kind: TokenFailureKind;
  readonly delayMs: number;
}

/**
 * Decides when the next attempt may be made. Open until an attempt fails; then closed for as long as
 * `retry-schedule.ts` says, to timers and callers alike.
 */
export class RetryGate {
  #closed: ClosedGate | undefined;
  /** Failures since the last success, by curve. Refusals of the client are counted by the quarantine. */
  readonly #failures = new Map<RetryCurve, number>();
  /** The first failure since the last success. */
  #failingSince: Instant | undefined;
  /** The first of the statuses without an OAuth error that the server answers now, one after the other. */
  #unexplainedSince: Instant | undefined;

  constructor(private readonly random: () => number) {}

  /** The last failure, while no success has followed. */
  get lastError(): TokenUnavailableError | undefined {
    return this.#closed?.error;
  }

  /** Whether the credential is what was refused. */
  get isCredentialRefused(): boolean {
    return this.#closed?.kind === 'credential';
  }

  /** Whether a caller who can wait this long may get a token by waiting. */
  isWorthWaiting(now: Instant, patienceMs: number): boolean {
    return !this.#closed || (isMendedByWaiting(this.#closed.kind) && this.dueInMs(now) <= patienceMs);
  }

  /** Time until an attempt may be made, in milliseconds. */
  dueInMs(now: Instant): number {
    return this.#closed ? Math.max(this.#closed.delayMs - elapsedMs(this.#closed.since, now), 0) : 0;
  }

  /** Counts a failure, and decides how long to keep off. For refusals of the client the quarantine does. */
  decide(failure: TokenFailure, now: Instant, retryRoomMs: number): RetryDecision {
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
    return { kind, delayMs };
  }

  close(error: TokenUnavailableError, now: Instant, { kind, delayMs }: RetryDecision): void {
    this.#closed = { error, kind, since: now, delayMs };
  }

  /** After a refusal of the client. Once the credential is what was refused, it is looked at anew now and then. */
  closeForRefusal(error: TokenUnavailableError, now: Instant, { kind, delayMs }: RetryDecision): void {
    this.#unexplainedSince = undefined;
    const recheckMs = kind === 'credential' ? CREDENTIAL_RECHECK_MS : Infinity;
    this.close(error, now, { kind, delayMs: Math.min(delayMs, recheckMs) });
  }

  open(): void {
    this.#closed = undefined;
    this.#forget();
  }

  /** Lets the next attempt be made now, and begins every curve anew. */
  retryNow(): void {
    if (this.#closed) this.#closed = { ...this.#closed, delayMs: 0 };
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

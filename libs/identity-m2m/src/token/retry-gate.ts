import { elapsedMs, type Instant } from '../foundation/clock.js';
import { retryDelayMs } from './retry-schedule.js';
import type { TokenUnavailableError } from './token-errors.js';
import type { TokenFailure } from './token-response.js';

/** A refused credential is looked at anew this often, in milliseconds: not shown, only compared with the refused one. */
const CREDENTIAL_RECHECK_MS = 5000;

interface ClosedGate {
  readonly error: TokenUnavailableError;
  readonly since: Instant;
  readonly delayMs: number;
  readonly isCredentialRefused: boolean;
}

/**
 * Decides when the next attempt may be made. Open until an attempt fails; then closed for as long as
 * `retry-schedule.ts` says, to timers and callers alike.
 */
export class RetryGate {
  #closed: ClosedGate | undefined;
  /** Failures in a row, refused credentials aside: their number is the quarantine's. */
  #failures = 0;

  constructor(private readonly random: () => number) {}

  /** The last failure, while no success has followed. */
  get lastError(): TokenUnavailableError | undefined {
    return this.#closed?.error;
  }

  /** Whether waiting does not help, because somebody has to mend the credential first. */
  get isCredentialRefused(): boolean {
    return this.#closed?.isCredentialRefused ?? false;
  }

  /** Time until an attempt may be made, in milliseconds. */
  dueInMs(now: Instant): number {
    return this.#closed ? Math.max(this.#closed.delayMs - elapsedMs(this.#closed.since, now), 0) : 0;
  }

  /** How long to keep off after this failure, in milliseconds. Counts the failure. */
  nextDelayMs(
    failure: TokenFailure & { kind: Exclude<TokenFailure['kind'], 'credential'> },
    retryRoomMs: number,
  ): number {
    return retryDelayMs({
      kind: failure.kind,
      priorFailures: this.#failures++,
      retryRoomMs,
      retryAfterMs: failure.retryAfterMs,
      random: this.random,
    });
  }

  close(error: TokenUnavailableError, now: Instant, delayMs: number): void {
    this.#closed = { error, since: now, delayMs, isCredentialRefused: false };
  }

  /** After a refused credential: callers fail at once, and the credential is looked at anew now and then. */
  closeForCredential(error: TokenUnavailableError, now: Instant, quarantineMs: number): void {
    const delayMs = Math.min(quarantineMs, CREDENTIAL_RECHECK_MS);
    this.#closed = { error, since: now, delayMs, isCredentialRefused: true };
  }

  open(): void {
    this.#closed = undefined;
    this.#failures = 0;
  }

  /** Lets the next attempt be made now, where it was the credential that was refused. */
  credentialMended(): void {
    if (this.#closed?.isCredentialRefused) this.#closed = { ...this.#closed, delayMs: 0 };
  }
}

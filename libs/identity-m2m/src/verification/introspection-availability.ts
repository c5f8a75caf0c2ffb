import { randomBytes } from 'node:crypto';
import { DiscoveryError } from '../foundation/authorization-server-discovery.js';
import { type Clock, elapsedMs, type Instant, doublingDelayMs } from '../foundation/clock.js';
import { printableText } from '../foundation/text.js';
import { untilAborted, withTimeout } from '../foundation/promises.js';
import {
  type IntrospectionEndpoint,
  IntrospectionError,
  IntrospectionRejectedError,
} from './introspection-endpoint.js';
import type { VerificationEvent } from './verification-events.js';

export interface IntrospectionAvailabilityOptions {
  readonly issuer: string;
  readonly endpoint: IntrospectionEndpoint;
  readonly clock: Clock;
  readonly emit: (event: VerificationEvent) => void;
}

/** How an issuer responds to a request about a token that does not exist. */
export type ProbeOutcome = 'answered' | 'rejected' | 'failed';

/** A request that the issuer did not answer. */
export interface UnansweredRequest {
  /** The kind of the token, for events. */
  readonly tokens: 'opaque' | 'signed';
  /** Whether it was sent although the issuer is down. */
  readonly isLead: boolean;
}

/** Timeout of one request, in milliseconds. */
export const INTROSPECTION_TIMEOUT_MS = 5000;
/** Consecutive failures after which the issuer is probed. */
const FAILURES_BEFORE_PROBE = 3;
/** Shortest time between two probes, in milliseconds. */
export const PROBE_INTERVAL_MS = 5000;
/** Shortest time until a request is overdue: in milliseconds, and as a multiple of the usual response time. */
const SHORTEST_PATIENCE_MS = 1000;
const PATIENCE_IN_ANSWERS = 4;
/** How long a response shows that the issuer is up: the interval of probes, and the time that a probe takes. */
const ANSWERS_COUNT_FOR_MS = 6000;
const FIRST_PAUSE_MS = 1000;
const LONGEST_PAUSE_MS = 30_000;

/**
 * Whether an issuer's introspection is available.
 *
 * Any caller can make up a token that an issuer, or a proxy before it, fails for: with 500, 429 or no response. So one
 * failure does not show that other tokens fail. A probe, which is a request about a token that does not exist, tells
 * the two cases apart. If the issuer answers the probe, only the failing tokens stay undecided. If the probe fails too,
 * the issuer is down: requests pause, and each pause is twice as long as the last one. After a pause, one request is
 * sent ahead of the others.
 *
 * Shared by all requests to one issuer, so that there is one probe for all of them.
 */
export class IntrospectionAvailability {
  /** Last valid response; undefined: none yet, so the address may be wrong. */
  #answeredAt: Instant | undefined;
  /** Moving average of the response time, in milliseconds. */
  #usualMs = 0;
  /** Number of consecutive failures. */
  #failures = 0;
  #probedAt: Instant | undefined;
  #probe: Promise<void> | undefined;
  /** Outcome of the last probe, or of a request since. */
  #last: ProbeOutcome = 'answered';
  #pauses = 0;
  /** Undefined while the issuer is up. */
  #pausedAt: Instant | undefined;
  #pauseMs = 0;
  /** Whether a request is under way that was sent although the issuer is down. */
  #hasLead = false;
  #abort: AbortController | undefined;
  #isClosed = false;

  constructor(private readonly options: IntrospectionAvailabilityOptions) {}

  /**
   * Checks whether a request may be sent.
   *
   * @returns The wait, in milliseconds, or whether the request leads; a leading request must end in {@link answered} or
   * {@link unanswered}.
   */
  enter(now: Instant): { readonly waitMs: number } | { readonly isLead: boolean } {
    const waitMs = this.waitMs(now);
    if (waitMs > 0) return { waitMs };
    return { isLead: (this.#hasLead = this.#last === 'failed') };
  }

  /** Returns how long no further request may be sent, in milliseconds. */
  waitMs(now: Instant): number {
    const leftMs = this.#pausedAt ? this.#pauseMs - elapsedMs(this.#pausedAt, now) : 0;
    return leftMs <= 0 && this.#hasLead ? FIRST_PAUSE_MS : Math.max(leftMs, 0);
  }

  /** Records that the issuer answered a request that was sent at that time. */
  answered(askedAt: Instant): void {
    const now = this.options.clock.now();
    const tookMs = elapsedMs(askedAt, now);
    this.#usualMs = this.#answeredAt ? (3 * this.#usualMs + tookMs) / 4 : tookMs;
    this.#answeredAt = now;
    this.#up('answered');
  }

  /** Whether a request takes much longer than others, which the issuer answers. */
  isOverdue(askedAt: Instant, now: Instant): boolean {
    const patienceMs = Math.max(SHORTEST_PATIENCE_MS, PATIENCE_IN_ANSWERS * this.#usualMs);
    if (!this.#answeredAt || elapsedMs(this.#answeredAt, now) > ANSWERS_COUNT_FOR_MS) return false;
    return elapsedMs(askedAt, now) >= patienceMs;
  }

  /**
   * Records that the issuer did not answer a request, and probes it if that is due.
   *
   * @param signal Ends the wait for a probe, not the probe.
   * @returns How the issuer responds to other requests, as far as is known.
   */
  async unanswered(error: unknown, { tokens, isLead }: UnansweredRequest, signal: AbortSignal): Promise<ProbeOutcome> {
    const { issuer } = this.options;
    if (isLead) this.#hasLead = false;
    if (error instanceof IntrospectionRejectedError) {
      // An issuer that rejects a request is up again.
      if (this.#last === 'failed') this.#up('rejected');
      await this.#probeIfDue(signal);
      const hasAnswered = this.#answeredAt !== undefined;
      this.#emit({ type: 'introspection.rejected', issuer, tokens, hasAnswered, problem: problemIn(error) });
      return this.#last;
    }
    this.#failures++;
    this.#emit({ type: 'introspection.failed', issuer, tokens, failures: this.#failures, problem: problemIn(error) });
    if (!isLead && this.#failures < FAILURES_BEFORE_PROBE && wantedPauseMs(error) === 0) return 'answered';
    await this.#probeIfDue(signal);
    // The leading request shows that the issuer is still down. Its Retry-After may be about its token alone.
    if (isLead && this.waitMs(this.options.clock.now()) === 0 && this.#last === 'failed') this.#pause(error, 0);
    return this.#last;
  }

  close(): void {
    this.#isClosed = true;
    this.#abort?.abort(new IntrospectionError('the verifier was closed'));
  }

  /** Waits for the probe under way, or for a new one; for none if the last one is too recent. */
  async #probeIfDue(signal: AbortSignal): Promise<void> {
    const now = this.options.clock.now();
    const isDue = !this.#probedAt || elapsedMs(this.#probedAt, now) >= PROBE_INTERVAL_MS;
    if (isDue && !this.#probe && !this.#isClosed) {
      this.#probedAt = now;
      this.#probe = this.#askProbe().finally(() => (this.#probe = undefined));
    }
    if (this.#probe) await untilAborted(this.#probe, signal).catch(() => undefined);
  }

  /** Asks about a token that does not exist but looks like any other. */
  async #askProbe(): Promise<void> {
    const { clock, endpoint } = this.options;
    const askedAt = clock.now();
    const token = randomBytes(24).toString('base64url');
    const ask = (signal: AbortSignal) => endpoint.ask(token, signal);
    this.#abort = new AbortController();
    try {
      await withTimeout(clock, INTROSPECTION_TIMEOUT_MS, introspectionTimedOut, ask, this.#abort);
      this.answered(askedAt);
    } catch (error) {
      if (error instanceof IntrospectionRejectedError) this.#up('rejected');
      else this.#pause(error, wantedPauseMs(error));
    } finally {
      this.#abort = undefined;
    }
  }

  #up(outcome: 'answered' | 'rejected'): void {
    const wasDown = this.#last === 'failed';
    this.#last = outcome;
    this.#failures = this.#pauses = 0;
    this.#hasLead = false;
    this.#pausedAt = undefined;
    if (wasDown) this.#emit({ type: 'introspection.recovered', issuer: this.options.issuer });
  }

  #pause(error: unknown, wantedMs: number): void {
    const { clock, issuer } = this.options;
    const ownMs = doublingDelayMs(FIRST_PAUSE_MS, LONGEST_PAUSE_MS, this.#pauses);
    this.#last = 'failed';
    this.#pauses++;
    this.#pauseMs = Math.max(wantedMs, ownMs);
    this.#pausedAt = clock.now();
    const pause = { pauses: this.#pauses, pauseMs: this.#pauseMs, problem: problemIn(error) };
    this.#emit({ type: 'introspection.paused', issuer, ...pause });
  }

  #emit(event: VerificationEvent): void {
    if (!this.#isClosed) this.options.emit(event);
  }
}

/**
 * Returns the delay that an issuer asks for (`Retry-After`, RFC 9110 §10.2.3), at most the longest pause; 0 without
 * one.
 */
export function wantedPauseMs(error: unknown): number {
  const isOfIssuer = error instanceof IntrospectionError || error instanceof DiscoveryError;
  const wantedMs = isOfIssuer ? error.retryAfterMs : undefined;
  return Math.min(wantedMs ?? 0, LONGEST_PAUSE_MS);
}

export function introspectionTimedOut(): IntrospectionError {
  return new IntrospectionError(`no response within ${INTROSPECTION_TIMEOUT_MS} ms`);
}

function problemIn(error: unknown): string {
  return printableText(error instanceof Error ? error.message : 'unknown');
}

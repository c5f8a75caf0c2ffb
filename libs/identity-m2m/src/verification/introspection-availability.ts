import { randomBytes } from 'node:crypto';
import { type Clock, elapsedMs, type Instant, doublingDelayMs } from '../foundation/clock.js';
import { printableText } from '../foundation/text.js';
import { untilAborted } from '../foundation/promises.js';
import { type IntrospectionEndpoint, IntrospectionError, QuestionRejectedError } from './introspection-endpoint.js';
import type { VerificationEvent } from './verification-events.js';

export interface IntrospectionAvailabilityOptions {
  readonly issuer: string;
  readonly endpoint: IntrospectionEndpoint;
  readonly clock: Clock;
  readonly tell: (event: VerificationEvent) => void;
}

/** What an issuer does with a question about a token that does not exist. */
export type ProbeOutcome = 'answered' | 'rejected' | 'failed';

/** A question that was sent. */
export interface Question {
  /** What kind of token it was about, for events. */
  readonly tokens: 'opaque' | 'signed';
  /** Whether it was sent although the issuer is down. */
  readonly isLead: boolean;
}

/** How long one request may take, in milliseconds. */
export const INTROSPECTION_TIMEOUT_MS = 5000;
/** Failures in a row after which the issuer is probed. */
const FAILURES_BEFORE_PROBE = 3;
/** Shortest time between two probes. */
export const PROBE_INTERVAL_MS = 5000;
/** How long a question waits at the least before it is overdue, in milliseconds, and in usual answers. */
const SHORTEST_PATIENCE_MS = 1000;
const PATIENCE_IN_ANSWERS = 4;
/** How long an answer shows that the issuer answers others: from one probe to the next, and the time that one takes. */
const ANSWERS_COUNT_FOR_MS = 6000;
const FIRST_PAUSE_MS = 1000;
const LONGEST_PAUSE_MS = 30_000;

/**
 * Whether an issuer can be asked about tokens at present.
 *
 * Anybody can make up a token that an issuer, or what stands in front of it, fails for: with 500, 429 or no answer at all.
 * So a failure alone says nothing about other tokens. A question about a token that does not exist tells the two apart:
 * where the issuer answers that probe, only the odd tokens stay undecided. Where it fails the probe too, it is down, and is
 * left alone for a pause that doubles; after each pause one question leads the others.
 *
 * Shared by all questions to one issuer, so that there is one probe for all of them.
 */
export class IntrospectionAvailability {
  /** Until it has answered a question, its address may be wrong. */
  #answeredAt: Instant | undefined;
  /** How long an answer takes of late, in milliseconds. */
  #usualMs = 0;
  /** In a row. */
  #failures = 0;
  #probedAt: Instant | undefined;
  #probe: Promise<void> | undefined;
  /** What came of the last probe, or of a question since. */
  #last: ProbeOutcome = 'answered';
  #pauses = 0;
  #pausedAt: Instant | undefined;
  #pauseMs = 0;
  /** Whether a question is under way that was asked although the issuer is down. */
  #hasLead = false;
  #abort: AbortController | undefined;
  #isClosed = false;

  constructor(private readonly options: IntrospectionAvailabilityOptions) {}

  /**
   * Asks for leave to send a question.
   *
   * @returns How long to wait, in milliseconds, or whether the question leads; whoever leads has to call {@link answered}
   * or {@link unanswered}.
   */
  enter(now: Instant): { readonly waitMs: number } | { readonly isLead: boolean } {
    const waitMs = this.waitMs(now);
    if (waitMs > 0) return { waitMs };
    return { isLead: (this.#hasLead = this.#last === 'failed') };
  }

  /** How long no further question may be sent, in milliseconds. */
  waitMs(now: Instant): number {
    if (this.#last !== 'failed') return 0;
    const leftMs = this.#pausedAt ? this.#pauseMs - elapsedMs(this.#pausedAt, now) : 0;
    return leftMs <= 0 && this.#hasLead ? FIRST_PAUSE_MS : Math.max(leftMs, 0);
  }

  /** The issuer has answered a question that was asked at that moment. */
  answered(askedAt: Instant): void {
    const now = this.options.clock.now();
    const tookMs = elapsedMs(askedAt, now);
    this.#usualMs = this.#answeredAt ? (3 * this.#usualMs + tookMs) / 4 : tookMs;
    this.#answeredAt = now;
    this.#up('answered');
  }

  /** Whether a question waits for much longer than others, which are answered. */
  isOverdue(askedAt: Instant, now: Instant): boolean {
    const patienceMs = Math.max(SHORTEST_PATIENCE_MS, PATIENCE_IN_ANSWERS * this.#usualMs);
    if (!this.#answeredAt || elapsedMs(this.#answeredAt, now) > ANSWERS_COUNT_FOR_MS) return false;
    return elapsedMs(askedAt, now) >= patienceMs;
  }

  /**
   * The issuer has not answered a question.
   *
   * @param signal Ends the waiting for a probe, not the probe.
   * @returns What it does with other questions, as far as is known.
   */
  async unanswered(error: unknown, { tokens, isLead }: Question, signal: AbortSignal): Promise<ProbeOutcome> {
    const { issuer } = this.options;
    if (isLead) this.#hasLead = false;
    if (error instanceof QuestionRejectedError) {
      // An issuer that rejects a question can be reached again.
      if (this.#last === 'failed') this.#up('rejected');
      await this.#probeIfDue(signal);
      const hasAnswered = this.#answeredAt !== undefined;
      this.#tell({ type: 'introspection.rejected', issuer, tokens, hasAnswered, problem: problemIn(error) });
      return this.#last;
    }
    this.#failures++;
    this.#tell({ type: 'introspection.failed', issuer, tokens, failures: this.#failures, problem: problemIn(error) });
    if (!isLead && this.#failures < FAILURES_BEFORE_PROBE && wantedPauseMs(error) === 0) return 'answered';
    await this.#probeIfDue(signal);
    // The one that led has shown that it is still down. How long it wants to be left alone may be a matter of its token.
    if (isLead && this.waitMs(this.options.clock.now()) === 0 && this.#last === 'failed') this.#pause(error, 0);
    return this.#last;
  }

  close(): void {
    this.#isClosed = true;
    this.#abort?.abort(new IntrospectionError('the verifier was closed'));
  }

  /** Waits for the probe that is under way, or for a new one; for none where the last one is too recent. */
  async #probeIfDue(signal: AbortSignal): Promise<void> {
    const now = this.options.clock.now();
    const isDue = !this.#probedAt || elapsedMs(this.#probedAt, now) >= PROBE_INTERVAL_MS;
    if (isDue && !this.#probe && !this.#isClosed) {
      this.#probedAt = now;
      this.#probe = this.#askProbe().finally(() => (this.#probe = undefined));
    }
    if (this.#probe) await untilAborted(this.#probe, signal).catch(() => undefined);
  }

  /** Asks about a token that does not exist, and that has nothing odd about it. */
  async #askProbe(): Promise<void> {
    const { clock, endpoint } = this.options;
    const askedAt = clock.now();
    const abort = (this.#abort = new AbortController());
    const cancelTimeout = clock.setTimer(INTROSPECTION_TIMEOUT_MS, () =>
      abort.abort(new IntrospectionError(`no answer within ${INTROSPECTION_TIMEOUT_MS} ms`)),
    );
    try {
      await untilAborted(endpoint.ask(randomBytes(24).toString('base64url'), abort.signal), abort.signal);
      this.answered(askedAt);
    } catch (error) {
      if (error instanceof QuestionRejectedError) this.#up('rejected');
      else this.#pause(error, wantedPauseMs(error));
    } finally {
      cancelTimeout();
      this.#abort = undefined;
    }
  }

  #up(outcome: 'answered' | 'rejected'): void {
    const wasDown = this.#last === 'failed';
    this.#last = outcome;
    this.#failures = this.#pauses = 0;
    this.#hasLead = false;
    this.#pausedAt = undefined;
    if (wasDown) this.#tell({ type: 'introspection.recovered', issuer: this.options.issuer });
  }

  #pause(error: unknown, wantedMs: number): void {
    const { clock, issuer } = this.options;
    const ownMs = doublingDelayMs(FIRST_PAUSE_MS, LONGEST_PAUSE_MS, this.#pauses);
    this.#last = 'failed';
    this.#pauses++;
    this.#pauseMs = Math.max(wantedMs, ownMs);
    this.#pausedAt = clock.now();
    const told = { pauses: this.#pauses, pauseMs: this.#pauseMs, problem: problemIn(error) };
    this.#tell({ type: 'introspection.paused', issuer, ...told });
  }

  #tell(event: VerificationEvent): void {
    if (!this.#isClosed) this.options.tell(event);
  }
}

/** How long an issuer wants to be left alone (RFC 9110 §10.2.3), as far as that is heeded; 0 where it does not say. */
export function wantedPauseMs(error: unknown): number {
  const seconds = error instanceof IntrospectionError ? (error.retryAfterSeconds ?? 0) : 0;
  return Math.min(seconds * 1000, LONGEST_PAUSE_MS);
}

function problemIn(error: unknown): string {
  return printableText(error instanceof Error ? error.message : 'unknown');
}

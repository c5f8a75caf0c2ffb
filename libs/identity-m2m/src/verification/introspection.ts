import { createHash, randomBytes } from 'node:crypto';
import { BoundedMap } from '../foundation/bounded-map.js';
import { type Clock, elapsedMs, type Instant } from '../foundation/clock.js';
import { doublingDelayMs } from '../foundation/doubling-delay.js';
import { printableText } from '../foundation/printable-text.js';
import { untilAborted } from '../foundation/until-aborted.js';
import type { IntrospectionAnswer } from './introspection-answer.js';
import { type IntrospectionEndpoint, IntrospectionError, QuestionRejectedError } from './introspection-endpoint.js';
import { deepFreeze } from './verified-token.js';
import type { VerificationEvent } from './verification-events.js';

/** What is known of a token after asking, or that its issuer could not be asked. */
export type IntrospectionResult =
  IntrospectionAnswer | { readonly active: 'unknown'; readonly retryAfterSeconds: number };

export interface IntrospectionOptions {
  readonly issuer: string;
  /** What kind of tokens it is asked about here, for events. */
  readonly tokens: 'opaque' | 'signed';
  readonly endpoint: IntrospectionEndpoint;
  readonly clock: Clock;
  readonly tell: (event: VerificationEvent) => void;
}

interface HeldAnswer {
  readonly answer: IntrospectionResult;
  readonly answeredAt: Instant;
  readonly holdsMs: number;
}

/** How long an answer is used again, in milliseconds. A token that is not active yet may be a moment later. */
const ACTIVE_HOLDS_MS = 60_000;
const INACTIVE_HOLDS_MS = 10_000;
const HELD_ANSWERS = { maxEntries: 10_000, maxBytes: 33_554_432 };
/** How long one question may take. */
const TIMEOUT_MS = 5000;
/** Most questions that are open at once: anybody can make up tokens, and each would be one. */
const MAX_OPEN_QUESTIONS = 100;
/** Failures in a row after which the issuer is left in peace for a while, and for how long. */
export const FAILURES_BEFORE_PAUSE = 3;
const FIRST_PAUSE_MS = 1000;
const LONGEST_PAUSE_MS = 30_000;

/**
 * What an issuer says about its tokens of one kind, remembered for a short while.
 *
 * All who ask about a token at once share one question. An issuer that fails is not asked for some time, and meanwhile
 * nothing is decided: an answer is never used for longer because there is no newer one.
 */
export class Introspection {
  readonly #held = new BoundedMap<HeldAnswer>(HELD_ANSWERS);
  readonly #open = new Map<string, Promise<IntrospectionResult>>();
  /** Whether the issuer has ever answered: then it can be asked, and what it rejects is a fault of the token. */
  #hasAnswered = false;
  /** In a row. */
  #failures = 0;
  #pausedAt: Instant | undefined;
  #pauseMs = 0;
  readonly #aborts = new Set<AbortController>();
  #isClosed = false;

  constructor(private readonly options: IntrospectionOptions) {}

  ask(token: string): IntrospectionResult | Promise<IntrospectionResult> {
    // By its hash, so that tokens that can't be read from their own text are not kept.
    const key = createHash('sha256').update(token).digest('base64');
    if (this.#isClosed) return unknown(1000);
    const now = this.options.clock.now();
    const held = this.#held.get(key);
    if (held && elapsedMs(held.answeredAt, now) < held.holdsMs) return held.answer;
    const open = this.#open.get(key);
    if (open) return open;
    const pauseLeftMs = this.#pausedAt ? this.#pauseMs - elapsedMs(this.#pausedAt, now) : 0;
    if (pauseLeftMs > 0) return unknown(pauseLeftMs);
    // After a pause one question goes ahead of the others.
    const limit = this.#failures >= FAILURES_BEFORE_PAUSE ? 1 : MAX_OPEN_QUESTIONS;
    if (this.#open.size >= limit) return unknown(1000);
    const question = this.#ask(key, token, now).finally(() => this.#open.delete(key));
    this.#open.set(key, question);
    return question;
  }

  close(): void {
    this.#isClosed = true;
    this.#held.clear();
    for (const abort of this.#aborts) abort.abort(new IntrospectionError('the verifier was closed'));
  }

  async #ask(key: string, token: string, now: Instant): Promise<IntrospectionResult> {
    const { clock, endpoint } = this.options;
    const abort = new AbortController();
    this.#aborts.add(abort);
    const cancelTimeout = clock.setTimer(TIMEOUT_MS, () =>
      abort.abort(new IntrospectionError(`no answer within ${TIMEOUT_MS} ms`)),
    );
    try {
      const answer = deepFreeze(await untilAborted(endpoint.ask(token, abort.signal), abort.signal));
      this.#hasAnswered = true;
      this.#failures = 0;
      this.#pausedAt = undefined;
      this.#hold(key, answer, now);
      return answer;
    } catch (error) {
      if (!(error instanceof QuestionRejectedError)) return this.#failed(error);
      return await this.#rejected(key, error, now, abort.signal);
    } finally {
      cancelTimeout();
      this.#aborts.delete(abort);
    }
  }

  /** @param answeredAt When it was asked: an answer is no younger than its question. */
  #hold(key: string, answer: IntrospectionResult, answeredAt: Instant): void {
    if (this.#isClosed) return;
    const isActive = answer.active === true;
    const leftMs = isActive && typeof answer.claims.exp === 'number' ? answer.claims.exp * 1000 - answeredAt.wallMs : 0;
    const holdsMs = isActive ? Math.min(ACTIVE_HOLDS_MS, Math.max(leftMs, 0)) : INACTIVE_HOLDS_MS;
    const bytes = 512 + (isActive ? JSON.stringify(answer.claims).length * 3 : 0);
    this.#held.set(key, { answer, answeredAt, holdsMs }, bytes);
  }

  /**
   * Neither counts as a failure nor as an answer: strangers can cause any number of them. With an issuer that answers about
   * no token at all it may as well be that it is not asked in the right way, so nothing is decided by it.
   */
  async #rejected(
    key: string,
    { message }: QuestionRejectedError,
    askedAt: Instant,
    signal: AbortSignal,
  ): Promise<IntrospectionResult> {
    if (!this.#hasAnswered && (await this.#answersAboutOthers(signal))) this.#hasAnswered = true;
    const result: IntrospectionResult = this.#hasAnswered ? { active: false } : unknown(INACTIVE_HOLDS_MS);
    this.#hold(key, result, askedAt);
    const { issuer, tokens, tell } = this.options;
    if (this.#isClosed) return result;
    const problem = printableText(message);
    tell({ type: 'introspection.rejected', issuer, tokens, hasAnswered: this.#hasAnswered, problem });
    return result;
  }

  /** By a token that there is not, and that nothing is wrong with but that. */
  async #answersAboutOthers(signal: AbortSignal): Promise<boolean> {
    const madeUp = randomBytes(24).toString('base64url');
    return untilAborted(this.options.endpoint.ask(madeUp, signal), signal).then(
      () => true,
      () => false,
    );
  }

  #failed(error: unknown): IntrospectionResult {
    const { clock, issuer, tokens, tell } = this.options;
    const asked = error instanceof IntrospectionError ? (error.retryAfterSeconds ?? 0) * 1000 : 0;
    this.#failures++;
    const pauses = this.#failures - FAILURES_BEFORE_PAUSE;
    const ownPauseMs = pauses < 0 ? 0 : doublingDelayMs(FIRST_PAUSE_MS, LONGEST_PAUSE_MS, pauses);
    this.#pauseMs = Math.min(Math.max(asked, ownPauseMs), LONGEST_PAUSE_MS);
    this.#pausedAt = clock.now();
    const problem = printableText(error instanceof Error ? error.message : 'unknown');
    if (!this.#isClosed) tell({ type: 'introspection.failed', issuer, tokens, failures: this.#failures, problem });
    return unknown(this.#pauseMs);
  }
}

function unknown(waitMs: number): IntrospectionResult {
  return { active: 'unknown', retryAfterSeconds: Math.max(Math.ceil(waitMs / 1000), 1) };
}

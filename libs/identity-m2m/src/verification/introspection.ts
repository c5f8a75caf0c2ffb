import { createHash } from 'node:crypto';
import { BoundedMap } from '../foundation/bounded-map.js';
import { type Clock, elapsedMs, type Instant } from '../foundation/clock.js';
import { untilAborted } from '../foundation/promises.js';
import {
  type IntrospectionAnswer,
  type IntrospectionEndpoint,
  IntrospectionError,
  IntrospectionRejectedError,
} from './introspection-endpoint.js';
import {
  INTROSPECTION_TIMEOUT_MS,
  introspectionTimedOut,
  type IntrospectionAvailability,
  PROBE_INTERVAL_MS,
  type ProbeOutcome,
  type UnansweredRequest,
  wantedPauseMs,
} from './introspection-availability.js';
import { deepFreeze } from '../foundation/plain-objects.js';

/** The issuer's response about a token; `unknown` if there is none. */
export type IntrospectionResult =
  IntrospectionAnswer | { readonly active: 'unknown'; readonly retryAfterSeconds: number };

export interface IntrospectionDependencies {
  /** The kind of the tokens, for events. */
  readonly tokens: UnansweredRequest['tokens'];
  readonly endpoint: IntrospectionEndpoint;
  readonly availability: IntrospectionAvailability;
  readonly clock: Clock;
}

interface HeldAnswer {
  readonly answer: IntrospectionAnswer;
  readonly answeredAt: Instant;
  readonly holdsMs: number;
}

/** How long a response is cached, in milliseconds. An inactive token may become active a moment later. */
const ACTIVE_HOLDS_MS = 60_000;
const INACTIVE_HOLDS_MS = 10_000;
const HELD_ANSWERS = { maxEntries: 10_000, maxBytes: 33_554_432 };
/** Maximum number of open requests: any caller can make up tokens, and each would cause one. */
const MAX_OPEN_REQUESTS = 100;

interface OpenRequest {
  readonly result: Promise<IntrospectionResult>;
  readonly askedAt: Instant;
  readonly abort: AbortController;
}

/**
 * Checks tokens of one kind with their issuer, and caches its responses for a short time.
 *
 * All calls with one token share one request. While an issuer is down, requests pause and tokens stay undecided: a
 * response is never used for longer because there is no newer one.
 */
export class Introspection {
  readonly #held = new BoundedMap<HeldAnswer>(HELD_ANSWERS);
  /** The oldest first. */
  readonly #open = new Map<string, OpenRequest>();
  #isClosed = false;

  constructor(private readonly options: IntrospectionDependencies) {}

  ask(token: string): IntrospectionResult | Promise<IntrospectionResult> {
    // Stored by its hash, so that no opaque token is kept in memory.
    const key = createHash('sha256').update(token).digest('base64');
    if (this.#isClosed) return unknown(1000);
    const { availability, clock } = this.options;
    const now = clock.now();
    const held = this.#held.get(key);
    if (held && elapsedMs(held.answeredAt, now) < held.holdsMs) return held.answer;
    const open = this.#open.get(key);
    if (open) return open.result;
    if (this.#open.size >= MAX_OPEN_REQUESTS && !this.#makeRoom(now)) return unknown(1000);
    const leave = availability.enter(now);
    if ('waitMs' in leave) return unknown(leave.waitMs);
    const abort = new AbortController();
    const request: OpenRequest = {
      result: this.#ask(key, token, now, leave.isLead, abort).finally(() => this.#closeRequest(key, request)),
      askedAt: now,
      abort,
    };
    this.#open.set(key, request);
    return request.result;
  }

  close(): void {
    this.#isClosed = true;
    this.#held.clear();
    this.options.availability.close();
    for (const { abort } of this.#open.values()) abort.abort(new IntrospectionError('the verifier was closed'));
  }

  /**
   * Aborts the oldest open request if the issuer hangs only for that token. Otherwise, one caller could lock out every
   * other caller with a hundred such tokens.
   */
  #makeRoom(now: Instant): boolean {
    const [key, longest] = this.#open.entries().next().value!;
    if (!this.options.availability.isOverdue(longest.askedAt, now)) return false;
    this.#closeRequest(key, longest);
    longest.abort.abort(new IntrospectionError('no response, although other requests got one'));
    return true;
  }

  #closeRequest(key: string, request: OpenRequest): void {
    if (this.#open.get(key) === request) this.#open.delete(key);
  }

  async #ask(
    key: string,
    token: string,
    now: Instant,
    isLead: boolean,
    abort: AbortController,
  ): Promise<IntrospectionResult> {
    const { availability, clock, endpoint, tokens } = this.options;
    // Not `withTimeout`: the time also limits the wait for a probe after a failure.
    const cancelTimeout = clock.setTimer(INTROSPECTION_TIMEOUT_MS, () => abort.abort(introspectionTimedOut()));
    try {
      const answer = deepFreeze(await untilAborted(endpoint.ask(token, abort.signal), abort.signal));
      availability.answered(now);
      this.#hold(key, answer, now);
      return answer;
    } catch (error) {
      const others = await availability.unanswered(error, { tokens, isLead }, abort.signal);
      return this.#withoutAnswer(key, error, others, now);
    } finally {
      cancelTimeout();
    }
  }

  /** @param others How the issuer responds to requests about other tokens. */
  #withoutAnswer(key: string, error: unknown, others: ProbeOutcome, askedAt: Instant): IntrospectionResult {
    if (error instanceof IntrospectionRejectedError) {
      // An issuer that rejects every request may have another address, or require another authentication: undecided.
      if (others !== 'answered') return unknown(PROBE_INTERVAL_MS);
      const inactive = { active: false } as const;
      this.#hold(key, inactive, askedAt);
      return inactive;
    }
    const { availability, clock } = this.options;
    return unknown(Math.max(wantedPauseMs(error), availability.waitMs(clock.now())));
  }

  /** @param answeredAt The time of the request: a response is no newer than its request. */
  #hold(key: string, answer: IntrospectionAnswer, answeredAt: Instant): void {
    const isActive = answer.active;
    const leftMs = isActive && typeof answer.claims.exp === 'number' ? answer.claims.exp * 1000 - answeredAt.wallMs : 0;
    const holdsMs = isActive ? Math.min(ACTIVE_HOLDS_MS, Math.max(leftMs, 0)) : INACTIVE_HOLDS_MS;
    const bytes = 512 + (isActive ? JSON.stringify(answer.claims).length * 3 : 0);
    this.#held.set(key, { answer, answeredAt, holdsMs }, bytes);
  }
}

function unknown(waitMs: number): IntrospectionResult {
  return { active: 'unknown', retryAfterSeconds: Math.max(Math.ceil(waitMs / 1000), 1) };
}

import { BoundedMap } from '../foundation/bounded-map.js';
import { type Clock, elapsedMs, type Instant, doublingDelayMs } from '../foundation/clock.js';
import { IdentityM2MError } from '../foundation/identity-m2m-error.js';
import { printableText } from '../foundation/text.js';
import { untilAborted } from '../foundation/promises.js';
import type { TrustedIssuer } from './trusted-issuer.js';
import type { VerificationEvent } from './verification-events.js';

export interface ResolvedIssuersOptions {
  /** The application's own function: it may throw, never settle, and return anything. */
  readonly resolve: (issuer: string, signal: AbortSignal) => unknown;
  /**
   * Makes an issuer of an answer.
   *
   * @param before What the answer before it made: its keys go on where they are read at the same place.
   * @throws `IdentityM2MError` where the answer is none.
   */
  readonly trust: (issuer: string, answer: unknown, before: TrustedIssuer | undefined) => TrustedIssuer;
  /** Most issuers kept of those that a token was verified for. */
  readonly maxIssuers: number;
  /** How long an acceptance holds, in milliseconds. */
  readonly holdMs: number;
  readonly clock: Clock;
  readonly tell: (event: VerificationEvent) => void;
}

/** What is known of an issuer. */
export type IssuerResolution =
  | { readonly kind: 'accepted'; readonly issuer: TrustedIssuer }
  | { readonly kind: 'denied' }
  /** It can't be said at the moment. */
  | { readonly kind: 'unavailable'; readonly retryAfterSeconds: number };

interface Acceptance {
  readonly issuer: TrustedIssuer;
  readonly acceptedAt: Instant;
  /** When it got its place, which a renewal does not change. */
  readonly since: Instant;
}

/** Why the resolver is not asked about an issuer for a while. */
interface Setback {
  readonly at: Instant;
  readonly holdMs: number;
  /** Failures in a row; 0 where the resolver has denied the issuer. */
  readonly failures: number;
}

/** Most calls of the resolver at once, besides those that renew an acceptance. */
export const MAX_RESOLVER_CALLS = 16;

/** How long one call may take, in milliseconds. */
const TIMEOUT_MS = 5000;

/** Part of its time after which the next token renews an acceptance, without waiting for it. */
const RENEWAL_DUE = 0.8;

/** How long a denial holds, in milliseconds: a tenant may exist a moment after the first token that names it. */
const DENIAL_MS = 30_000;

const FIRST_RETRY_MS = 1000;
const LAST_RETRY_MS = 30_000;

/** Denials and failures remembered. They have a place of their own, so that none costs an accepted issuer its place. */
const SETBACKS = { maxEntries: 1000, maxBytes: 262_144 };

/**
 * Most accepted issuers that no token was verified for yet, and how long each keeps its place, in milliseconds. Anyone
 * can name issuers that the resolver accepts: so this bounds how often strangers can have keys fetched (six times a
 * second), and none of it costs an issuer with verified tokens its place.
 */
export const MAX_UNPROVEN = 32;
const UNPROVEN_STAY_MS = 5000;

/** Least time between two events that say that there were too many calls, in milliseconds. */
const OVERLOAD_TOLD_MS = 10_000;

/** The resolver brought no answer. Callers see it as a refusal, operators in the event. */
class IssuerResolutionError extends IdentityM2MError {
  readonly code = 'M2M_ISSUER_RESOLUTION_FAILED';
}

/**
 * Issuers that come at run time: those that the application's resolver accepts.
 *
 * The resolver is asked about an issuer once at a time, about so many at once, and for so long. What it accepts holds for
 * a while, what it denies for a shorter one; while it fails nothing is decided. Where keys are comes from its answer, and
 * never from a token.
 */
export class ResolvedIssuers {
  readonly #proven: BoundedMap<Acceptance>;
  /** The one that has its place for longest first. */
  readonly #unproven = new Map<string, Acceptance>();
  readonly #setbacks = new BoundedMap<Setback>(SETBACKS);
  readonly #calls = new Map<string, Promise<IssuerResolution>>();
  readonly #aborts = new Set<AbortController>();
  /** Calls for issuers that are not accepted. */
  #newCalls = 0;
  #overloadToldAt: Instant | undefined;
  #isClosed = false;

  constructor(private readonly options: ResolvedIssuersOptions) {
    const limits = { maxEntries: options.maxIssuers, maxBytes: Infinity };
    this.#proven = new BoundedMap(limits, (acceptance) => this.#evicted(acceptance));
  }

  /** @param issuer Of a token whose form has been checked. */
  find(issuer: string): IssuerResolution | Promise<IssuerResolution> {
    if (this.#isClosed) return unavailable(1000);
    const now = this.options.clock.now();
    const acceptance = this.#acceptance(issuer);
    if (acceptance && this.#isLive(acceptance, now)) return { kind: 'accepted', issuer: acceptance.issuer };
    const setback = this.#setbacks.get(issuer);
    const leftMs = setback ? setback.holdMs - elapsedMs(setback.at, now) : 0;
    if (setback && leftMs > 0) return setback.failures === 0 ? { kind: 'denied' } : unavailable(leftMs);
    if (!acceptance && !this.#calls.has(issuer) && this.#newCalls >= MAX_RESOLVER_CALLS) return this.#overloaded(now);
    return this.#resolve(issuer, acceptance);
  }

  /** Whether an issuer that was accepted is so still. */
  holds(issuer: TrustedIssuer): boolean {
    const acceptance = this.#acceptance(issuer.issuer);
    return acceptance?.issuer === issuer && this.#isLive(acceptance, this.options.clock.now());
  }

  /** Keeps an issuer in a place that strangers can't take: a token was verified with its keys. */
  prove(issuer: TrustedIssuer): void {
    const acceptance = this.#unproven.get(issuer.issuer);
    if (acceptance?.issuer !== issuer) return;
    this.#unproven.delete(issuer.issuer);
    this.#proven.set(issuer.issuer, acceptance, 0);
  }

  close(): void {
    this.#isClosed = true;
    for (const abort of this.#aborts) abort.abort(new IssuerResolutionError('the verifier was closed'));
    for (const { issuer } of [...this.#proven.values(), ...this.#unproven.values()]) issuer.keys.close();
  }

  #acceptance(issuer: string): Acceptance | undefined {
    return this.#proven.get(issuer) ?? this.#unproven.get(issuer);
  }

  #isLive({ issuer, acceptedAt }: Acceptance, now: Instant): boolean {
    const { holdMs } = this.options;
    const ageMs = elapsedMs(acceptedAt, now);
    if (ageMs >= holdMs) return false;
    if (ageMs >= holdMs * RENEWAL_DUE) this.#renewBehind(issuer.issuer, now);
    return true;
  }

  #renewBehind(issuer: string, now: Instant): void {
    const setback = this.#setbacks.get(issuer);
    const isWaiting = setback !== undefined && elapsedMs(setback.at, now) < setback.holdMs;
    if (!isWaiting && !this.#calls.has(issuer)) void this.#resolve(issuer, this.#acceptance(issuer));
  }

  #resolve(issuer: string, acceptance: Acceptance | undefined): Promise<IssuerResolution> {
    const underWay = this.#calls.get(issuer);
    if (underWay) return underWay;
    if (!acceptance) this.#newCalls++;
    const call = this.#call(issuer).finally(() => {
      this.#calls.delete(issuer);
      if (!acceptance) this.#newCalls--;
    });
    this.#calls.set(issuer, call);
    return call;
  }

  async #call(issuer: string): Promise<IssuerResolution> {
    const { clock, resolve, trust } = this.options;
    const startedAt = clock.now();
    const abort = new AbortController();
    this.#aborts.add(abort);
    const cancelTimeout = clock.setTimer(TIMEOUT_MS, () =>
      abort.abort(new IssuerResolutionError(`no answer within ${TIMEOUT_MS} ms`)),
    );
    try {
      const { signal } = abort;
      const answer = await untilAborted((async () => resolve(issuer, signal))(), signal);
      if (this.#isClosed) return unavailable(1000);
      if (answer === undefined || answer === null) return this.#denied(issuer);
      const before = this.#acceptance(issuer);
      const trusted = trust(issuer, answer, before?.issuer);
      const since = before?.since ?? clock.now();
      return this.#accepted({ issuer: trusted, acceptedAt: startedAt, since }, before?.issuer);
    } catch (error) {
      return this.#failed(issuer, error);
    } finally {
      cancelTimeout();
      this.#aborts.delete(abort);
    }
  }

  #accepted(acceptance: Acceptance, before: TrustedIssuer | undefined): IssuerResolution {
    const { issuer } = acceptance;
    const name = issuer.issuer;
    this.#setbacks.delete(name);
    if (before && before.keys !== issuer.keys) before.keys.retire();
    if (this.#proven.get(name)) this.#proven.set(name, acceptance, 0);
    else if (this.#unproven.has(name) || this.#hasRoom(this.options.clock.now())) this.#unproven.set(name, acceptance);
    else {
      issuer.keys.close();
      return this.#overloaded(this.options.clock.now());
    }
    if (!before) this.options.tell({ type: 'issuer.accepted', issuer: printableText(name) });
    return { kind: 'accepted', issuer };
  }

  /** Whether one more issuer can be accepted: the oldest one without verified tokens makes room once it has had its time. */
  #hasRoom(now: Instant): boolean {
    if (this.#unproven.size < MAX_UNPROVEN) return true;
    const [name, oldest] = this.#unproven.entries().next().value!;
    if (elapsedMs(oldest.since, now) < UNPROVEN_STAY_MS) return false;
    this.#unproven.delete(name);
    oldest.issuer.keys.retire();
    return true;
  }

  #denied(issuer: string): IssuerResolution {
    this.#forget(issuer);
    this.#setBack(issuer, DENIAL_MS, 0);
    this.options.tell({ type: 'issuer.denied', issuer: printableText(issuer) });
    return { kind: 'denied' };
  }

  #failed(issuer: string, error: unknown): IssuerResolution {
    if (this.#isClosed) return unavailable(1000);
    const failures = (this.#setbacks.get(issuer)?.failures ?? 0) + 1;
    const holdMs = doublingDelayMs(FIRST_RETRY_MS, LAST_RETRY_MS, failures - 1);
    this.#setBack(issuer, holdMs, failures);
    // The message of an error of the application's own may hold anything.
    const problem = error instanceof IdentityM2MError ? error.message : `the resolver threw ${nameOf(error)}`;
    const { tell } = this.options;
    tell({
      type: 'issuer.resolution_failed',
      issuer: printableText(issuer),
      failures,
      problem: printableText(problem, 400),
    });
    return unavailable(holdMs);
  }

  #setBack(issuer: string, holdMs: number, failures: number): void {
    this.#setbacks.set(issuer, { at: this.options.clock.now(), holdMs, failures }, issuer.length * 2);
  }

  #forget(issuer: string): void {
    this.#acceptance(issuer)?.issuer.keys.retire();
    this.#proven.delete(issuer);
    this.#unproven.delete(issuer);
  }

  #evicted({ issuer }: Acceptance): void {
    issuer.keys.retire();
    this.options.tell({ type: 'issuer.evicted', issuer: printableText(issuer.issuer) });
  }

  #overloaded(now: Instant): IssuerResolution {
    const toldAt = this.#overloadToldAt;
    if (!toldAt || elapsedMs(toldAt, now) >= OVERLOAD_TOLD_MS) {
      this.#overloadToldAt = now;
      this.options.tell({ type: 'issuer.resolver_overloaded' });
    }
    return unavailable(1000);
  }
}

function unavailable(leftMs: number): IssuerResolution {
  return { kind: 'unavailable', retryAfterSeconds: Math.max(Math.ceil(leftMs / 1000), 1) };
}

function nameOf(error: unknown): string {
  return error instanceof Error ? error.constructor.name : typeof error;
}

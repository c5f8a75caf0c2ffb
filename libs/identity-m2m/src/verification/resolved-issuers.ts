import { BoundedMap } from '../foundation/bounded-map.js';
import { type Clock, elapsedMs, type Instant, doublingDelayMs } from '../foundation/clock.js';
import { IdentityM2MError, safeMessage } from '../foundation/identity-m2m-error.js';
import { printableText } from '../foundation/text.js';
import { withTimeout } from '../foundation/promises.js';
import type { TrustedIssuer } from './trusted-issuer.js';
import type { VerificationEvent } from './verification-events.js';

export interface ResolvedIssuersOptions {
  /** The application's function, which may throw, never settle, or return anything. */
  readonly resolve: (issuer: string, signal: AbortSignal) => unknown;
  /**
   * Creates an issuer from the resolver's result.
   *
   * @param before The issuer of the previous result: its keys are kept if their source is the same.
   * @throws `IdentityM2MError` if the result is invalid.
   */
  readonly trust: (issuer: string, answer: unknown, before: TrustedIssuer | undefined) => TrustedIssuer;
  /** Maximum number of cached issuers with a verified token. */
  readonly maxIssuers: number;
  /** How long an accepted issuer stays accepted, in milliseconds. */
  readonly holdMs: number;
  readonly clock: Clock;
  readonly emit: (event: VerificationEvent) => void;
}

/** Whether an issuer is accepted. */
export type IssuerResolution =
  | { readonly kind: 'accepted'; readonly issuer: TrustedIssuer }
  | { readonly kind: 'denied' }
  /** Unknown at the moment. */
  | { readonly kind: 'unavailable'; readonly retryAfterSeconds: number };

interface Acceptance {
  readonly issuer: TrustedIssuer;
  readonly acceptedAt: Instant;
  /** When it was accepted first; a renewal does not change it. */
  readonly since: Instant;
}

/** A denial or a failure: the resolver is not called for this issuer for a while. */
interface Setback {
  readonly at: Instant;
  readonly holdMs: number;
  /** Number of consecutive failures; 0 if the resolver denied the issuer. */
  readonly failures: number;
}

/** Maximum number of concurrent calls of the resolver, besides renewals. */
const MAX_RESOLVER_CALLS = 16;

/** Timeout of one call, in milliseconds. */
const TIMEOUT_MS = 5000;

/** Share of `holdMs` after which the next token renews an acceptance in the background. */
const RENEWAL_DUE = 0.8;

/**
 * How long a denial is cached, in milliseconds. It is short, because a tenant may be created just after the first token
 * that names it.
 */
const DENIAL_MS = 30_000;

const FIRST_RETRY_MS = 1000;
const LAST_RETRY_MS = 30_000;

/** Limits of cached denials and failures. Their cache is separate, so that none evicts an accepted issuer. */
const SETBACKS = { maxEntries: 1000, maxBytes: 262_144 };

/**
 * Maximum number of accepted issuers without a verified token, and how long each one stays, in milliseconds. Anyone can
 * name issuers that the resolver accepts. This limits how often callers can cause key requests (six times a second),
 * and protects issuers with verified tokens from eviction.
 */
const MAX_UNPROVEN = 32;
const UNPROVEN_STAY_MS = 5000;

/** Shortest time between two events about too many calls, in milliseconds. */
const OVERLOAD_REPORT_MS = 10_000;

/** The resolver returned no valid result. Callers get a refusal, and operators see an event. */
class IssuerResolutionError extends IdentityM2MError {
  readonly code = 'M2M_ISSUER_RESOLUTION_FAILED';
}

/**
 * Issuers that the application's resolver accepts at run time.
 *
 * There is one call per issuer at a time, and calls are limited in number and time. An acceptance is cached for a
 * while, a denial for a shorter time; while the resolver fails, tokens stay undecided. The address of keys comes from
 * the resolver's result, never from a token.
 */
export class ResolvedIssuers {
  readonly #proven: BoundedMap<Acceptance>;
  /** The oldest first. */
  readonly #unproven = new Map<string, Acceptance>();
  readonly #setbacks = new BoundedMap<Setback>(SETBACKS);
  readonly #calls = new Map<string, Promise<IssuerResolution>>();
  readonly #aborts = new Set<AbortController>();
  /** Calls for issuers that are not accepted. */
  #newCalls = 0;
  #overloadReportedAt: Instant | undefined;
  #isClosed = false;

  constructor(private readonly options: ResolvedIssuersOptions) {
    this.#proven = new BoundedMap({ maxEntries: options.maxIssuers }, (acceptance) => this.#evicted(acceptance));
  }

  /** @param issuer The issuer of a token whose form was checked. */
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

  /** Whether an accepted issuer is still accepted. */
  accepts(issuer: TrustedIssuer): boolean {
    const acceptance = this.#acceptance(issuer.issuer);
    return acceptance?.issuer === issuer && this.#isLive(acceptance, this.options.clock.now());
  }

  /** Protects an issuer from eviction by other callers: a token was verified with its keys. */
  markProven(issuer: TrustedIssuer): void {
    const acceptance = this.#unproven.get(issuer.issuer);
    if (acceptance?.issuer !== issuer) return;
    this.#unproven.delete(issuer.issuer);
    this.#proven.set(issuer.issuer, acceptance);
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
    if (ageMs >= holdMs * RENEWAL_DUE) this.#renewInBackground(issuer.issuer, now);
    return true;
  }

  #renewInBackground(issuer: string, now: Instant): void {
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
    const timeoutError = () => new IssuerResolutionError(`the resolver took longer than ${TIMEOUT_MS} ms`);
    try {
      const call = async (signal: AbortSignal) => resolve(issuer, signal);
      const answer = await withTimeout(clock, TIMEOUT_MS, timeoutError, call, abort);
      if (this.#isClosed) return unavailable(1000);
      if (answer === undefined || answer === null) return this.#denied(issuer);
      const before = this.#acceptance(issuer);
      const trusted = trust(issuer, answer, before?.issuer);
      const since = before?.since ?? clock.now();
      return this.#accepted({ issuer: trusted, acceptedAt: startedAt, since }, before?.issuer);
    } catch (error) {
      return this.#failed(issuer, error);
    } finally {
      this.#aborts.delete(abort);
    }
  }

  #accepted(acceptance: Acceptance, before: TrustedIssuer | undefined): IssuerResolution {
    const { issuer } = acceptance;
    const name = issuer.issuer;
    this.#setbacks.delete(name);
    if (before && before.keys !== issuer.keys) before.keys.stopRefreshing();
    if (this.#proven.get(name)) this.#proven.set(name, acceptance);
    else if (this.#unproven.has(name) || this.#hasRoom(this.options.clock.now())) this.#unproven.set(name, acceptance);
    else {
      issuer.keys.close();
      return this.#overloaded(this.options.clock.now());
    }
    if (!before) this.options.emit({ type: 'issuer.accepted', issuer: printableText(name) });
    return { kind: 'accepted', issuer };
  }

  /** Whether another issuer fits. Evicts the oldest one without a verified token, once it has stayed long enough. */
  #hasRoom(now: Instant): boolean {
    if (this.#unproven.size < MAX_UNPROVEN) return true;
    const [name, oldest] = this.#unproven.entries().next().value!;
    if (elapsedMs(oldest.since, now) < UNPROVEN_STAY_MS) return false;
    this.#unproven.delete(name);
    oldest.issuer.keys.stopRefreshing();
    return true;
  }

  #denied(issuer: string): IssuerResolution {
    this.#forget(issuer);
    this.#setBack(issuer, DENIAL_MS, 0);
    this.options.emit({ type: 'issuer.denied', issuer: printableText(issuer) });
    return { kind: 'denied' };
  }

  #failed(issuer: string, error: unknown): IssuerResolution {
    if (this.#isClosed) return unavailable(1000);
    const failures = (this.#setbacks.get(issuer)?.failures ?? 0) + 1;
    const holdMs = doublingDelayMs(FIRST_RETRY_MS, LAST_RETRY_MS, failures - 1);
    this.#setBack(issuer, holdMs, failures);
    // The message of an application's error may hold anything, so it is left out.
    const problem = safeMessage(error, `the resolver threw ${nameOf(error)}`);
    this.options.emit({
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
    this.#acceptance(issuer)?.issuer.keys.stopRefreshing();
    this.#proven.delete(issuer);
    this.#unproven.delete(issuer);
  }

  #evicted({ issuer }: Acceptance): void {
    issuer.keys.stopRefreshing();
    this.options.emit({ type: 'issuer.evicted', issuer: printableText(issuer.issuer) });
  }

  #overloaded(now: Instant): IssuerResolution {
    const reportedAt = this.#overloadReportedAt;
    if (!reportedAt || elapsedMs(reportedAt, now) >= OVERLOAD_REPORT_MS) {
      this.#overloadReportedAt = now;
      this.options.emit({ type: 'issuer.resolver_overloaded' });
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

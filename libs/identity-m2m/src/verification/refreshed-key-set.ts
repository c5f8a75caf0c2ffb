import { type Clock, elapsedMs, type Instant } from '../foundation/clock.js';
import { printableText } from '../foundation/printable-text.js';
import { untilAborted } from '../foundation/until-aborted.js';
import { type KeyLookup, type KeySet, VerificationKeys } from './key-set.js';
import { type KeySetSchedule, keySetStage, refreshAfterMs, retryDelayMs } from './key-set-schedule.js';
import { type KeyDocument, KeySetError, type KeySource } from './key-source.js';
import { readKeySet, type UnusableKey } from './verification-key.js';
import type { VerificationEvent } from './verification-events.js';

export interface RefreshedKeySetOptions {
  readonly issuer: string;
  readonly source: KeySource;
  readonly schedule: KeySetSchedule;
  readonly clock: Clock;
  /** From 0 to 1. */
  readonly random: () => number;
  readonly tell: (event: VerificationEvent) => void;
}

/** Most keys of one reading that are told of one by one. */
const MAX_KEYS_TOLD = 10;

interface HeldKeys {
  readonly keys: VerificationKeys;
  /** Each once. */
  readonly unusable: ReadonlyMap<string, UnusableKey>;
  readonly readAt: Instant;
  readonly lifetimeMs: number;
  readonly refreshAfterMs: number;
}

/**
 * Keys that are read somewhere, kept, and read again before they are too old, as long as they are in use.
 *
 * There is never more than one read at a time, which all who need it share. What callers can cause by naming keys that
 * do not exist is limited by the time since the last read, whatever came of it; reads by schedule are not affected by
 * that, and callers whose keys are known never wait for any of them.
 */
export class RefreshedKeySet implements KeySet {
  #held: HeldKeys | undefined;
  #reading: Promise<void> | undefined;
  #lastRead: Instant | undefined;
  /** In a row. */
  #failures = 0;
  #retryAfterMs = 0;
  /** Whether anybody has asked since the last read: keys that nobody needs are not read again. */
  #isUsed = false;
  #cancelTimer: (() => void) | undefined;
  #isClosed = false;
  #abort: AbortController | undefined;

  constructor(private readonly options: RefreshedKeySetOptions) {}

  current(now: Instant): VerificationKeys | undefined {
    this.#isUsed = true;
    const held = this.#held;
    if (!held) return undefined;
    const ageMs = elapsedMs(held.readAt, now);
    if (ageMs < held.refreshAfterMs) return held.keys;
    this.#readBehind(now);
    const stage = keySetStage(ageMs, held, this.options.schedule);
    // Keys beyond their lifetime may have been withdrawn: the issuer is asked first, unless it is known not to answer.
    if (stage === 'dead' || (stage === 'stale' && this.#failures === 0)) return undefined;
    return held.keys;
  }

  find(kid: string | undefined, algorithm: string): KeyLookup | Promise<KeyLookup> {
    const now = this.options.clock.now();
    const set = this.current(now);
    const keys = set?.candidates(kid, algorithm) ?? [];
    if (set && keys.length > 0) return { kind: 'found', keys, set };
    // The issuer may have rotated its keys since. Anybody can make up a kid, so this is limited by the cooldown.
    const reading = this.#readOnDemand(now);
    return reading ? reading.then(() => this.#lookUp(kid, algorithm)) : this.#lookUp(kid, algorithm);
  }

  close(): void {
    this.#isClosed = true;
    this.#cancelTimer?.();
    this.#abort?.abort(new KeySetError('the verifier was closed'));
  }

  #lookUp(kid: string | undefined, algorithm: string): KeyLookup {
    const now = this.options.clock.now();
    const set = this.#usable(now);
    const keys = set?.candidates(kid, algorithm) ?? [];
    if (set && keys.length > 0) return { kind: 'found', keys, set };
    // While the issuer does not answer, the key may well exist.
    if (set && this.#failures === 0) return { kind: 'unknown' };
    return { kind: 'unavailable', retryAfterSeconds: Math.max(Math.ceil(this.#cooldownLeftMs(now) / 1000), 1) };
  }

  #usable(now: Instant): VerificationKeys | undefined {
    const held = this.#held;
    if (!held || held.keys.list.length === 0) return undefined;
    return keySetStage(elapsedMs(held.readAt, now), held, this.options.schedule) === 'dead' ? undefined : held.keys;
  }

  #readBehind(now: Instant): void {
    if (this.#reading || (this.#failures > 0 && this.#sinceLastRead(now) < this.#retryAfterMs)) return;
    void this.#read(now);
  }

  #readOnDemand(now: Instant): Promise<void> | undefined {
    return this.#reading ?? (this.#cooldownLeftMs(now) > 0 ? undefined : this.#read(now));
  }

  #cooldownLeftMs(now: Instant): number {
    const { cooldownMs } = this.options.schedule;
    // Without any keys nobody is served, so that an issuer which is just starting is asked sooner.
    const pauseMs = this.#usable(now) || this.#failures === 0 ? cooldownMs : Math.min(this.#retryAfterMs, cooldownMs);
    return Math.max(pauseMs - this.#sinceLastRead(now), 0);
  }

  #sinceLastRead(now: Instant): number {
    return this.#lastRead ? elapsedMs(this.#lastRead, now) : Infinity;
  }

  #read(now: Instant): Promise<void> {
    if (this.#isClosed) return Promise.resolve();
    this.#cancelTimer?.();
    this.#lastRead = now;
    this.#isUsed = false;
    this.#reading = this.#readOnce(now).finally(() => (this.#reading = undefined));
    return this.#reading;
  }

  async #readOnce(startedAt: Instant): Promise<void> {
    const { clock, schedule, source, random } = this.options;
    const abort = (this.#abort = new AbortController());
    const cancelTimeout = clock.setTimer(schedule.readTimeoutMs, () =>
      abort.abort(new KeySetError(`no answer within ${schedule.readTimeoutMs} ms`)),
    );
    try {
      this.#take(await untilAborted(source.read(abort.signal), abort.signal), startedAt);
    } catch (error) {
      this.#failures++;
      this.#retryAfterMs = retryDelayMs(this.#failures, random(), schedule);
      this.#tellFailure(error);
    } finally {
      cancelTimeout();
    }
    this.#schedule(this.#failures > 0 ? this.#retryAfterMs : this.#held!.refreshAfterMs);
  }

  #take({ document, lifetimeMs }: KeyDocument, readAt: Instant): void {
    const { issuer, tell, random } = this.options;
    const before = this.#held?.keys;
    const content = readKeySet(document, before?.list);
    if (!content) throw new KeySetError(`the key set of ${issuer} has no list of keys`);
    const isSame =
      before?.list.length === content.keys.length && content.keys.every((key, index) => key === before.list[index]);
    const keys = isSame ? before : new VerificationKeys(content.keys);
    const unusable = new Map(content.unusable.map((key) => [JSON.stringify([key.kid, key.reason]), key]));
    this.#tellUnusable(unusable);
    this.#held = {
      keys,
      unusable,
      readAt,
      lifetimeMs,
      refreshAfterMs: refreshAfterMs(lifetimeMs, random()),
    };
    if (!isSame) tell({ type: 'key_set.changed', issuer, keys: keys.list.length });
    // The keys that were held are gone all the same: the issuer has said so.
    if (keys.list.length === 0) throw new KeySetError(`the key set of ${issuer} holds no key that can be used`);
    if (this.#failures > 0) tell({ type: 'key_set.recovered', issuer });
    this.#failures = 0;
  }

  #tellUnusable(unusable: HeldKeys['unusable']): void {
    const { issuer, tell } = this.options;
    const told = this.#held?.unusable;
    const untold = [...unusable].flatMap(([identity, key]) => (told?.has(identity) ? [] : [key]));
    if (untold.length > MAX_KEYS_TOLD) return tell({ type: 'key_set.keys_ignored', issuer, keys: untold.length });
    for (const { kid, reason } of untold) {
      tell({ type: 'key_set.key_ignored', issuer, kid: kid && printableText(kid), reason });
    }
  }

  #tellFailure(error: unknown): void {
    if (this.#isClosed) return;
    const problem = error instanceof Error ? error.message : 'unknown';
    const { issuer, tell } = this.options;
    tell({ type: 'key_set.refresh_failed', issuer, failures: this.#failures, problem: printableText(problem) });
  }

  #schedule(delayMs: number): void {
    if (this.#isClosed) return;
    this.#cancelTimer = this.options.clock.setTimer(delayMs, () => {
      if (this.#isUsed && !this.#reading) void this.#read(this.options.clock.now());
    });
  }
}

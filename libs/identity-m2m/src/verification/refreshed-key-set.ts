import { type Clock, doublingDelayMs, elapsedMs, type Instant } from '../foundation/clock.js';
import { withTimeout } from '../foundation/promises.js';
import { printableText } from '../foundation/text.js';
import { type KeyLookup, type KeySet, VerificationKeys } from './key-set.js';
import { type KeyDocument, KeySetError, type KeySource, problemText } from './key-source.js';
import type { VerificationEvent } from './verification-events.js';
import { readKeySet, type UnusableKey } from './verification-key.js';

export interface RefreshedKeySetOptions {
  readonly issuer: string;
  readonly source: KeySource;
  readonly schedule: KeySetSchedule;
  readonly clock: Clock;
  /** Uniform in [0, 1). */
  readonly random: () => number;
  readonly emit: (event: VerificationEvent) => void;
}

/** Maximum number of unusable keys of one read that are reported one by one. */
const MAX_KEYS_REPORTED = 10;

interface HeldKeys {
  readonly keys: VerificationKeys;
  readonly readAt: Instant;
  readonly lifetimeMs: number;
  readonly refreshAfterMs: number;
}

/** The key that a token's header names. */
interface Wanted {
  readonly kid: string | undefined;
  readonly algorithm: string;
  readonly tried: VerificationKeys | undefined;
}

/**
 * Keys that are read from a source, cached, and read again before they expire, as long as they are in use.
 *
 * There is at most one read at a time, which all callers share. Reads caused by tokens with unknown keys have a budget;
 * scheduled reads do not, and a caller whose key is known never waits for a read. A key counts as unknown only after a
 * read that began after its token arrived: a client that gets 401 discards a valid token, while one that gets 503 sends
 * it again.
 */
export class RefreshedKeySet implements KeySet {
  #held: HeldKeys | undefined;
  #reading: Promise<void> | undefined;
  /** Number of reads that were started. */
  #reads = 0;
  #lastRead: Instant | undefined;
  /** The last reads that tokens caused, the latest first. */
  #lookUps: readonly Instant[] = [];
  /** Whether a deferred look-up was reported since the last read. */
  #isDeferralReported = false;
  /** Number of consecutive failures. */
  #failures = 0;
  #retryAfterMs = 0;
  #problem: unknown;
  /** Unusable keys of the last read, each once. */
  #unusable: ReadonlyMap<string, UnusableKey> = new Map();
  /** Whether the keys were used since the last read: unused keys are not read again. */
  #isUsed = false;
  #warming: { readonly done: Promise<void>; readonly finish: () => void } | undefined;
  #cancelTimer: (() => void) | undefined;
  #isStopped = false;
  #isClosed = false;
  #abort: AbortController | undefined;

  constructor(private readonly options: RefreshedKeySetOptions) {}

  get problem(): unknown {
    return this.#problem;
  }

  current(now: Instant): VerificationKeys | undefined {
    this.#isUsed = true;
    const held = this.#held;
    if (!held) return undefined;
    const stage = keySetStage(elapsedMs(held.readAt, now), held, this.options.schedule);
    if (stage === 'fresh') return held.keys;
    this.#readInBackground(now);
    // Keys beyond their lifetime may have been withdrawn: they are read first, unless the issuer is known to be down.
    if (stage === 'dead' || (stage === 'stale' && this.#failures === 0)) return undefined;
    return held.keys;
  }

  find(kid: string | undefined, algorithm: string, tried?: VerificationKeys): KeyLookup | Promise<KeyLookup> {
    const now = this.options.clock.now();
    const wanted = { kid, algorithm, tried };
    const reads = this.#reads;
    const found = match(this.current(now), wanted);
    if (found) return found;
    return this.#reading || this.#lookUpDelayMs(now) === 0 ? this.#lookUp(wanted, reads) : this.#deferred(now);
  }

  warmUp(): Promise<void> {
    if (this.#held) return Promise.resolve();
    if (!this.#warming) {
      let finish = () => {};
      const done = new Promise<void>((resolve) => (finish = resolve));
      this.#warming = { done, finish };
      if (!this.#reading) void this.#read(this.options.clock.now());
    }
    return this.#warming.done;
  }

  stopRefreshing(): void {
    this.#isStopped = true;
    this.#cancelTimer?.();
  }

  close(): void {
    this.stopRefreshing();
    this.#isClosed = true;
    this.#abort?.abort(new KeySetError('the verifier was closed'));
  }

  /** @param reads Number of reads that had started when the token arrived. */
  async #lookUp(wanted: Wanted, reads: number): Promise<KeyLookup> {
    if (this.#reading) await this.#reading;
    const found = match(this.#usable(), wanted);
    if (found) return found;
    if (this.#reads === reads || this.#reading) {
      // The read under way began before the token arrived, and may have missed its key. Another token that waited may
      // have begun the next read.
      await this.#readForLookUp(this.options.clock.now());
      const late = match(this.#usable(), wanted);
      if (late) return late;
    }
    // While the issuer is down, the key may exist.
    const wasAsked = this.#reads > reads && this.#failures === 0;
    return wasAsked ? { kind: 'unknown' } : this.#deferred(this.options.clock.now());
  }

  #deferred(now: Instant): KeyLookup {
    const retryAfterSeconds = Math.max(Math.ceil(this.#lookUpDelayMs(now) / 1000), 1);
    const { issuer, emit } = this.options;
    if (this.#failures === 0 && !this.#isDeferralReported && !this.#isClosed) {
      this.#isDeferralReported = true;
      emit({ type: 'key_set.look_up_deferred', issuer, retryAfterSeconds });
    }
    return { kind: 'unavailable', retryAfterSeconds };
  }

  #usable(): VerificationKeys | undefined {
    const held = this.#held;
    if (!held) return undefined;
    const ageMs = elapsedMs(held.readAt, this.options.clock.now());
    return keySetStage(ageMs, held, this.options.schedule) === 'dead' ? undefined : held.keys;
  }

  #readInBackground(now: Instant): void {
    if (this.#reading || (this.#failures > 0 && this.#retryDelayMs(now) > 0)) return;
    void this.#read(now);
  }

  async #readForLookUp(now: Instant): Promise<void> {
    if (this.#reading) return this.#reading;
    if (this.#lookUpDelayMs(now) > 0) return;
    if (this.#held) this.#lookUps = [now, ...this.#lookUps].slice(0, this.options.schedule.lookUps.most);
    await this.#read(now);
  }

  /** Returns how long the next read for an unknown key has to wait. */
  #lookUpDelayMs(now: Instant): number {
    if (this.#failures > 0) return this.#retryDelayMs(now);
    const agesMs = this.#lookUps.map((at) => elapsedMs(at, now));
    return lookUpDelayMs(agesMs, this.options.schedule.lookUps);
  }

  #retryDelayMs(now: Instant): number {
    return this.#lastRead ? Math.max(this.#retryAfterMs - elapsedMs(this.#lastRead, now), 0) : 0;
  }

  #read(now: Instant): Promise<void> {
    if (this.#isClosed) return Promise.resolve();
    this.#cancelTimer?.();
    this.#reads++;
    this.#lastRead = now;
    this.#isUsed = false;
    this.#isDeferralReported = false;
    this.#reading = this.#readOnce(now).finally(() => (this.#reading = undefined));
    return this.#reading;
  }

  async #readOnce(startedAt: Instant): Promise<void> {
    const { clock, schedule, source, random } = this.options;
    const { readTimeoutMs } = schedule;
    const timeoutError = () => new KeySetError(`no response within ${readTimeoutMs} ms`);
    this.#abort = new AbortController();
    try {
      const read = (signal: AbortSignal) => source.read(signal);
      this.#take(await withTimeout(clock, readTimeoutMs, timeoutError, read, this.#abort), startedAt);
    } catch (error) {
      this.#failures++;
      this.#retryAfterMs = retryDelayMs(this.#failures, random(), schedule);
      this.#problem = error;
      this.#reportFailure(error);
    }
    this.#schedule(this.#failures > 0 ? this.#retryAfterMs : this.#held!.refreshAfterMs);
  }

  #take({ document, lifetimeMs }: KeyDocument, readAt: Instant): void {
    const { issuer, emit, random } = this.options;
    const before = this.#held?.keys;
    const content = readKeySet(document, before?.list);
    if (!content) throw new KeySetError(`the key set of ${issuer} has no list of keys`);
    this.#reportUnusable(content.unusable);
    // An issuer that signs tokens has a key: a set without one is an invalid response, and the held keys stay.
    if (content.keys.length === 0) throw new KeySetError(`the key set of ${issuer} has no usable key`);
    const isSame =
      before?.list.length === content.keys.length && content.keys.every((key, index) => key === before.list[index]);
    const unused = namesOf(content.unusable);
    const hasSameNames =
      before && unused.size === before.unused.size && [...unused].every((kid) => before.unused.has(kid));
    const keys = isSame && hasSameNames ? before : new VerificationKeys(content.keys, unused);
    this.#held = { keys, readAt, lifetimeMs, refreshAfterMs: refreshAfterMs(lifetimeMs, random()) };
    if (!isSame) emit({ type: 'key_set.changed', issuer, keys: keys.list.length });
    if (this.#failures > 0) emit({ type: 'key_set.recovered', issuer });
    this.#failures = 0;
    this.#problem = undefined;
    this.#warming?.finish();
    this.#warming = undefined;
  }

  #reportUnusable(keys: readonly UnusableKey[]): void {
    const { issuer, emit } = this.options;
    const reported = this.#unusable;
    this.#unusable = new Map(keys.map((key) => [JSON.stringify([key.kid, key.reason]), key]));
    const added = [...this.#unusable].flatMap(([identity, key]) => (reported.has(identity) ? [] : [key]));
    if (added.length > MAX_KEYS_REPORTED) return emit({ type: 'key_set.keys_ignored', issuer, keys: added.length });
    for (const { kid, reason } of added) {
      emit({ type: 'key_set.key_ignored', issuer, kid: kid && printableText(kid), reason });
    }
  }

  #reportFailure(error: unknown): void {
    if (this.#isClosed) return;
    const { issuer, emit } = this.options;
    const problem = problemText(error) ?? 'unknown';
    emit({ type: 'key_set.refresh_failed', issuer, failures: this.#failures, problem });
  }

  #schedule(delayMs: number): void {
    if (this.#isStopped) return;
    this.#cancelTimer = this.options.clock.setTimer(delayMs, () => {
      if (this.#isUsed || this.#warming) void this.#read(this.options.clock.now());
    });
  }
}

function namesOf(keys: readonly UnusableKey[]): ReadonlySet<string> {
  return new Set(keys.flatMap(({ kid }) => (kid === undefined ? [] : [kid])));
}

/** Finds the keys for a header; undefined if a newer set may have them. */
function match(set: VerificationKeys | undefined, { kid, algorithm, tried }: Wanted): KeyLookup | undefined {
  if (!set || set === tried) return undefined;
  const keys = set.candidates(kid, algorithm);
  const areNamed = set.has(kid);
  if (keys.length > 0) return { kind: 'found', keys, set, areNamed };
  // The issuer publishes a key with this identifier, and it does not fit.
  return areNamed ? { kind: 'unknown' } : undefined;
}

/** When keys are read again, and how long they may be used. All times are in milliseconds. */
export interface KeySetSchedule {
  /** Budget of reads that tokens with unknown keys cause. */
  readonly lookUps: LookUpBudget;
  /** Delay after a failed read. Doubles with each further failure, up to `lastRetryMs`. */
  readonly firstRetryMs: number;
  readonly lastRetryMs: number;
  /** How long keys are used beyond their lifetime while they can't be read. */
  readonly maxStaleMs: number;
  /** Timeout of one read. */
  readonly readTimeoutMs: number;
}

/** Limits reads for unknown keys: any caller can make up key identifiers. */
export interface LookUpBudget {
  /** Maximum number of reads in the window. */
  readonly most: number;
  readonly windowMs: number;
  /** Shortest time between the first and the second read of a window. */
  readonly firstGapMs: number;
  /** Shortest time between further reads. */
  readonly gapMs: number;
}

/**
 * Returns how long the next look-up has to wait, in milliseconds.
 *
 * The first gap is short, so that a single stray identifier causes a short delay. The other gaps spread the rest of the
 * budget over the window. So during a flood, a new key waits for the next read 25 s at most, then 15 s.
 *
 * @param agesMs Time since each of the last look-ups, the latest first.
 */
export function lookUpDelayMs(agesMs: readonly number[], { most, windowMs, firstGapMs, gapMs }: LookUpBudget): number {
  const recent = agesMs.filter((age) => age < windowMs);
  const [latest] = recent;
  if (latest === undefined) return 0;
  const gapLeftMs = (recent.length === 1 ? firstGapMs : gapMs) - latest;
  const budgetLeftMs = recent.length < most ? 0 : windowMs - recent[most - 1]!;
  return Math.max(gapLeftMs, budgetLeftMs, 0);
}

export const REMOTE_KEY_SET_SCHEDULE: KeySetSchedule = {
  lookUps: { most: 4, windowMs: 60_000, firstGapMs: 5000, gapMs: 15_000 },
  firstRetryMs: 1000,
  lastRetryMs: 60_000,
  maxStaleMs: 3600_000,
  readTimeoutMs: 5000,
};

/** A file is cheap to read, and causes no load on an issuer. */
export const KEY_FILE_SCHEDULE: KeySetSchedule = {
  ...REMOTE_KEY_SET_SCHEDULE,
  lookUps: { most: 60, windowMs: 60_000, firstGapMs: 1000, gapMs: 1000 },
  lastRetryMs: 10_000,
};

/** The stage of keys in their lifetime. */
type KeySetStage =
  /** Recently read. */
  | 'fresh'
  /** To be read again, while they are used. */
  | 'due'
  /** Beyond their lifetime: used only while they can't be read. */
  | 'stale'
  /** No longer used. */
  | 'dead';

function keySetStage(
  ageMs: number,
  { lifetimeMs, refreshAfterMs }: { readonly lifetimeMs: number; readonly refreshAfterMs: number },
  { maxStaleMs }: KeySetSchedule,
): KeySetStage {
  if (ageMs < refreshAfterMs) return 'fresh';
  if (ageMs < lifetimeMs) return 'due';
  return ageMs < lifetimeMs + maxStaleMs ? 'stale' : 'dead';
}

/**
 * Returns when to read keys again: at 80 % of their lifetime, or up to a tenth earlier, so that the processes of a
 * fleet spread their reads.
 *
 * @param random Uniform in [0, 1).
 */
function refreshAfterMs(lifetimeMs: number, random: number): number {
  return Math.floor(lifetimeMs * 0.8 * (1 - 0.1 * random));
}

/** Returns the delay after consecutive failures: it doubles, and half of it is random. */
function retryDelayMs(failures: number, random: number, { firstRetryMs, lastRetryMs }: KeySetSchedule): number {
  return Math.ceil(doublingDelayMs(firstRetryMs, lastRetryMs, failures - 1) * (1 - 0.5 * random));
}

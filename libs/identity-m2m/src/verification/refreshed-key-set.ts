import { type Clock, doublingDelayMs, elapsedMs, type Instant } from '../foundation/clock.js';
import { untilAborted } from '../foundation/promises.js';
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
  /** From 0 to 1. */
  readonly random: () => number;
  readonly tell: (event: VerificationEvent) => void;
}

/** Most keys of one reading that are told of one by one. */
const MAX_KEYS_TOLD = 10;

interface HeldKeys {
  readonly keys: VerificationKeys;
  readonly readAt: Instant;
  readonly lifetimeMs: number;
  readonly refreshAfterMs: number;
}

/** What a token's header asks for. */
interface Wanted {
  readonly kid: string | undefined;
  readonly algorithm: string;
  readonly tried: VerificationKeys | undefined;
}

/**
 * Keys that are read somewhere, kept, and read again before they are too old, as long as they are in use.
 *
 * There is never more than one read at a time, which all who need it share. Reads that tokens cause by naming keys that
 * are not held have a budget; reads by schedule are not affected by it, and callers whose keys are known never wait for
 * any of them. A name is unknown only where a read that began after the token came has shown so: a caller who gets 401
 * throws a good token away, one who gets 503 brings it again.
 */
export class RefreshedKeySet implements KeySet {
  #held: HeldKeys | undefined;
  #reading: Promise<void> | undefined;
  /** Reads begun so far. */
  #reads = 0;
  #lastRead: Instant | undefined;
  /** The last reads that tokens have caused, the latest first. */
  #lookUps: readonly Instant[] = [];
  /** Whether it was told, since the last read, that a token could not be looked up. */
  #isBarTold = false;
  /** In a row. */
  #failures = 0;
  #retryAfterMs = 0;
  #problem: unknown;
  /** Keys of the last reading that are not used, each once. */
  #unusable: ReadonlyMap<string, UnusableKey> = new Map();
  /** Whether the keys were asked for since the last read: keys that nobody needs are not read again. */
  #isUsed = false;
  #warming: { readonly done: Promise<void>; readonly finish: () => void } | undefined;
  #cancelTimer: (() => void) | undefined;
  #isRetired = false;
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
    const ageMs = elapsedMs(held.readAt, now);
    if (ageMs < held.refreshAfterMs) return held.keys;
    this.#readBehind(now);
    const stage = keySetStage(ageMs, held, this.options.schedule);
    // Keys beyond their lifetime may have been withdrawn: the issuer is asked first, unless it is known not to answer.
    if (stage === 'dead' || (stage === 'stale' && this.#failures === 0)) return undefined;
    return held.keys;
  }

  find(kid: string | undefined, algorithm: string, tried?: VerificationKeys): KeyLookup | Promise<KeyLookup> {
    const now = this.options.clock.now();
    const wanted = { kid, algorithm, tried };
    const reads = this.#reads;
    const found = match(this.current(now), wanted);
    if (found) return found;
    return this.#reading || this.#lookUpDelayMs(now) === 0 ? this.#lookUp(wanted, reads) : this.#barred(now);
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

  retire(): void {
    this.#isRetired = true;
    this.#cancelTimer?.();
  }

  close(): void {
    this.retire();
    this.#isClosed = true;
    this.#abort?.abort(new KeySetError('the verifier was closed'));
  }

  /** @param reads How many reads had begun when the token came. */
  async #lookUp(wanted: Wanted, reads: number): Promise<KeyLookup> {
    if (this.#reading) await this.#reading;
    const found = match(this.#usable(), wanted);
    if (found) return found;
    if (this.#reads === reads) {
      // What was under way began before the token came, and may have missed its key.
      await this.#readForLookUp(this.options.clock.now());
      const late = match(this.#usable(), wanted);
      if (late) return late;
    }
    // While the issuer does not answer, the key may well exist.
    const wasAsked = this.#reads > reads && this.#failures === 0 && this.#held !== undefined;
    return wasAsked ? { kind: 'unknown' } : this.#barred(this.options.clock.now());
  }

  #barred(now: Instant): KeyLookup {
    const retryAfterSeconds = Math.max(Math.ceil(this.#lookUpDelayMs(now) / 1000), 1);
    const { issuer, tell } = this.options;
    if (this.#failures === 0 && !this.#isBarTold && !this.#isClosed) {
      this.#isBarTold = true;
      tell({ type: 'key_set.look_up_deferred', issuer, retryAfterSeconds });
    }
    return { kind: 'unavailable', retryAfterSeconds };
  }

  #usable(): VerificationKeys | undefined {
    const held = this.#held;
    if (!held) return undefined;
    const ageMs = elapsedMs(held.readAt, this.options.clock.now());
    return keySetStage(ageMs, held, this.options.schedule) === 'dead' ? undefined : held.keys;
  }

  #readBehind(now: Instant): void {
    if (this.#reading || (this.#failures > 0 && this.#retryDelayMs(now) > 0)) return;
    void this.#read(now);
  }

  async #readForLookUp(now: Instant): Promise<void> {
    if (this.#reading) return this.#reading;
    if (this.#lookUpDelayMs(now) > 0) return;
    if (this.#held) this.#lookUps = [now, ...this.#lookUps].slice(0, this.options.schedule.lookUps.most);
    await this.#read(now);
  }

  /** How long the issuer can't be asked for a key that is not held. */
  #lookUpDelayMs(now: Instant): number {
    if (this.#failures > 0) return this.#retryDelayMs(now);
    if (!this.#held) return 0;
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
    this.#isBarTold = false;
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
      this.#problem = error;
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
    this.#tellUnusable(content.unusable);
    // An issuer that signs tokens has a key: a set without one is a bad answer like any other, and empties nothing.
    if (content.keys.length === 0) throw new KeySetError(`the key set of ${issuer} holds no key that can be used`);
    const isSame =
      before?.list.length === content.keys.length && content.keys.every((key, index) => key === before.list[index]);
    const unused = namesOf(content.unusable);
    const hasSameNames =
      before && unused.size === before.unused.size && [...unused].every((kid) => before.unused.has(kid));
    const keys = isSame && hasSameNames ? before : new VerificationKeys(content.keys, unused);
    this.#held = { keys, readAt, lifetimeMs, refreshAfterMs: refreshAfterMs(lifetimeMs, random()) };
    if (!isSame) tell({ type: 'key_set.changed', issuer, keys: keys.list.length });
    if (this.#failures > 0) tell({ type: 'key_set.recovered', issuer });
    this.#failures = 0;
    this.#problem = undefined;
    this.#warming?.finish();
    this.#warming = undefined;
  }

  #tellUnusable(keys: readonly UnusableKey[]): void {
    const { issuer, tell } = this.options;
    const told = this.#unusable;
    this.#unusable = new Map(keys.map((key) => [JSON.stringify([key.kid, key.reason]), key]));
    const untold = [...this.#unusable].flatMap(([identity, key]) => (told.has(identity) ? [] : [key]));
    if (untold.length > MAX_KEYS_TOLD) return tell({ type: 'key_set.keys_ignored', issuer, keys: untold.length });
    for (const { kid, reason } of untold) {
      tell({ type: 'key_set.key_ignored', issuer, kid: kid && printableText(kid), reason });
    }
  }

  #tellFailure(error: unknown): void {
    if (this.#isClosed) return;
    const { issuer, tell } = this.options;
    const problem = problemText(error) ?? 'unknown';
    tell({ type: 'key_set.refresh_failed', issuer, failures: this.#failures, problem });
  }

  #schedule(delayMs: number): void {
    if (this.#isRetired) return;
    this.#cancelTimer = this.options.clock.setTimer(delayMs, () => {
      if ((this.#isUsed || this.#warming) && !this.#reading) void this.#read(this.options.clock.now());
    });
  }
}

function namesOf(keys: readonly UnusableKey[]): ReadonlySet<string> {
  return new Set(keys.flatMap(({ kid }) => (kid === undefined ? [] : [kid])));
}

/** What a set has for a header; undefined where a newer set may have it. */
function match(set: VerificationKeys | undefined, { kid, algorithm, tried }: Wanted): KeyLookup | undefined {
  if (!set || set === tried) return undefined;
  const keys = set.candidates(kid, algorithm);
  const areNamed = set.has(kid);
  if (keys.length > 0) return { kind: 'found', keys, set, areNamed };
  // The issuer has said what that key is: none for this.
  return areNamed ? { kind: 'unknown' } : undefined;
}

/** When keys are read again, and how long they may be used. All in milliseconds. */
export interface KeySetSchedule {
  /** Reads that tokens can cause by naming keys that are not held. */
  readonly lookUps: LookUpBudget;
  /** Delay after a read that failed. Doubles up to the last one. */
  readonly firstRetryMs: number;
  readonly lastRetryMs: number;
  /** How long keys are used on beyond their lifetime while they can't be read. */
  readonly maxStaleMs: number;
  /** How long one read may take. */
  readonly readTimeoutMs: number;
}

/** How often an issuer is asked for keys that tokens name: anyone can make up such names. */
export interface LookUpBudget {
  /** Most reads within the window. */
  readonly most: number;
  readonly windowMs: number;
  /** Least time between the first read of a window and the second. */
  readonly firstGapMs: number;
  /** Least time between all further ones. */
  readonly gapMs: number;
}

/**
 * Returns how long the next look-up has to wait, in milliseconds.
 *
 * The first gap is short, so that a single stray name delays nobody for long; the others spread the rest of the budget
 * over the window, so that under a flood a key that is new is never far from the next read: 25 s at most, then 15 s.
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

/** A file costs little to read, and nobody else is asked. */
export const KEY_FILE_SCHEDULE: KeySetSchedule = {
  ...REMOTE_KEY_SET_SCHEDULE,
  lookUps: { most: 60, windowMs: 60_000, firstGapMs: 1000, gapMs: 1000 },
  lastRetryMs: 10_000,
};

/** How far keys have got through their lifetime. */
export type KeySetStage =
  /** As good as just read. */
  | 'fresh'
  /** Due to be read again, while they are used. */
  | 'due'
  /** Beyond their lifetime: only the second best, where they can't be read. */
  | 'stale'
  /** Not to be used. */
  | 'dead';

export function keySetStage(
  ageMs: number,
  { lifetimeMs, refreshAfterMs }: { readonly lifetimeMs: number; readonly refreshAfterMs: number },
  { maxStaleMs }: KeySetSchedule,
): KeySetStage {
  if (ageMs < refreshAfterMs) return 'fresh';
  if (ageMs < lifetimeMs) return 'due';
  return ageMs < lifetimeMs + maxStaleMs ? 'stale' : 'dead';
}

/**
 * When to read keys again: at 80 % of their lifetime, or up to a tenth earlier, so that the processes of a fleet do not
 * come all at once.
 *
 * @param random From 0 to 1.
 */
export function refreshAfterMs(lifetimeMs: number, random: number): number {
  return Math.floor(lifetimeMs * 0.8 * (1 - 0.1 * random));
}

/** How long to wait after failures in a row: doubling, the latter half of each delay by chance. */
export function retryDelayMs(failures: number, random: number, { firstRetryMs, lastRetryMs }: KeySetSchedule): number {
  return Math.ceil(doublingDelayMs(firstRetryMs, lastRetryMs, failures - 1) * (1 - 0.5 * random));
}

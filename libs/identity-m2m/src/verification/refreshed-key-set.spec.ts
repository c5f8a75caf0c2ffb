import { generateKeyPairSync } from 'node:crypto';
import { beforeEach, describe, expect, it, test } from '@jest/globals';
import fc from 'fast-check';
import { ManualClock } from '../testing/manual-clock.js';
import type { VerificationKeys } from './key-set.js';
import { type KeyDocument, KeySetError, type KeySource } from './key-source.js';
import { KEY_FILE_SCHEDULE, lookUpDelayMs, RefreshedKeySet, REMOTE_KEY_SET_SCHEDULE } from './refreshed-key-set.js';
import type { VerificationEvent } from './verification-events.js';

const START = new Date('2030-01-01T00:00:00Z');
const HOUR = 3600_000;
const issuer = 'https://id.example';
const publicKey = (kid?: string) => ({
  ...generateKeyPairSync('ed25519').publicKey.export({ format: 'jwk' }),
  ...(kid !== undefined && { kid }),
});
const [one, two, three] = ['one', 'two', 'three'].map(publicKey);
const hmac = (kid?: string) => ({ kty: 'oct', k: 'c2VjcmV0', kid });

/** What an issuer publishes, which a test can change, hold up and make fail. */
class Publication implements KeySource {
  keys: unknown = [one];
  lifetimeMs = 600_000;
  /** A list of one: what a read throws. */
  failure: readonly unknown[] = [];
  /** When each read began. */
  readonly reads: number[] = [];
  readonly signals: AbortSignal[] = [];
  #held: Promise<void> | undefined;

  /** Holds up reads until the returned function is called. */
  hold(): () => void {
    const { promise, release } = gate();
    this.#held = promise;
    return () => {
      this.#held = undefined;
      release();
    };
  }

  async read(signal: AbortSignal): Promise<KeyDocument> {
    this.reads.push(clock.now().wallMs - START.getTime());
    this.signals.push(signal);
    const { keys, lifetimeMs, failure } = this;
    await this.#held;
    if (failure.length > 0) throw failure[0];
    return { document: { keys }, lifetimeMs };
  }
}

function gate() {
  let release = () => {};
  const promise = new Promise<void>((resolve) => (release = resolve));
  return { promise, release };
}

let clock: ManualClock;
let source: Publication;
let random: number;
let events: VerificationEvent[];
let set: RefreshedKeySet;

beforeEach(() => {
  clock = new ManualClock(START);
  source = new Publication();
  random = 0;
  events = [];
  set = new RefreshedKeySet({
    issuer,
    source,
    schedule: REMOTE_KEY_SET_SCHEDULE,
    clock,
    random: () => random,
    emit: (event) => events.push(event),
  });
});

const settle = () => clock.advance(0);
const warm = () => set.warmUp().then(settle);
const current = () => set.current(clock.now());
/** What a token with a header gets: keys, nothing, or the time to come again. */
async function ask(kid: string | undefined, tried?: VerificationKeys): Promise<string> {
  const found = await set.find(kid, 'EdDSA', tried);
  if (found.kind === 'found') return found.keys.map((key) => key.kid).join(' ');
  return found.kind === 'unknown' ? 'unknown' : `in ${found.retryAfterSeconds} s`;
}
/** Has the keys read again, as a token does when they are due. */
async function refresh(): Promise<void> {
  clock.suspend(480_000);
  current();
  await settle();
}
const fail = (failure = new KeySetError('down')) => (source.failure = [failure]);
const recover = () => (source.failure = []);
const of = (type: VerificationEvent['type']) => events.filter((event) => event.type === type);

describe('the schedules of key sets', () => {
  it('spare an issuer, and read a file more often', () => {
    const remote = { firstRetryMs: 1000, lastRetryMs: 60_000, maxStaleMs: HOUR, readTimeoutMs: 5000 };
    expect(REMOTE_KEY_SET_SCHEDULE).toEqual({
      ...remote,
      lookUps: { most: 4, windowMs: 60_000, firstGapMs: 5000, gapMs: 15_000 },
    });
    expect(KEY_FILE_SCHEDULE).toEqual({
      ...remote,
      lastRetryMs: 10_000,
      lookUps: { most: 60, windowMs: 60_000, firstGapMs: 1000, gapMs: 1000 },
    });
  });

  const budget = { most: 3, windowMs: 100, firstGapMs: 10, gapMs: 20 };
  test.each<[readonly number[], number]>([
    [[], 0],
    [[0], 10],
    [[9], 1],
    [[10], 0],
    [[11], 0],
    [[100], 0],
    [[0, 99], 20],
    [[0, 100], 10],
    [[5, 30], 15],
    [[19, 30], 1],
    [[20, 40], 0],
    [[30, 60, 90], 10],
    [[5, 60, 90], 15],
    [[5, 60, 80], 20],
    [[30, 60, 99], 1],
    [[30, 60, 100], 0],
    [[30, 40, 50, 90], 50],
  ])('after look-ups %j ms ago, the next one waits %i ms', (agesMs, expected) => {
    expect(lookUpDelayMs(agesMs, budget)).toBe(expected);
  });

  it('let the next look-up in after the wait, which is never longer than the window', () => {
    const ages = fc.array(fc.integer({ min: 0, max: 120 }), { maxLength: 6 });
    fc.assert(
      fc.property(ages, (unsorted) => {
        const agesMs = unsorted.toSorted((a, b) => a - b);
        const delayMs = lookUpDelayMs(agesMs, budget);
        expect(delayMs).toBeGreaterThanOrEqual(0);
        expect(delayMs).toBeLessThanOrEqual(100);
        const later = agesMs.map((age) => age + delayMs);
        expect(lookUpDelayMs(later, budget)).toBe(0);
      }),
    );
  });
});

describe('keys that are held', () => {
  beforeEach(() => warm());

  it('are found at once, by the identifier or without one', () => {
    const found = { kind: 'found', keys: current()!.list, set: current() };
    expect(set.find('one', 'EdDSA')).toEqual({ ...found, areNamed: true });
    expect(set.find(undefined, 'EdDSA')).toEqual({ ...found, areNamed: false });
    expect(source.reads).toEqual([0]);
  });

  test.each<[number, number]>([
    [0, 480_000],
    [0.5, 456_000],
    [1, 432_000],
  ])('with a random number of %f are read again after %i ms, and used meanwhile', async (number, dueMs) => {
    random = number;
    await refresh();
    const keys = current();
    clock.suspend(dueMs - 1);
    expect(current()).toBe(keys);
    expect(source.reads).toHaveLength(2);
    clock.suspend(1);
    for (let call = 0; call < 3; call++) expect(current()).toBe(keys);
    expect(source.reads).toHaveLength(3);
  });

  it('are never read later than a whole number of milliseconds allows', async () => {
    source.lifetimeMs = 600_001;
    await refresh();
    clock.suspend(480_000);
    current();
    expect(source.reads).toHaveLength(3);
  });

  it('are read again by a timer where they were used, and only then', async () => {
    expect(clock.pendingTimers).toBe(1);
    current();
    await clock.advance(479_999);
    expect(source.reads).toEqual([0]);
    await clock.advance(1);
    expect(source.reads).toEqual([0, 480_000]);
    expect(clock.pendingTimers).toBe(1);
    await clock.advance(10 * HOUR);
    expect(source.reads).toEqual([0, 480_000]);
    expect(clock.pendingTimers).toBe(0);
  });

  it('have one timer, however often they were read', async () => {
    for (let read = 0; read < 3; read++) await refresh();
    expect(source.reads).toHaveLength(4);
    expect(clock.pendingTimers).toBe(1);
  });

  it('age from the start of the read', async () => {
    const release = source.hold();
    await refresh();
    await clock.advance(3000);
    release();
    await settle();
    clock.suspend(476_999);
    current();
    expect(source.reads).toHaveLength(2);
    clock.suspend(1);
    current();
    expect(source.reads).toHaveLength(3);
  });

  it('are used until the end of their lifetime, and then read first', () => {
    const keys = current();
    source.hold();
    clock.suspend(599_999);
    expect(current()).toBe(keys);
    clock.suspend(1);
    expect(current()).toBeUndefined();
    expect(source.reads).toHaveLength(2);
  });

  it('are used for an hour more while they can’t be read', async () => {
    const keys = current();
    fail();
    await refresh();
    for (const ms of [120_000, HOUR - 1]) {
      clock.suspend(ms);
      expect(current()).toBe(keys);
      await settle();
    }
    clock.suspend(1);
    expect(current()).toBeUndefined();
  });

  test.each<[number, string]>([
    [600_000, 'one'],
    [599_999 + HOUR, 'one'],
    [600_000 + HOUR, 'in 1 s'],
  ])('answer a token where a read after %i ms fails: %s', async (ageMs, expected) => {
    fail();
    clock.suspend(ageMs);
    expect(await ask('one')).toBe(expected);
    expect(source.reads).toHaveLength(2);
  });

  it('are not requested where the issuer publishes an unused key of that name', async () => {
    source.keys = [one, hmac('shared')];
    await refresh();
    expect(set.find('shared', 'EdDSA')).toEqual({ kind: 'unknown' });
    expect(source.reads).toHaveLength(2);
  });

  it('are replaced where they were tried, by a newer set alone', async () => {
    const tried = current();
    expect(await ask('one', tried)).toBe('unknown');
    expect(source.reads).toHaveLength(2);
    source.keys = [publicKey('one')];
    clock.suspend(5000);
    expect(await ask('one', tried)).toBe('one');
    expect(source.reads).toHaveLength(3);
  });
});

describe('a look-up of an unknown key', () => {
  it('starts at once, and does not count where no key is held', async () => {
    const asked = ask('one');
    expect(source.reads).toEqual([0]);
    expect(await asked).toBe('one');
    expect(await ask('other')).toBe('unknown');
    expect(await ask('other')).toBe('in 5 s');
    expect(source.reads).toEqual([0, 0]);
  });

  it('has a budget of four reads a minute', async () => {
    await warm();
    const steps: readonly (readonly [atMs: number, outcome: string])[] = [
      [0, 'unknown'],
      [0, 'in 5 s'],
      [3999, 'in 2 s'],
      [4999, 'in 1 s'],
      [5000, 'unknown'],
      [5000, 'in 15 s'],
      [19_999, 'in 1 s'],
      [20_000, 'unknown'],
      [35_000, 'unknown'],
      [50_000, 'in 10 s'],
      [59_999, 'in 1 s'],
      [60_000, 'unknown'],
      [75_000, 'unknown'],
    ];
    let now = 0;
    for (const [atMs, expected] of steps) {
      clock.suspend(atMs - now);
      now = atMs;
      expect(`${atMs}: ${await ask('other')}`).toBe(`${atMs}: ${expected}`);
    }
    expect(source.reads).toEqual([0, 0, 5000, 20_000, 35_000, 60_000, 75_000]);
  });

  it('is reported as deferred once until the next read', async () => {
    await warm();
    for (let call = 0; call < 4; call++) await ask('other');
    const deferral = { type: 'key_set.look_up_deferred', issuer };
    expect(of('key_set.look_up_deferred')).toEqual([{ ...deferral, retryAfterSeconds: 5 }]);
    clock.suspend(5000);
    for (let call = 0; call < 4; call++) await ask('other');
    expect(of('key_set.look_up_deferred')).toEqual([
      { ...deferral, retryAfterSeconds: 5 },
      { ...deferral, retryAfterSeconds: 15 },
    ]);
  });

  it('finds a new key, and shares one read that began with it', async () => {
    await warm();
    source.keys = [one, two];
    const asked = [ask('two'), ask('two'), ask('other')];
    expect(source.reads).toHaveLength(2);
    expect(await Promise.all(asked)).toEqual(['two', 'two', 'in 5 s']);
    expect(source.reads).toHaveLength(2);
  });

  it('is deferred without a promise, so that a flood of them costs little', async () => {
    await warm();
    await ask('other');
    expect(set.find('other', 'EdDSA')).toEqual({ kind: 'unavailable', retryAfterSeconds: 5 });
  });

  it('is answered by the scheduled read that it starts, and causes no other', async () => {
    await warm();
    clock.suspend(480_000);
    expect(await ask('other')).toBe('unknown');
    expect(source.reads).toHaveLength(2);
    expect(await ask('other')).toBe('unknown');
    expect(source.reads).toHaveLength(3);
  });

  it('is answered by a read that began after it', async () => {
    await warm();
    const release = source.hold();
    await refresh();
    source.keys = [one, two];
    const asked = ask('two');
    expect(source.reads).toHaveLength(2);
    release();
    expect(await asked).toBe('two');
    expect(source.reads).toHaveLength(3);
  });

  it('is answered by the same later read for all tokens that waited', async () => {
    await warm();
    const release = source.hold();
    await refresh();
    source.keys = [one, two];
    const asked = [ask('two'), ask('two'), ask('other')];
    release();
    expect(await Promise.all(asked)).toEqual(['two', 'two', 'unknown']);
    expect(source.reads).toHaveLength(3);
  });

  it('is answered by the read under way where that has its key', async () => {
    await warm();
    const release = source.hold();
    source.keys = [one, two];
    await refresh();
    const asked = ask('two');
    release();
    expect(await asked).toBe('two');
    expect(source.reads).toHaveLength(2);
  });

  it('waits for a retry while the keys can’t be read, and is not reported', async () => {
    fail();
    const steps: readonly (readonly [passedMs: number, outcome: string, reads: number])[] = [
      [0, 'in 1 s', 1],
      [999, 'in 1 s', 1],
      [1, 'in 2 s', 2],
      [500, 'in 2 s', 2],
      [1000, 'in 1 s', 2],
      [100_000, 'in 4 s', 3],
    ];
    for (const [passedMs, outcome, reads] of steps) {
      clock.suspend(passedMs);
      expect([await ask('one'), source.reads.length]).toEqual([outcome, reads]);
    }
    expect(of('key_set.look_up_deferred')).toEqual([]);
  });
});

describe('keys that can’t be read', () => {
  test.each<[number, readonly number[]]>([
    [0, [0, 1000, 3000, 7000, 15_000, 31_000, 63_000, 123_000, 183_000]],
    [0.5, [0, 750, 2250, 5250, 11_250, 23_250, 47_250, 92_250, 137_250]],
    [1, [0, 500, 1500, 3500, 7500, 15_500, 31_500, 61_500, 91_500]],
  ])('are tried again for a start, with a random number of %f, at %j ms', async (number, reads) => {
    random = number;
    fail();
    void set.warmUp();
    await clock.advance(reads.at(-1)!);
    expect(source.reads).toEqual(reads);
  });

  it('are never tried earlier than a whole number of milliseconds allows', async () => {
    random = 0.3337;
    fail();
    void set.warmUp();
    await clock.advance(833);
    expect(source.reads).toEqual([0]);
    await clock.advance(1);
    expect(source.reads).toEqual([0, 834]);
  });

  it('are tried again in the background when a retry is due', async () => {
    await warm();
    fail();
    await refresh();
    for (const [passedMs, reads] of [
      [999, 2],
      [1, 3],
      [1999, 3],
      [1, 4],
    ] as const) {
      clock.suspend(passedMs);
      current();
      await settle();
      expect(source.reads).toHaveLength(reads);
    }
  });

  it('are reported with each failure, and once when they can be read again', async () => {
    const problem = new KeySetError('down');
    fail(problem);
    const ready = set.warmUp();
    await clock.advance(1000);
    expect(set.problem).toBe(problem);
    recover();
    await clock.advance(2000);
    await ready;
    expect(set.problem).toBeUndefined();
    await refresh();
    expect(events).toEqual([
      { type: 'key_set.refresh_failed', issuer, failures: 1, problem: 'down' },
      { type: 'key_set.refresh_failed', issuer, failures: 2, problem: 'down' },
      { type: 'key_set.changed', issuer, keys: 1 },
      { type: 'key_set.recovered', issuer },
    ]);
  });

  it('are reported also where the source throws no error', async () => {
    source.failure = [undefined];
    await ask('one');
    expect(events).toEqual([{ type: 'key_set.refresh_failed', issuer, failures: 1, problem: 'unknown' }]);
  });

  it('have no wait left of failures once they can be read again', async () => {
    fail();
    const ready = set.warmUp();
    await clock.advance(63_000);
    recover();
    source.lifetimeMs = 60_000;
    await clock.advance(60_000);
    await ready;
    const before = source.reads.length;
    expect(await ask('other')).toBe('unknown');
    expect(source.reads).toHaveLength(before + 1);
    clock.suspend(48_000);
    fail();
    current();
    await settle();
    expect(source.reads).toHaveLength(before + 2);
    expect(await ask('other')).toBe('in 1 s');
    expect(of('key_set.refresh_failed').at(-1)).toMatchObject({ failures: 1 });
  });

  it('are given up after 5 s without an answer', async () => {
    source.hold();
    const asked = ask('one');
    await clock.advance(4999);
    expect([set.problem, source.signals[0]!.aborted]).toEqual([undefined, false]);
    await clock.advance(1);
    expect(await asked).toBe('in 1 s');
    expect(set.problem).toEqual(new KeySetError('no response within 5000 ms'));
    expect(source.signals[0]!.reason).toBe(set.problem);
    expect(clock.pendingTimers).toBe(1);
  });

  test.each<[string, unknown, string]>([
    ['no list', undefined, 'has no list of keys'],
    ['a string', 'one', 'has no list of keys'],
    ['an empty list', [], 'has no usable key'],
    ['no usable key', [hmac('shared')], 'has no usable key'],
  ])('stay as they were where the answer has %s', async (_name, keys, problem) => {
    await warm();
    const held = current();
    source.keys = keys;
    await refresh();
    expect(current()).toBe(held);
    expect(set.problem).toEqual(new KeySetError(`the key set of https://id.example ${problem}`));
    expect(of('key_set.key_ignored')).toHaveLength(
      problem.endsWith('usable key') && keys !== undefined ? (keys as []).length : 0,
    );
  });
});

describe('keys that were read again', () => {
  test.each<[string, unknown[], unknown[], boolean, number | undefined]>([
    ['the same', [one, two], [one, two], true, undefined],
    ['the same in another order', [one, two], [two, one], false, 2],
    ['one less', [one, two], [one], false, 1],
    ['one more', [one, two], [one, two, three], false, 3],
    ['another one', [one, two], [one, three], false, 2],
    ['the same beside a new unused one', [one], [one, hmac('a')], false, undefined],
    ['the same beside another unused one', [one, hmac('a')], [one, hmac('b')], false, undefined],
    ['the same beside one unused one less', [one, hmac('a'), hmac('b')], [one, hmac('a')], false, undefined],
    [
      'the same beside unused ones in another order',
      [one, hmac('a'), hmac('b')],
      [one, hmac('b'), hmac('a')],
      true,
      undefined,
    ],
    ['the same without an unused one that has no name', [one, hmac()], [one], true, undefined],
  ])('are a set: %s', async (_name, before, after, isSame, changed) => {
    source.keys = before;
    await warm();
    const held = current();
    events.length = 0;
    source.keys = after;
    await refresh();
    expect(source.reads).toHaveLength(2);
    expect(current() === held).toBe(isSame);
    const unused = after.filter((key) => (key as { kty: string }).kty === 'oct');
    expect(unused.every((key) => current()!.has((key as { kid: string }).kid))).toBe(true);
    const expected = changed === undefined ? [] : [{ type: 'key_set.changed', issuer, keys: changed }];
    expect(of('key_set.changed')).toEqual(expected);
  });
});

describe('keys that are not used', () => {
  const read = async (...keys: unknown[]) => {
    events.length = 0;
    source.keys = [one, ...keys];
    await refresh();
    return events.filter(({ type }) => type !== 'key_set.changed');
  };
  const ignored = (kid: string | undefined, reason = 'symmetric') => ({
    type: 'key_set.key_ignored',
    issuer,
    kid,
    reason,
  });
  const many = (size: number, name = 'k') => Array.from({ length: size }, (_, index) => hmac(`${name}${index}`));

  it('are reported once, and again where they come back or are unusable for another reason', async () => {
    await warm();
    expect(await read(hmac('a'), null, hmac('a'))).toEqual([ignored('a'), ignored(undefined, 'malformed')]);
    expect(await read(hmac('a'), null, hmac('b'))).toEqual([ignored('b')]);
    expect(await read({ ...three, kid: 'a', use: 'enc' })).toEqual([ignored('a', 'not_for_signatures')]);
    expect(await read(hmac('a'))).toEqual([ignored('a')]);
    expect(await read(hmac('naïve'))).toEqual([ignored('na?ve')]);
  });

  it('are reported one by one up to ten, and as a number beyond', async () => {
    await warm();
    expect(await read(...many(10))).toHaveLength(10);
    expect(await read(...many(10), ...many(10, 'other'))).toHaveLength(10);
    expect(await read(...many(11, 'new'))).toEqual([{ type: 'key_set.keys_ignored', issuer, keys: 11 }]);
    expect(await read(...many(11, 'new'))).toEqual([]);
  });
});

describe('a key set at its start and its end', () => {
  it('is warm once it holds keys, and reads them once', async () => {
    const release = source.hold();
    const started = [set.warmUp(), set.warmUp()];
    expect(started[0]).toBe(started[1]);
    expect(source.reads).toHaveLength(1);
    release();
    await Promise.all(started);
    await set.warmUp();
    await clock.advance(HOUR);
    expect(source.reads).toHaveLength(1);
  });

  it('is warmed by a read that a token caused', async () => {
    const release = source.hold();
    const asked = ask('one');
    const warm = set.warmUp();
    expect(source.reads).toHaveLength(1);
    release();
    await Promise.all([asked, warm]);
    expect(source.reads).toHaveLength(1);
  });

  it('serves callers once it refreshes no more, and finishes a read under way', async () => {
    const release = source.hold();
    const asked = ask('one');
    set.stopRefreshing();
    release();
    expect(await asked).toBe('one');
    await settle();
    expect(clock.pendingTimers).toBe(0);
    await refresh();
    expect(source.reads).toHaveLength(2);
    expect(clock.pendingTimers).toBe(0);
  });

  it('cancels its timer once it refreshes no more', async () => {
    await warm();
    set.stopRefreshing();
    expect(clock.pendingTimers).toBe(0);
  });

  it('may be closed before it has read anything', async () => {
    set.close();
    expect([await ask('one'), current()]).toEqual(['in 1 s', undefined]);
    expect([source.reads, events, clock.pendingTimers]).toEqual([[], [], 0]);
  });

  it('ends the read under way once it is closed, and reports nothing', async () => {
    const asked = ask('one');
    let isWarm = false;
    void set.warmUp().then(() => (isWarm = true));
    set.close();
    expect(source.signals[0]!.reason).toEqual(new KeySetError('the verifier was closed'));
    expect(await asked).toBe('in 1 s');
    await clock.advance(HOUR);
    expect(await ask('other')).toBe('in 1 s');
    expect([isWarm, source.reads.length, clock.pendingTimers, events]).toEqual([false, 1, 0, []]);
  });

  it('reads nothing once it is closed, and knows the keys that it held', async () => {
    await warm();
    set.close();
    events.length = 0;
    expect(await ask('one')).toBe('one');
    expect(await ask('other')).toBe('in 5 s');
    await refresh();
    expect([source.reads.length, clock.pendingTimers, events]).toEqual([1, 0, []]);
  });
});

import { beforeEach, describe, expect, it, test } from '@jest/globals';
import { IdentityM2MError } from '../foundation/identity-m2m-error.js';
import { RFC_9068 } from '../identity-providers/identity-provider.js';
import { ManualClock } from '../testing/manual-clock.js';
import type { KeySet } from './key-set.js';
import { type IssuerResolution, ResolvedIssuers } from './resolved-issuers.js';
import type { TrustedIssuer } from './trusted-issuer.js';
import type { VerificationEvent } from './verification-events.js';

const HOLD_MS = 100_000;

/** Keys of an issuer, which remember how their use has ended. */
class Keys implements KeySet {
  readonly problem = undefined;
  readonly ends: string[] = [];

  constructor(readonly source: unknown) {
    made.push(this);
  }

  current(): undefined {}
  find(): { kind: 'unknown' } {
    return { kind: 'unknown' };
  }
  async warmUp(): Promise<void> {}
  stopRefreshing(): void {
    this.ends.push('stopped');
  }
  close(): void {
    this.ends.push('closed');
  }
}

class BadAnswerError extends IdentityM2MError {
  readonly code = 'BAD_ANSWER';
}

let clock: ManualClock;
let events: VerificationEvent[];
/** Names that the resolver was called with. */
let calls: string[];
let signals: AbortSignal[];
let made: Keys[];
let resolve: (issuer: string) => unknown;
let issuers: ResolvedIssuers;

function create(maxIssuers = 1000): ResolvedIssuers {
  return new ResolvedIssuers({
    resolve: (issuer, signal) => {
      calls.push(issuer);
      signals.push(signal);
      return resolve(issuer);
    },
    trust: (issuer, source, before): TrustedIssuer => {
      if (source === 'bad') throw new BadAnswerError('the answer is bad');
      const held = before?.keys as Keys | undefined;
      return {
        issuer,
        policy: { audiences: [], clockToleranceSeconds: 0, maxTokenLifetimeSeconds: undefined, profile: RFC_9068 },
        keys: held && held.source === source ? held : new Keys(source),
        clients: undefined,
        fetchesKeysEarly: false,
        isResolved: true,
      };
    },
    maxIssuers,
    holdMs: HOLD_MS,
    clock,
    emit: (event) => events.push(event),
  });
}

beforeEach(() => {
  clock = new ManualClock();
  events = [];
  calls = [];
  signals = [];
  made = [];
  resolve = () => 'keys';
  issuers = create();
});

function gate() {
  let release = () => {};
  const promise = new Promise<void>((done) => (release = done));
  return { promise, release };
}
const fail = () => {
  throw new Error('down');
};
const settle = () => clock.advance(0);
const name = (index: number) => `https://id-${index}.example`;
const text = (resolution: IssuerResolution) =>
  resolution.kind === 'unavailable' ? `in ${resolution.retryAfterSeconds} s` : resolution.kind;
const ask = async (issuer = 'a') => text(await issuers.find(issuer));
/** What is known at once. */
function known(issuer = 'a'): string {
  const found = issuers.find(issuer);
  return found instanceof Promise ? 'asked' : text(found);
}
async function trusted(issuer = 'a'): Promise<TrustedIssuer> {
  const found = await issuers.find(issuer);
  if (found.kind !== 'accepted') throw new Error(found.kind);
  return found.issuer;
}
const prove = async (issuer = 'a') => issuers.markProven(await trusted(issuer));
const types = () => events.map(({ type }) => type);

describe('an issuer that the resolver accepts', () => {
  it('is resolved once for all tokens that wait, and then known without a promise', async () => {
    const [first, second] = [issuers.find('a'), issuers.find('a')];
    expect(first).toBe(second);
    expect(await first).toEqual({ kind: 'accepted', issuer: await trusted() });
    expect(known()).toBe('accepted');
    expect(calls).toEqual(['a']);
    expect(events).toEqual([{ type: 'issuer.accepted', issuer: 'a' }]);
    expect(signals[0]!.aborted).toBe(false);
    expect(clock.pendingTimers).toBe(0);
  });

  it('is accepted by any answer but none, of a promise or not', async () => {
    for (const answer of ['keys', false, 0, '', {}, Promise.resolve('keys')]) {
      issuers = create();
      resolve = () => answer;
      expect([answer, await ask()]).toEqual([answer, 'accepted']);
    }
  });

  it('is reported in one line of ASCII', async () => {
    await ask('na\u00efve\n');
    expect(events).toEqual([{ type: 'issuer.accepted', issuer: 'na?ve?' }]);
  });

  it('is accepted only as long as it is held, and as the object that is held', async () => {
    const issuer = await trusted();
    expect(issuers.accepts(issuer)).toBe(true);
    expect(issuers.accepts({ ...issuer })).toBe(false);
    expect(issuers.accepts({ ...issuer, issuer: 'b' })).toBe(false);
    clock.suspend(HOLD_MS - 1);
    expect(issuers.accepts(issuer)).toBe(true);
    clock.suspend(1);
    expect(issuers.accepts(issuer)).toBe(false);
  });

  it('is resolved again at the end, before its tokens are decided', async () => {
    await ask();
    clock.suspend(HOLD_MS);
    expect(known()).toBe('asked');
    await settle();
    expect(calls).toHaveLength(2);
    expect(known()).toBe('accepted');
  });

  test.each([
    { way: 'a token', use: () => void issuers.find('a') },
    { way: 'a known token', use: (issuer: TrustedIssuer) => void issuers.accepts(issuer) },
  ])('is renewed in the background by $way, once from 80 % of its time on', async ({ use }) => {
    const issuer = await trusted();
    clock.suspend(HOLD_MS * 0.8 - 1);
    use(issuer);
    expect(calls).toHaveLength(1);
    clock.suspend(1);
    const { promise, release } = gate();
    resolve = () => promise.then(() => 'keys');
    for (let call = 0; call < 3; call++) use(issuer);
    expect(known()).toBe('accepted');
    expect(calls).toHaveLength(2);
    release();
    await settle();
    expect(types()).toEqual(['issuer.accepted']);
    clock.suspend(HOLD_MS * 0.8 - 1);
    expect(known()).toBe('accepted');
    expect(calls).toHaveLength(2);
  });

  it('is held from the moment that the resolver was called', async () => {
    const { promise, release } = gate();
    resolve = () => promise.then(() => 'keys');
    const asked = ask();
    await clock.advance(4000);
    release();
    expect(await asked).toBe('accepted');
    resolve = () => gate().promise;
    clock.suspend(HOLD_MS - 4001);
    expect(known()).toBe('accepted');
    clock.suspend(1);
    expect(known()).toBe('asked');
  });

  it('keeps its keys on renewal where their source is the same', async () => {
    const { keys } = await trusted();
    clock.suspend(HOLD_MS);
    const renewed = await trusted();
    expect(renewed.keys).toBe(keys);
    expect(made).toHaveLength(1);
    expect(made[0]!.ends).toEqual([]);
  });

  it('gives up the keys that are replaced, and no others', async () => {
    const before = await trusted();
    clock.suspend(HOLD_MS);
    resolve = () => 'new keys';
    const after = await trusted();
    expect(made.map(({ source, ends }) => [source, ends])).toEqual([
      ['keys', ['stopped']],
      ['new keys', []],
    ]);
    expect([issuers.accepts(before), issuers.accepts(after)]).toEqual([false, true]);
  });
});

describe('an issuer that the resolver denies', () => {
  test.each([undefined, null, Promise.resolve()])('is denied for 30 s by %p', async (answer) => {
    resolve = () => answer;
    expect(await ask('na\u00efve')).toBe('denied');
    expect(events).toEqual([{ type: 'issuer.denied', issuer: 'na?ve' }]);
    clock.suspend(29_999);
    expect(known('na\u00efve')).toBe('denied');
    clock.suspend(1);
    expect(known('na\u00efve')).toBe('asked');
    expect(calls).toHaveLength(2);
  });

  test.each([false, true])('is forgotten with its keys where it was accepted (proven: %s)', async (isProven) => {
    const issuer = await trusted();
    if (isProven) issuers.markProven(issuer);
    resolve = () => undefined;
    clock.suspend(HOLD_MS * 0.8);
    expect(known()).toBe('accepted');
    await settle();
    expect([known(), issuers.accepts(issuer)]).toEqual(['denied', false]);
    expect(made[0]!.ends).toEqual(['stopped']);
    expect(types()).toEqual(['issuer.accepted', 'issuer.denied']);
  });

  it('may be accepted after its time, and is then held as any other', async () => {
    resolve = () => undefined;
    await ask();
    resolve = () => 'keys';
    clock.suspend(30_000);
    expect(await ask()).toBe('accepted');
    expect(known()).toBe('accepted');
  });
});

describe('an issuer that can’t be resolved', () => {
  it('is tried again after a second, and after twice the time with each failure, up to 30 s', async () => {
    resolve = fail;
    for (const [failures, seconds] of [1, 2, 4, 8, 16, 30, 30].entries()) {
      expect(await ask()).toBe(`in ${seconds} s`);
      expect(calls).toHaveLength(failures + 1);
      clock.suspend(seconds * 1000 - 1);
      expect(known()).toBe('in 1 s');
      clock.suspend(1);
    }
    expect(events.map((event) => 'failures' in event && event.failures)).toEqual([1, 2, 3, 4, 5, 6, 7]);
  });

  it('has the rest of the wait, rounded up', async () => {
    resolve = fail;
    for (const wait of [1000, 2000, 4000]) {
      await ask();
      clock.suspend(wait);
    }
    await ask();
    expect(known()).toBe('in 8 s');
    clock.suspend(1);
    expect(known()).toBe('in 8 s');
    clock.suspend(999);
    expect(known()).toBe('in 7 s');
  });

  test.each<[string, () => unknown, string]>([
    ['an error', fail, 'the resolver threw Error'],
    ['an error of a kind', () => Promise.reject(new TypeError('secret')), 'the resolver threw TypeError'],
    ['a string', () => Promise.reject('secret'), 'the resolver threw string'],
    ['nothing', () => Promise.reject(undefined), 'the resolver threw undefined'],
    ['an error of this library', () => Promise.reject(new BadAnswerError('b\u00e4d')), 'b?d'],
    ['a long error of this library', () => Promise.reject(new BadAnswerError('x'.repeat(401))), `${'x'.repeat(400)}…`],
    ['an answer that is refused', () => 'bad', 'the answer is bad'],
  ])('is reported without the message of the application’s error: %s', async (_name, answer, problem) => {
    resolve = answer;
    expect(await ask('na\u00efve')).toBe('in 1 s');
    expect(events).toEqual([{ type: 'issuer.resolution_failed', issuer: 'na?ve', failures: 1, problem }]);
  });

  it('has no failures left once it was resolved', async () => {
    resolve = fail;
    await ask();
    clock.suspend(1000);
    expect(await ask()).toBe('in 2 s');
    resolve = () => 'keys';
    clock.suspend(2000);
    expect(await ask()).toBe('accepted');
    resolve = fail;
    clock.suspend(HOLD_MS);
    expect(await ask()).toBe('in 1 s');
  });

  it('has no failures left once it was denied', async () => {
    resolve = fail;
    await ask();
    resolve = () => undefined;
    clock.suspend(1000);
    expect(await ask()).toBe('denied');
    resolve = fail;
    clock.suspend(30_000);
    expect(await ask()).toBe('in 1 s');
  });

  it('stays accepted to its end where its renewal fails, and is tried again meanwhile', async () => {
    await ask();
    resolve = fail;
    clock.suspend(HOLD_MS * 0.8);
    for (const [passedMs, count] of [
      [0, 2],
      [999, 2],
      [1, 3],
      [1999, 3],
      [1, 4],
    ] as const) {
      clock.suspend(passedMs);
      expect(known()).toBe('accepted');
      await settle();
      expect(calls).toHaveLength(count);
    }
    clock.suspend(16_999);
    expect(known()).toBe('accepted');
    await settle();
    clock.suspend(1);
    expect(known()).toBe('in 8 s');
  });

  it('is given up after 5 s, and an answer that comes later changes nothing', async () => {
    const { promise, release } = gate();
    resolve = () => promise.then(() => 'keys');
    const asked = ask();
    await clock.advance(4999);
    expect(signals[0]!.aborted).toBe(false);
    await clock.advance(1);
    expect(await asked).toBe('in 1 s');
    expect(signals[0]!.reason).toMatchObject({
      code: 'M2M_ISSUER_RESOLUTION_FAILED',
      message: 'the resolver took longer than 5000 ms',
    });
    expect(events).toMatchObject([{ problem: 'the resolver took longer than 5000 ms' }]);
    release();
    await settle();
    expect([made, types()]).toEqual([[], ['issuer.resolution_failed']]);
  });

  it('is remembered as denied, for the last 1000 issuers', async () => {
    resolve = () => undefined;
    for (let index = 0; index <= 1000; index++) await ask(name(index));
    expect(known(name(1))).toBe('denied');
    expect(known(name(0))).toBe('asked');
  });

  it('takes room by the length of its name', async () => {
    resolve = () => undefined;
    const long = (index: number) => `${index}`.padEnd(10_000, 'x');
    for (let index = 0; index < 13; index++) await ask(long(index));
    expect(Array.from({ length: 13 }, (_, index) => known(long(index)))).toEqual(Array(13).fill('denied'));
    await ask(long(13));
    expect(calls).toHaveLength(14);
    const kept = Array.from({ length: 13 }, (_, index) => known(long(index)));
    expect(kept.filter((one) => one === 'denied')).toHaveLength(12);
  });
});

describe('calls of the resolver', () => {
  /** Issuers whose calls last until the returned function is called. */
  function start(count: number, first = 0): () => Promise<void> {
    const { promise, release } = gate();
    resolve = () => promise.then(() => 'keys');
    for (let index = first; index < first + count; index++) expect(known(name(index))).toBe('asked');
    return async () => {
      release();
      await settle();
    };
  }

  it('are sixteen at a time for new issuers, and others wait', async () => {
    const finish = start(16);
    expect(known('a')).toBe('in 1 s');
    expect(known(name(0))).toBe('asked');
    expect(calls).toHaveLength(16);
    await finish();
    expect(known('a')).toBe('asked');
  });

  it('make room by failing as well', async () => {
    const { promise, release } = gate();
    resolve = () => promise.then(fail);
    for (let index = 0; index < 16; index++) known(name(index));
    expect(known('a')).toBe('in 1 s');
    release();
    await settle();
    expect(known('a')).toBe('asked');
  });

  it('for an accepted issuer are made even so, and take no place', async () => {
    await ask('a');
    await ask('b');
    clock.suspend(HOLD_MS);
    const finish = start(15);
    expect([known('a'), known('b')]).toEqual(['asked', 'asked']);
    expect(known(name(15))).toBe('asked');
    expect(known(name(16))).toBe('in 1 s');
    await finish();
    start(16, 16);
    expect(known(name(32))).toBe('in 1 s');
  });

  it('that are not made are reported once in 10 s', async () => {
    start(16);
    const overloads = () => types().filter((type) => type === 'issuer.resolver_overloaded').length;
    for (const [passedMs, expected] of [
      [0, 1],
      [0, 1],
      [9999, 1],
      [1, 2],
      [9999, 2],
      [1, 3],
    ] as const) {
      clock.suspend(passedMs);
      expect([known('a'), overloads()]).toEqual(['in 1 s', expected]);
    }
  });
});

describe('accepted issuers without a verified token', () => {
  const fill = async (count = 32) => {
    for (let index = 0; index < count; index++) expect(await ask(name(index))).toBe('accepted');
  };
  const kept = () => made.filter(({ ends }) => ends.length === 0).length;

  it('are 32, and a further one is turned away while they are new', async () => {
    await fill();
    clock.suspend(4999);
    expect(await ask('a')).toBe('in 1 s');
    expect(made.at(-1)!.ends).toEqual(['closed']);
    expect(types().slice(32)).toEqual(['issuer.resolver_overloaded']);
    expect(kept()).toBe(32);
    clock.suspend(1);
    expect(await ask('a')).toBe('accepted');
    expect(made[0]!.ends).toEqual(['stopped']);
    expect(kept()).toBe(32);
    expect([known(name(1)), known(name(0))]).toEqual(['accepted', 'asked']);
  });

  it('make room for one at a time, the oldest first', async () => {
    await fill(16);
    clock.suspend(4000);
    for (let index = 16; index < 32; index++) await ask(name(index));
    clock.suspend(1000);
    for (let index = 32; index < 48; index++) expect(await ask(name(index))).toBe('accepted');
    expect(await ask('a')).toBe('in 1 s');
    expect(made.slice(0, 48).map(({ ends }) => ends.length)).toEqual([...Array(16).fill(1), ...Array(32).fill(0)]);
  });

  it('are as old as their first acceptance, whenever they were renewed', async () => {
    await fill();
    clock.suspend(HOLD_MS * 0.8);
    for (let index = 0; index < 32; index++) known(name(index));
    await settle();
    expect(calls).toHaveLength(64);
    expect(await ask('a')).toBe('accepted');
    expect(made[0]!.ends).toEqual(['stopped']);
  });

  it('are renewed where there is no room for another', async () => {
    await fill();
    clock.suspend(HOLD_MS - 1);
    known(name(5));
    await settle();
    clock.suspend(1);
    expect(known(name(5))).toBe('accepted');
    expect(kept()).toBe(32);
  });

  it('give their place up once a token was verified, and are never evicted for one without', async () => {
    await fill();
    await prove(name(0));
    expect(await ask('a')).toBe('accepted');
    clock.suspend(5000);
    for (let index = 100; index < 140; index++) await ask(name(index));
    expect(known(name(0))).toBe('accepted');
    expect(made[0]!.ends).toEqual([]);
    expect(made[1]!.ends).toEqual(['stopped']);
  });

  it('are not proven by a token of an earlier acceptance', async () => {
    await fill();
    const before = await trusted(name(0));
    clock.suspend(HOLD_MS * 0.8);
    known(name(0));
    await settle();
    issuers.markProven(before);
    expect(await ask('a')).toBe('accepted');
    expect(made[0]!.ends).toEqual(['stopped']);
  });
});

describe('accepted issuers with a verified token', () => {
  it('are as many as the options allow, and the one that is evicted is reported', async () => {
    issuers = create(2);
    for (const issuer of ['a', 'b', 'na\u00efve']) await prove(issuer);
    expect(events.filter(({ type }) => type === 'issuer.evicted')).toEqual([{ type: 'issuer.evicted', issuer: 'a' }]);
    expect(made.map(({ ends }) => ends)).toEqual([['stopped'], [], []]);
    await prove('d');
    await prove('e');
    expect(events).toContainEqual({ type: 'issuer.evicted', issuer: 'na?ve' });
  });

  it('are none where they are no longer accepted, and may be proven again and again', async () => {
    const issuer = await trusted();
    resolve = () => undefined;
    clock.suspend(HOLD_MS);
    expect(await ask()).toBe('denied');
    issuers.markProven(issuer);
    expect([known(), issuers.accepts(issuer)]).toEqual(['denied', false]);
    resolve = () => 'keys';
    for (let token = 0; token < 3; token++) await prove('b');
    expect(known('b')).toBe('accepted');
  });

  it('stay proven on renewal', async () => {
    await prove();
    clock.suspend(HOLD_MS);
    await ask();
    clock.suspend(5000);
    for (let index = 0; index < 40; index++) await ask(name(index));
    expect(known()).toBe('accepted');
    expect(made[0]!.ends).toEqual([]);
    expect(types().filter((type) => type === 'issuer.accepted')).toHaveLength(33);
  });
});

describe('resolved issuers that are closed', () => {
  it('end their calls and their keys, and answer nothing', async () => {
    await ask('a');
    await prove('b');
    const { promise, release } = gate();
    resolve = () => promise.then(() => 'keys');
    const asked = ask('c');
    events.length = 0;
    issuers.close();
    expect(signals[2]!.reason).toMatchObject({ message: 'the verifier was closed' });
    expect([signals[0]!.aborted, signals[1]!.aborted]).toEqual([false, false]);
    expect(await asked).toBe('in 1 s');
    release();
    await settle();
    expect(made.map(({ ends }) => ends)).toEqual([['closed'], ['closed']]);
    expect([known('a'), known('d')]).toEqual(['in 1 s', 'in 1 s']);
    expect([events, clock.pendingTimers, calls.length]).toEqual([[], 0, 3]);
  });

  test.each([
    { way: 'answers', answer: 'keys' },
    { way: 'answers with none', answer: undefined },
    { way: 'answers badly', answer: 'bad' },
  ])('leave no keys open and report nothing, at whatever moment the resolver $way', async ({ answer }) => {
    for (let turns = 0; turns < 12; turns++) {
      made = [];
      issuers = create();
      const { promise, release } = gate();
      resolve = () => promise.then(() => answer);
      const asked = ask();
      release();
      for (let turn = 0; turn < turns; turn++) await Promise.resolve();
      events.length = 0;
      issuers.close();
      await asked;
      expect(made.filter(({ ends }) => !ends.includes('closed'))).toEqual([]);
      expect([turns, events]).toEqual([turns, []]);
    }
  });
});

import { describe, expect, it, test } from '@jest/globals';
import type { Clock } from '../foundation/clock.js';
import { ManualClock } from '../testing/manual-clock.js';
import {
  InMemoryRevocations,
  type RevocableToken,
  type Revocation,
  revocationRefusal,
  RevocationsFullError,
  type RevocationStore,
} from './revocation.js';

const issuer = 'https://id.example';
const at = (text: string) => new Date(`2030-01-01T${text}Z`);
const token = (more: Partial<RevocableToken> = {}): RevocableToken => ({
  issuer,
  clientId: 'billing',
  tokenId: 't',
  subject: 's',
  keyId: 'k',
  issuedAtMs: at('12:00:00').getTime(),
  ...more,
});

describe('revocations in memory', () => {
  it('are about what they name, and nothing of the same spelling', () => {
    const revocations = new InMemoryRevocations();
    revocations.revoke({ issuer, tokenId: 'x' });
    expect(revocations.isRevoked(token({ tokenId: 'x' }))).toBe(true);
    for (const other of [
      { subject: 'x' },
      { clientId: 'x' },
      { keyId: 'x' },
      { tokenId: 'x', issuer: 'https://other' },
    ]) {
      expect(revocations.isRevoked(token(other))).toBe(false);
    }
  });

  it('of tokens issued before a time include those without a time of issue', () => {
    const revocations = new InMemoryRevocations();
    revocations.revoke({ issuer, clientId: 'billing', issuedBefore: at('12:00:00.500') });
    expect(revocations.isRevoked(token())).toBe(true);
    expect(revocations.isRevoked(token({ issuedAtMs: at('12:00:01').getTime() }))).toBe(false);
    expect(revocations.isRevoked(token({ issuedAtMs: undefined }))).toBe(true);
    expect(revocations.isRevoked(token({ clientId: 'other' }))).toBe(false);
  });

  it('are never narrowed by another one', () => {
    const revocations = new InMemoryRevocations();
    revocations.revoke({ issuer, clientId: 'billing' });
    revocations.revoke({ issuer, clientId: 'billing', issuedBefore: at('11:00:00'), until: at('11:00:00') });
    expect(revocations.isRevoked(token())).toBe(true);
  });

  it('that are over do not come back with another one about the same', () => {
    const clock = new ManualClock(at('12:00:00'));
    const revocations = new InMemoryRevocations({ clock });
    revocations.revoke({ issuer, clientId: 'billing', until: at('12:01:00') });
    clock.setWallClock(at('13:00:00'));
    revocations.revoke({ issuer, clientId: 'billing', issuedBefore: at('13:00:00') });
    expect(revocations.isRevoked(token())).toBe(true);
    expect(revocations.isRevoked(token({ issuedAtMs: at('13:00:00').getTime() }))).toBe(false);
  });

  it('that end, one of all tokens and one of old ones, do not make an endless one of all', () => {
    const clock = new ManualClock(at('12:00:00'));
    const revocations = new InMemoryRevocations({ clock });
    const [old, young] = [token({ issuedAtMs: at('10:00:00').getTime() }), token()];
    const verdicts = () => [revocations.isRevoked(old), revocations.isRevoked(young)];
    revocations.revoke({ issuer, clientId: 'billing', issuedBefore: at('11:00:00') });
    revocations.revoke({ issuer, clientId: 'billing', until: at('12:01:00') });
    expect(verdicts()).toEqual([true, true]);
    clock.setWallClock(at('12:01:00'));
    expect(verdicts()).toEqual([true, false]);
  });

  it('take a place each, as long as none includes another', () => {
    const revocations = new InMemoryRevocations({ maxEntries: 2, clock: new ManualClock(at('12:00:00')) });
    revocations.revoke({ issuer, clientId: 'billing', issuedBefore: at('11:00:00') });
    revocations.revoke({ issuer, clientId: 'billing', until: at('12:01:00') });
    expect(() => revocations.revoke({ issuer, tokenId: 'a' })).toThrow(RevocationsFullError);
    revocations.revoke({ issuer, clientId: 'billing' });
    revocations.revoke({ issuer, tokenId: 'a' });
    expect(revocations.isRevoked(token({ clientId: 'other', tokenId: 'a' }))).toBe(true);
  });

  it('are refused when there is no room, rather than given up for a new one; those that are over make room', () => {
    const clock = new ManualClock(at('12:00:00'));
    const revocations = new InMemoryRevocations({ maxEntries: 2, clock });
    revocations.revoke({ issuer, tokenId: 'a', until: at('13:00:00') });
    revocations.revoke({ issuer, tokenId: 'b', until: at('14:00:00') });
    expect(() => revocations.revoke({ issuer, tokenId: 'c' })).toThrow(RevocationsFullError);
    revocations.revoke({ issuer, tokenId: 'a', until: at('13:00:00') });
    clock.setWallClock(at('13:00:00'));
    expect(revocations.isRevoked(token({ tokenId: 'a' }))).toBe(false);
    revocations.revoke({ issuer, tokenId: 'c' });
    expect([revocations.isRevoked(token({ tokenId: 'b' })), revocations.isRevoked(token({ tokenId: 'c' }))]).toEqual([
      true,
      true,
    ]);
  });

  test.each<readonly [string, object]>([
    ['nothing', { issuer }],
    ['nobody’s token', { tokenId: 'a' }],
    ['an empty name', { issuer, tokenId: '' }],
    ['a name that is not there', { issuer, clientId: undefined }],
    ['two things at once', { issuer, clientId: 'a', keyId: 'k' }],
    ['a time that is none', { issuer, issuedBefore: new Date('x') }],
    ['an end that is none', { issuer, tokenId: 'a', until: new Date('x') }],
    ['a time that is not there', { issuer, issuedBefore: undefined }],
  ])('are not made of %s', (_name, revocation) => {
    const revocations = new InMemoryRevocations();
    expect(() => revocations.revoke(revocation as Revocation)).toThrow(TypeError);
    expect(revocations.isRevoked(token())).toBe(false);
  });
});

describe('revocations in memory of one criterion', () => {
  const revocations: readonly (readonly [string, Revocation, Partial<RevocableToken>])[] = [
    ['a token', { issuer, tokenId: 't' }, { tokenId: 'x' }],
    ['a client', { issuer, clientId: 'billing' }, { clientId: 'x' }],
    ['a subject', { issuer, subject: 's' }, { subject: 'x' }],
    ['a key', { issuer, keyId: 'k' }, { keyId: 'x' }],
    ['a time', { issuer, issuedBefore: at('12:00:00.001') }, { issuedAtMs: at('12:00:00.001').getTime() }],
  ];

  test.each(revocations)('revoke by %s of its issuer alone', (_name, revocation, other) => {
    const store = new InMemoryRevocations();
    expect(store.isRevoked(token())).toBe(false);
    store.revoke(revocation);
    expect(store.isRevoked(token())).toBe(true);
    expect(store.isRevoked(token(other))).toBe(false);
    expect(store.isRevoked(token({ issuer: `${issuer}/` }))).toBe(false);
  });

  it('revoke all tokens of what they name where they have no time', () => {
    const store = new InMemoryRevocations();
    const withoutTimes: object = { issuer, clientId: 'billing', issuedBefore: undefined, until: undefined };
    store.revoke(withoutTimes as Revocation);
    expect(store.isRevoked(token())).toBe(true);
  });

  it('revoke no token without the claims that they name', () => {
    const store = new InMemoryRevocations();
    for (const name of ['undefined', 'null', issuer]) {
      store.revoke({ issuer, tokenId: name });
      store.revoke({ issuer, subject: name });
      store.revoke({ issuer, keyId: name });
    }
    expect(store.isRevoked(token({ tokenId: undefined, subject: undefined, keyId: undefined }))).toBe(false);
  });

  test.each(revocations)('end at their time: %s', (_name, revocation) => {
    const clock = new ManualClock(at('12:00:00'));
    const store = new InMemoryRevocations({ clock });
    store.revoke({ ...revocation, until: at('13:00:00') });
    clock.setWallClock(at('12:59:59.999'));
    expect(store.isRevoked(token())).toBe(true);
    clock.setWallClock(at('13:00:00'));
    expect(store.isRevoked(token())).toBe(false);
  });

  test.each<[string, Revocation]>([
    ['a client', { issuer, clientId: 'billing', issuedBefore: at('12:00:00') }],
    ['a subject', { issuer, subject: 's', issuedBefore: at('12:00:00') }],
    ['an issuer', { issuer, issuedBefore: at('12:00:00') }],
  ])('take the tokens of %s from before their time', (_name, revocation) => {
    const store = new InMemoryRevocations();
    store.revoke(revocation);
    const verdicts = [at('11:59:59.999').getTime(), at('12:00:00').getTime(), undefined].map((issuedAtMs) =>
      store.isRevoked(token({ issuedAtMs })),
    );
    expect(verdicts).toEqual([true, false, true]);
  });

  test.each<[string, object]>([
    ['an issuer that is no text', { issuer: 1, tokenId: 'a' }],
    ['an empty issuer', { issuer: '', tokenId: 'a' }],
    ['an empty issuer and a time', { issuer: '', issuedBefore: at('12:00:00') }],
    ['a name that is no text', { issuer, keyId: 1 }],
    ['two names', { issuer, tokenId: 'a', subject: 'b' }],
    ['all names', { issuer, tokenId: 'a', clientId: 'b', subject: 'c', keyId: 'd' }],
    ['an end alone', { issuer, until: at('13:00:00') }],
    ['a name and a time that is none', { issuer, clientId: 'a', issuedBefore: new Date('x') }],
  ])('are not made of %s', (_name, revocation) => {
    const message =
      'A revocation needs an issuer, and one of tokenId, clientId, subject, keyId and issuedBefore; its dates must be valid.';
    expect(() => new InMemoryRevocations().revoke(revocation as Revocation)).toThrow(new TypeError(message));
  });
});

describe('the room for revocations in memory', () => {
  const places = (maxEntries: number) => {
    const clock = new ManualClock(at('12:00:00'));
    return { clock, store: new InMemoryRevocations({ maxEntries, clock }) };
  };
  const one = (tokenId: string, until?: Date): Revocation => ({ issuer, tokenId, ...(until && { until }) });

  it('is as many as allowed, and one more fails', () => {
    const { store } = places(2);
    store.revoke(one('a'));
    store.revoke(one('b'));
    expect(() => store.revoke(one('c'))).toThrow(
      new RevocationsFullError(
        'The store is full: 2 revocations are in force. Give each an end (until), or revoke a whole client, key or period instead.',
      ),
    );
    expect(['a', 'b', 'c'].map((tokenId) => store.isRevoked(token({ tokenId })))).toEqual([true, true, false]);
  });

  it('takes what is included in another, however often', () => {
    const { store } = places(2);
    store.revoke(one('a', at('13:00:00')));
    for (const until of [at('13:00:00'), at('12:30:00')]) store.revoke(one('a', until));
    store.revoke(one('b'));
    store.revoke(one('b', at('13:00:00')));
    store.revoke(one('b'));
    expect(() => store.revoke(one('c'))).toThrow(RevocationsFullError);
  });

  it('is not taken twice by one that includes another', () => {
    const { clock, store } = places(2);
    store.revoke(one('a', at('12:30:00')));
    store.revoke(one('b'));
    store.revoke(one('a', at('13:00:00')));
    clock.setWallClock(at('12:59:59'));
    expect(store.isRevoked(token({ tokenId: 'a' }))).toBe(true);
    expect(() => store.revoke(one('c'))).toThrow(RevocationsFullError);
  });

  it('is freed by one that includes several', () => {
    const { store } = places(3);
    const client = { issuer, clientId: 'billing' };
    store.revoke({ ...client, issuedBefore: at('10:00:00'), until: at('13:00:00') });
    store.revoke({ ...client, issuedBefore: at('09:00:00'), until: at('14:00:00') });
    store.revoke({ ...client, issuedBefore: at('10:00:00'), until: at('14:00:00') });
    for (const tokenId of ['a', 'b']) store.revoke(one(tokenId));
    expect(() => store.revoke(one('c'))).toThrow(RevocationsFullError);
    expect(store.isRevoked(token({ issuedAtMs: at('09:59:59').getTime() }))).toBe(true);
    expect(store.isRevoked(token({ issuedAtMs: at('10:00:00').getTime() }))).toBe(false);
  });

  it('is freed at the end of each, and only then', () => {
    const { clock, store } = places(2);
    store.revoke(one('a', at('13:00:00')));
    store.revoke(one('b', at('14:00:00')));
    clock.setWallClock(at('12:59:59.999'));
    expect(() => store.revoke(one('c'))).toThrow(RevocationsFullError);
    clock.setWallClock(at('13:00:00'));
    store.revoke(one('c'));
    expect(() => store.revoke(one('d'))).toThrow(RevocationsFullError);
    clock.setWallClock(at('14:00:00'));
    store.revoke(one('d'));
    expect(() => store.revoke(one('e'))).toThrow(RevocationsFullError);
  });

  it('is freed of one that has ended by another about the same', () => {
    const { clock, store } = places(1);
    store.revoke({ issuer, clientId: 'billing', until: at('13:00:00') });
    clock.setWallClock(at('13:00:00'));
    store.revoke({ issuer, clientId: 'billing', issuedBefore: at('12:30:00') });
    expect(store.isRevoked(token())).toBe(true);
    expect(() => store.revoke(one('a'))).toThrow(RevocationsFullError);
  });

  it('is there for one again where all have ended', () => {
    const { clock, store } = places(3);
    for (const tokenId of ['a', 'b', 'c']) store.revoke(one(tokenId, at('13:00:00')));
    clock.setWallClock(at('13:00:00'));
    for (const tokenId of ['d', 'e', 'f']) store.revoke(one(tokenId));
    expect(() => store.revoke(one('g'))).toThrow(RevocationsFullError);
    expect(store.isRevoked(token({ tokenId: 'a' }))).toBe(false);
  });

  it('is for 100,000 by default', () => {
    const store = new InMemoryRevocations();
    for (let index = 0; index < 100_000; index++) store.revoke(one(String(index)));
    expect(() => store.revoke(one('x'))).toThrow(RevocationsFullError);
  });
});

describe('the answer of a revocation store', () => {
  const REVOKED = { ok: false, reason: 'token_revoked' };
  const UNDECIDED = { ok: false, reason: 'revocation_unavailable', retryAfterSeconds: 5 };
  const clock = new ManualClock();
  const ask = (answer: () => unknown) => revocationRefusal({ isRevoked: answer as () => boolean }, token(), clock);
  const fail = () => {
    throw new Error('down');
  };

  it('counts at once where it is there', () => {
    expect([ask(() => true), ask(() => false), ask(fail)]).toEqual([REVOKED, undefined, UNDECIDED]);
    expect(clock.pendingTimers).toBe(0);
  });

  it('is about the token', () => {
    const asked: RevocableToken[] = [];
    const store: RevocationStore = { isRevoked: (one) => asked.push(one) > 1 };
    expect(revocationRefusal(store, token(), clock)).toBeUndefined();
    expect(asked).toEqual([token()]);
  });

  test.each<[string, () => unknown, unknown]>([
    ['a promise of true', async () => true, REVOKED],
    ['a promise of false', async () => false, undefined],
    ['a promise of nothing', async () => undefined, UNDECIDED],
    ['a promise of 0', async () => 0, UNDECIDED],
    ['a promise of "false"', async () => 'false', UNDECIDED],
    ['a promise that is rejected', async () => fail(), UNDECIDED],
    ['nothing', () => undefined, UNDECIDED],
    ['null', () => null, UNDECIDED],
    ['1', () => 1, UNDECIDED],
  ])('counts where it is %s', async (_name, answer, expected) => {
    const refusal = ask(answer);
    expect(refusal).toBeInstanceOf(Promise);
    expect(await refusal).toEqual(expected);
    expect(clock.pendingTimers).toBe(0);
  });

  it('is waited for 2 s, by a timer that keeps the process alive', async () => {
    const timers: (boolean | undefined)[] = [];
    const manual = new ManualClock();
    const watched: Clock = {
      now: () => manual.now(),
      setTimer: (delayMs, callback, keepsProcessAlive) => {
        timers.push(keepsProcessAlive);
        return manual.setTimer(delayMs, callback);
      },
    };
    let answer = (_is: boolean) => {};
    const late = new Promise<boolean>((resolve) => (answer = resolve));
    let refusal: unknown = 'none yet';
    void Promise.resolve(revocationRefusal({ isRevoked: () => late }, token(), watched)).then((one) => (refusal = one));
    await manual.advance(1999);
    expect([refusal, timers]).toEqual(['none yet', [true]]);
    await manual.advance(1);
    expect(refusal).toEqual(UNDECIDED);
    answer(false);
    await manual.advance(0);
    expect(refusal).toEqual(UNDECIDED);
  });
});

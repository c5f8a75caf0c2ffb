import { beforeEach, describe, expect, it, test } from '@jest/globals';
import { unsignedIntrospection } from '../../../../test/support/unsigned-introspection.js';
import { DiscoveryError } from '../foundation/authorization-server-discovery.js';
import { HttpExchangeError } from '../foundation/bounded-fetch.js';
import { EventStream } from '../foundation/event-stream.js';
import type { StartMode } from '../foundation/start-mode.js';
import { RFC_9068 } from '../identity-providers/identity-provider.js';
import { ManualClock } from '../testing/manual-clock.js';
import { Introspection } from './introspection.js';
import { IntrospectionAvailability } from './introspection-availability.js';
import type { KeySet } from './key-set.js';
import { KeySetError } from './key-source.js';
import { ResolvedIssuers } from './resolved-issuers.js';
import { ClientRegistry, type TrustedIssuer } from './trusted-issuer.js';
import { TrustedIssuers } from './trusted-issuers.js';
import type { VerificationEvent } from './verification-events.js';

/** Keys that are there once a test says so. */
class Keys implements KeySet {
  problem: unknown;
  warmUps = 0;
  isClosed = false;
  arrive = () => {};
  readonly #arrived = new Promise<void>((resolve) => (this.arrive = resolve));

  current(): undefined {}
  find(): { kind: 'unknown' } {
    return { kind: 'unknown' };
  }
  warmUp(): Promise<void> {
    this.warmUps++;
    return this.#arrived;
  }
  stopRefreshing(): void {}
  close(): void {
    this.isClosed = true;
  }
}

let clock: ManualClock;
let events: EventStream<VerificationEvent>;
let keys: Keys[];

beforeEach(() => {
  clock = new ManualClock();
  events = new EventStream();
  keys = [new Keys(), new Keys(), new Keys()];
});

const name = (index: number) => `https://id-${index}.example`;
const trusted = (index: number, more: Partial<TrustedIssuer> = {}): TrustedIssuer => ({
  issuer: name(index),
  policy: { audiences: [], clockToleranceSeconds: 0, maxTokenLifetimeSeconds: undefined, profile: RFC_9068 },
  keys: keys[index]!,
  clients: undefined,
  fetchesKeysEarly: index < 2,
  isResolved: false,
  ...more,
});
function issuersWith(start: StartMode, named = [0, 1, 2].map((index) => trusted(index)), resolved?: ResolvedIssuers) {
  return new TrustedIssuers({ named, resolved, start, startTimeoutMs: 3000, events, clock });
}
const settle = () => clock.advance(0);
/** A state of a promise: what it resolved to, or the error, or `pending`. */
function watch(promise: Promise<unknown>) {
  const seen: { state: unknown } = { state: 'pending' };
  promise.then(
    () => (seen.state = 'ready'),
    (error: unknown) => (seen.state = error),
  );
  return seen;
}
/** Reports an event, as a key set does after a read that failed. */
const report = () => events.emit({ type: 'key_set.refresh_failed', issuer: '', failures: 1, problem: '' });

describe('the issuers of the options', () => {
  it('are found by their exact identifiers, in their order', () => {
    const named = [trusted(0), trusted(1)];
    const issuers = issuersWith('lazy', named);
    expect(issuers.names).toEqual([name(0), name(1)]);
    expect(issuers.find(name(1))).toBe(named[1]);
    for (const other of [`${name(1)}/`, name(1).toUpperCase(), '', 'constructor']) {
      expect(issuers.find(other)).toBeUndefined();
    }
  });

  it('are beside those that are resolved', () => {
    expect(issuersWith('lazy').resolved).toBeUndefined();
    const resolved = resolver();
    expect(issuersWith('lazy', [], resolved).resolved).toBe(resolved);
  });
});

const resolver = () =>
  new ResolvedIssuers({
    resolve: () => undefined,
    trust: () => trusted(0),
    maxIssuers: 1,
    holdMs: 1,
    clock,
    emit: () => {},
  });

describe('the start of a verifier', () => {
  const warmUps = () => keys.map((one) => one.warmUps);

  it('fetches nothing where it is lazy', async () => {
    await issuersWith('lazy').start();
    expect(warmUps()).toEqual([0, 0, 0]);
  });

  it('waits for no keys where it is warm, and fetches those that are wanted early', async () => {
    await issuersWith('warm').start();
    expect(warmUps()).toEqual([1, 1, 0]);
    expect(clock.pendingTimers).toBe(0);
  });

  test.each<StartMode>(['lazy', 'warm', 'require'])('happens once: %s', async (start) => {
    const issuers = issuersWith(start);
    const first = issuers.start();
    expect(issuers.start()).toBe(first);
    keys.forEach((one) => one.arrive());
    await first;
    expect(issuers.start()).toBe(first);
    expect(Math.max(...warmUps())).toBe(start === 'lazy' ? 0 : 1);
  });

  it('waits for all keys that are wanted early where they are required', async () => {
    const started = watch(issuersWith('require').start());
    keys[1]!.arrive();
    await settle();
    expect(started.state).toBe('pending');
    keys[0]!.arrive();
    await settle();
    expect(started.state).toBe('ready');
    expect(warmUps()).toEqual([1, 1, 0]);
    expect(clock.pendingTimers).toBe(0);
  });

  it('waits for nothing where no keys are wanted early', async () => {
    await issuersWith('require', [trusted(2)]).start();
    expect(clock.pendingTimers).toBe(0);
  });

  it('fails after its time, with the issuers whose keys are missing and why', async () => {
    const named = [trusted(0), trusted(1), trusted(2, { fetchesKeysEarly: true, issuer: 'na\u00efve' })];
    const started = watch(issuersWith('require', named).start());
    keys[0]!.problem = new Error('not shown: its keys arrive');
    keys[1]!.problem = new KeySetError('no keys');
    keys[0]!.arrive();
    await clock.advance(2999);
    expect(started.state).toBe('pending');
    await clock.advance(1);
    const error = started.state as KeySetError;
    expect(error).toBeInstanceOf(KeySetError);
    expect(error.message).toBe(
      "The guard has start: 'require', but could not get the keys of these issuers within 3000 ms:\n" +
        '  https://id-1.example: no keys\n' +
        '  na?ve: no response yet',
    );
    expect(error.cause).toBe(keys[1]!.problem);
  });

  test.each<[string, unknown, boolean]>([
    ['an exchange’s certificate', new HttpExchangeError('certificate', 'rejected'), true],
    ['a certificate for metadata', new DiscoveryError('certificate', 'rejected'), true],
    ['an exchange without a connection', new HttpExchangeError('network', 'rejected'), false],
    ['metadata during an outage', new DiscoveryError('outage', 'rejected'), false],
    ['another error', Object.assign(new Error('rejected'), { fault: 'certificate' }), false],
    ['no error', undefined, false],
  ])('fails at once only where waiting does not help: %s', async (_name, problem, isFinal) => {
    const started = watch(issuersWith('require').start());
    keys[1]!.problem = problem;
    await settle();
    expect(started.state).toBe('pending');
    report();
    await settle();
    const error = new KeySetError(
      `The guard has start: 'require', but could not get the keys of these issuers:\n  https://id-1.example: rejected`,
    );
    expect(started.state).toEqual(isFinal ? error : 'pending');
    expect(isFinal && (started.state as Error).cause).toBe(isFinal && problem);
    expect(clock.pendingTimers).toBe(isFinal ? 0 : 1);
  });

  it('is not failed by a certificate of keys that it has, or that it does not wait for', async () => {
    const started = watch(issuersWith('require').start());
    keys[0]!.arrive();
    await settle();
    for (const index of [0, 2]) keys[index]!.problem = new HttpExchangeError('certificate', 'rejected');
    report();
    await settle();
    expect(started.state).toBe('pending');
  });

  it('looks at no events once it has ended', async () => {
    const started = watch(issuersWith('require').start());
    let looks = 0;
    Object.defineProperty(keys[0], 'problem', { get: () => void looks++ });
    report();
    expect(looks).toBe(1);
    await clock.advance(3000);
    expect(started.state).toBeInstanceOf(KeySetError);
    looks = 0;
    report();
    expect(looks).toBe(0);
  });

  it('fails where the verifier is closed before it has the keys', async () => {
    const issuers = issuersWith('require');
    const started = watch(issuers.start());
    await settle();
    issuers.close();
    await settle();
    expect(started.state).toEqual(new KeySetError('the verifier was closed before it had the keys of its issuers'));
    expect(clock.pendingTimers).toBe(0);
  });
});

describe('issuers that are closed', () => {
  it('close their keys and their introspection, and what resolves others', async () => {
    const endpoint = unsignedIntrospection({
      issuer: name(0),
      fetch: async () => new Response('{"active":false}', { headers: { 'content-type': 'application/json' } }),
      clock,
    });
    const introspection = () => {
      const availability = new IntrospectionAvailability({ issuer: name(0), endpoint, clock, emit: () => {} });
      return new Introspection({ tokens: 'opaque', endpoint, availability, clock });
    };
    const [opaqueTokens, signedTokens, resolved] = [introspection(), introspection(), resolver()];
    const issuers = issuersWith('lazy', [trusted(0, { opaqueTokens }), trusted(1, { signedTokens })], resolved);
    expect(await opaqueTokens.ask('a')).toEqual({ active: false });
    issuers.close();
    expect(keys.map(({ isClosed }) => isClosed)).toEqual([true, true, false]);
    const undecided = { active: 'unknown', retryAfterSeconds: 1 };
    expect([opaqueTokens.ask('a'), signedTokens.ask('a')]).toEqual([undecided, undecided]);
    expect(resolved.find('a')).toEqual({ kind: 'unavailable', retryAfterSeconds: 1 });
  });
});

describe('the clients of the options', () => {
  const one = { issuer: 'a', clientId: 'x', scopes: ['r'] };
  const two = { issuer: 'a', clientId: 'y' };
  const three = { issuer: 'b', clientId: 'x' };
  const clients = new ClientRegistry([one, two, three]);

  it('are found by their issuer and their name', () => {
    expect([clients.find('a', 'x'), clients.find('a', 'y'), clients.find('b', 'x')]).toEqual([one, two, three]);
    expect([clients.find('b', 'y'), clients.find('c', 'x'), clients.find('a', 'X')]).toEqual(Array(3).fill(undefined));
  });

  it('are listed by their issuer', () => {
    expect(['a', 'b', 'c'].map((issuer) => clients.clientIdsOf(issuer))).toEqual([['x', 'y'], ['x'], []]);
  });

  it('are each the last one of their name', () => {
    const again = { issuer: 'a', clientId: 'x' };
    expect(new ClientRegistry([one, again]).find('a', 'x')).toBe(again);
  });
});

import { describe, expect, it } from '@jest/globals';
import { ManualClock } from '../testing/manual-clock.js';
import { RenewalThrottle, receiverKey } from './renewal-throttle.js';

it('throttles each token of each receiver separately', () => {
  const throttle = new RenewalThrottle(new ManualClock());
  for (const key of [
    receiverKey('a', 'https://one'),
    receiverKey('b', 'https://one'),
    receiverKey('a', 'https://two'),
  ]) {
    expect([throttle.tryForceRenewal(key), throttle.tryForceRenewal(key)]).toEqual([true, false]);
  }
});

it('remembers a limited number of receivers', () => {
  const throttle = new RenewalThrottle(new ManualClock());
  for (let index = 0; index <= 1000; index++) throttle.tryForceRenewal(receiverKey('a', `https://${index}`));
  expect(throttle.tryForceRenewal(receiverKey('a', 'https://1000'))).toBe(false);
  expect(throttle.tryForceRenewal(receiverKey('a', 'https://0'))).toBe(true);
});

describe('a receiver that rejects tokens', () => {
  const setUp = () => {
    const clock = new ManualClock();
    const throttle = new RenewalThrottle(clock);
    const key = receiverKey('a', 'https://one');
    /** The longest wait, up to the given one, after which a renewal may be forced, in milliseconds. */
    const isDueAfter = async (ms: number) => {
      await clock.advance(ms - 1);
      const isEarly = throttle.tryForceRenewal(key);
      await clock.advance(1);
      return [isEarly, throttle.tryForceRenewal(key)];
    };
    return { clock, throttle, key, isDueAfter };
  };

  it('may force a renewal every 10 s as long as that helps', async () => {
    const { throttle, key, isDueAfter } = setUp();
    expect(throttle.tryForceRenewal(key)).toBe(true);
    for (let renewals = 0; renewals < 5; renewals++) {
      throttle.renewalEnded(key, 'helped');
      expect(await isDueAfter(10_000)).toEqual([false, true]);
    }
  });

  it('may force one less often each time that does not help, up to 5 min', async () => {
    const { throttle, key, isDueAfter } = setUp();
    throttle.tryForceRenewal(key);
    for (const waitMs of [20_000, 40_000, 80_000, 160_000, 300_000, 300_000]) {
      throttle.renewalEnded(key, 'did not help');
      expect(await isDueAfter(waitMs)).toEqual([false, true]);
    }
    throttle.renewalEnded(key, 'helped');
    expect(await isDueAfter(10_000)).toEqual([false, true]);
  });

  it('counts one failure for each renewal, and takes back that of a renewal that helped another call', async () => {
    const { throttle, key, isDueAfter } = setUp();
    throttle.tryForceRenewal(key);
    for (let calls = 0; calls < 5; calls++) throttle.renewalEnded(key, 'did not help');
    expect(await isDueAfter(20_000)).toEqual([false, true]);
    throttle.renewalEnded(key, 'did not help');
    throttle.renewalEnded(key, 'helped');
    throttle.renewalEnded(key, 'did not help');
    expect(await isDueAfter(10_000)).toEqual([false, true]);
  });

  it('has not been helped by a renewal if it rejects the token within 30 s', async () => {
    for (const [afterMs, nextMs] of [
      [29_999, 40_000],
      [30_000, 20_000],
    ] as const) {
      const { clock, throttle, key, isDueAfter } = setUp();
      throttle.tryForceRenewal(key);
      await clock.advance(afterMs);
      // The first of them shows that the renewal before it did not help, or did.
      expect(throttle.tryForceRenewal(key)).toBe(true);
      throttle.renewalEnded(key, 'did not help');
      expect(await isDueAfter(nextMs)).toEqual([false, true]);
    }
  });

  it('of which nothing is known is not remembered by the end of a renewal', () => {
    const { throttle, key } = setUp();
    throttle.renewalEnded(key, 'did not help');
    expect(throttle.tryForceRenewal(key)).toBe(true);
  });
});

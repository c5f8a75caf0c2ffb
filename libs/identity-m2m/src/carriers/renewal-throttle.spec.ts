import { expect, it } from '@jest/globals';
import { ManualClock } from '../testing/manual-clock.js';
import { RenewalThrottle, receiverKey } from './renewal-throttle.js';

it('throttles each token of each receiver separately', () => {
  const throttle = new RenewalThrottle(new ManualClock());
  for (const key of [
    receiverKey('a', 'https://one'),
    receiverKey('b', 'https://one'),
    receiverKey('a', 'https://two'),
  ]) {
    expect([throttle.mayForceRenewal(key), throttle.mayForceRenewal(key)]).toEqual([true, false]);
  }
});

it('remembers a limited number of receivers', () => {
  const throttle = new RenewalThrottle(new ManualClock());
  for (let index = 0; index <= 1000; index++) throttle.mayForceRenewal(receiverKey('a', `https://${index}`));
  expect(throttle.mayForceRenewal(receiverKey('a', 'https://1000'))).toBe(false);
  expect(throttle.mayForceRenewal(receiverKey('a', 'https://0'))).toBe(true);
});

import { expect, it } from '@jest/globals';
import { ManualClock } from '../testing/manual-clock.js';
import { RenewalThrottle, receiverKey } from './renewal-throttle.js';

it('brakes each token of each receiver by itself', () => {
  const brake = new RenewalThrottle(new ManualClock());
  for (const key of [
    receiverKey('a', 'https://one'),
    receiverKey('b', 'https://one'),
    receiverKey('a', 'https://two'),
  ]) {
    expect([brake.mayForceRenewal(key), brake.mayForceRenewal(key)]).toEqual([true, false]);
  }
});

it('remembers no more than it has room for, however many receivers there are', () => {
  const brake = new RenewalThrottle(new ManualClock());
  for (let index = 0; index <= 1000; index++) brake.mayForceRenewal(receiverKey('a', `https://${index}`));
  expect(brake.mayForceRenewal(receiverKey('a', 'https://1000'))).toBe(false);
  expect(brake.mayForceRenewal(receiverKey('a', 'https://0'))).toBe(true);
});

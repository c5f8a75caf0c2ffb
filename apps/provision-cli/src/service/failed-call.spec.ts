import { describe, expect, test } from '@jest/globals';
import { maskOf } from '../output/safe-text.js';
import { errorOfResponse, retryAfterMs } from './failed-call.js';

test.each([
  ['weak_password', 'weak_password'],
  ['no_password', 'no_<password>'],
])('the code %s of a request whose password is "password" is shown as %s', (error, code) => {
  const body = { error, message: 'the password is weak' };
  const failure = errorOfResponse(422, {}, body, maskOf([{ password: 'password' }]));
  expect(failure).toMatchObject({ code, message: expect.stringContaining('the <password> is weak') });
});

describe('Retry-After', () => {
  const now = Date.parse('2026-01-01T00:00:00Z');

  test.each<[string, unknown, number | undefined]>([
    ['in seconds', '17', 17_000],
    ['of no time', '0', 0],
    ['absurdly big', '99999999999999999999', 86_400_000],
    ['as a date', 'Thu, 01 Jan 2026 00:01:00 GMT', 60_000],
    ['as a date that is past', 'Wed, 31 Dec 2025 23:59:00 GMT', 0],
    ['as a date in years', 'Thu, 01 Jan 2099 00:00:00 GMT', 86_400_000],
    ['negative', '-30', undefined],
    ['that is no time', 'soon', undefined],
    ['that is not there', undefined, undefined],
  ])('%s is a time from now, within a day', (_name, value, expected) => {
    expect(retryAfterMs(value, now)).toBe(expected);
  });
});

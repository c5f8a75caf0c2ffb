import { describe, expect, it, test } from '@jest/globals';
import fc from 'fast-check';
import { type RetryCurve, retryDelayMs, unexplainedCurve } from './retry-policy.js';
import { isRetryable, TOKEN_FAILURE_KINDS } from './token-result.js';

const curves = fc.constantFrom<RetryCurve>('transient', 'malformed', 'certificate', 'configuration');
const unit = fc.double({ min: 0, max: 0.999_999, noNaN: true });
const lowest = () => 0;
const highest = () => 1;

describe('delay after a failed token request', () => {
  test.each<{ curve: RetryCurve; room: number; delays: number[] }>([
    // The upper end of each range late in an outage, in seconds, failure after failure.
    { curve: 'transient', room: 24, delays: [1, 2, 4, 5, 5] },
    { curve: 'transient', room: 240, delays: [1, 2, 4, 8, 16, 30, 30] },
    { curve: 'transient', room: 100_000, delays: [1, 2, 4, 8, 16, 32, 60, 60] },
    { curve: 'certificate', room: 240, delays: [1, 2, 4, 8, 16, 30, 30] },
    { curve: 'malformed', room: 240, delays: [5, 10, 20, 30, 30] },
  ])('$curve with $room s of room: at most $delays s, at least half', ({ curve, room, delays }) => {
    delays.forEach((delay, priorFailures) => {
      const input = { curve, priorFailures, failingForMs: 3600_000, retryRoomMs: room * 1000 };
      expect(retryDelayMs({ ...input, random: highest })).toBe(delay * 1000);
      expect(retryDelayMs({ ...input, random: lowest })).toBe(delay * 500);
    });
  });

  test('is no longer than 5 s in the first 10 s of an outage, and then no longer than the outage has been', () => {
    const longest = (failingForMs: number) =>
      retryDelayMs({ curve: 'transient', priorFailures: 9, failingForMs, retryRoomMs: 1e9, random: highest });
    expect([0, 9_999, 10_000, 25_000, 60_000, 1e9].map(longest)).toEqual([5000, 5000, 10_000, 25_000, 60_000, 60_000]);
  });

  test('a wrong request waits for a minute, doubling to 15, and up to a fifth longer', () => {
    [60, 120, 240, 480, 900, 900].forEach((delay, priorFailures) => {
      const input = { curve: 'configuration' as const, priorFailures, failingForMs: 0, retryRoomMs: 0 };
      expect(retryDelayMs({ ...input, random: lowest })).toBe(delay * 1000);
      expect(retryDelayMs({ ...input, random: highest })).toBe(delay * 1200);
    });
  });

  test('Retry-After makes it longer, never shorter, and counts up to an hour', () => {
    const delay = (retryAfterMs: number, random = lowest) =>
      retryDelayMs({ curve: 'transient', priorFailures: 0, failingForMs: 0, retryRoomMs: 0, retryAfterMs, random });
    expect(delay(0)).toBe(500);
    expect(delay(20_000)).toBe(20_000);
    expect(delay(20_000, highest)).toBe(22_000);
    expect(delay(1e12)).toBe(3600_000);
  });

  it('is never zero and never beyond its bounds', () => {
    fc.assert(
      fc.property(
        fc.record({
          curve: curves,
          priorFailures: fc.nat(5000),
          failingForMs: fc.nat(1e9),
          retryRoomMs: fc.nat(1e9),
          retryAfterMs: fc.option(fc.nat(1e10), { nil: undefined }),
        }),
        unit,
        (input, u) => {
          const delay = retryDelayMs({ ...input, random: () => u });
          expect(delay).toBeGreaterThanOrEqual(500);
          expect(delay).toBeLessThanOrEqual(3960_000);
        },
      ),
    );
  });

  /** When attempts are made that all fail, in milliseconds after the first one, with no answer taking any time. */
  function attemptsOf(curve: 'transient' | 'malformed', retryRoomMs: number, draws: readonly number[]): number[] {
    const times = [0];
    for (const [priorFailures, u] of draws.entries()) {
      const failingForMs = times.at(-1)!;
      times.push(failingForMs + retryDelayMs({ curve, priorFailures, failingForMs, retryRoomMs, random: () => u }));
    }
    return times;
  }

  it('ends an outage of up to 10 s within 5 s, and a longer one within its own length and a minute', () => {
    fc.assert(
      fc.property(
        fc.constantFrom<'transient' | 'malformed'>('transient', 'malformed'),
        fc.nat(1e6),
        fc.array(unit, { minLength: 20, maxLength: 20 }),
        (curve, room, draws) => {
          const times = attemptsOf(curve, room, draws);
          for (const [index, next] of times.entries()) {
            // The server recovers right after an attempt has failed: the worst moment.
            const outageMs = times[index - 1] ?? 0;
            expect(next - outageMs).toBeLessThanOrEqual(outageMs < 10_000 ? 5000 : Math.min(outageMs, 60_000));
          }
        },
      ),
    );
  });

  it('asks a server that is away for an hour 134 times where there is no token, and fewer where one has lived long', () => {
    const count = (room: number, u: number) =>
      attemptsOf('transient', room, Array<number>(1500).fill(u)).filter((at) => at < 3600_000).length;
    expect([count(300_000, 0.5), count(480_000, 0.5)]).toEqual([134, 87]);
  });
});

test('a status without an OAuth error is an outage for 2 minutes, and then a wrong request', () => {
  expect([0, 119_999, 120_000, 1e9].map(unexplainedCurve)).toEqual([
    'transient',
    'transient',
    'configuration',
    'configuration',
  ]);
});

test('waiting mends what the server or the network may get over, and nothing that a person has to correct', () => {
  expect(TOKEN_FAILURE_KINDS.filter(isRetryable)).toEqual(['transient', 'malformed', 'unexplained', 'blocked']);
});

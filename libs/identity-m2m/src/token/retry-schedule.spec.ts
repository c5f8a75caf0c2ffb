import { describe, expect, it, test } from '@jest/globals';
import fc from 'fast-check';
import { quarantineAfter } from '../credentials/credential-quarantine.js';
import { isMendedByWaiting, type RetryInput, retryDelayMs, TOKEN_FAILURE_KINDS } from './retry-schedule.js';

const kinds = fc.constantFrom<RetryInput['kind']>('transient', 'malformed', 'blocked', 'certificate', 'configuration');
const unit = fc.double({ min: 0, max: 0.999_999, noNaN: true });
const lowest = () => 0;
const highest = () => 1;

describe('delay after a failed token request', () => {
  test.each<{ kind: RetryInput['kind']; room: number; delays: number[] }>([
    // The upper end of each range, in seconds, failure after failure.
    { kind: 'transient', room: 24, delays: [1, 2, 4, 5, 5] },
    { kind: 'transient', room: 240, delays: [1, 2, 4, 8, 16, 30, 30] },
    { kind: 'transient', room: 100_000, delays: [1, 2, 4, 8, 16, 32, 60, 60] },
    { kind: 'certificate', room: 240, delays: [1, 2, 4, 8, 16, 30, 30] },
    { kind: 'malformed', room: 240, delays: [5, 10, 20, 30, 30] },
    { kind: 'blocked', room: 24, delays: [60, 120, 240, 480, 900, 900] },
  ])('$kind with $room s of room: at most $delays s, at least half', ({ kind, room, delays }) => {
    delays.forEach((delay, priorFailures) => {
      const input = { kind, priorFailures, retryRoomMs: room * 1000 };
      expect(retryDelayMs({ ...input, random: highest })).toBe(delay * 1000);
      expect(retryDelayMs({ ...input, random: lowest })).toBe(delay * 500);
    });
  });

  test('a wrong request waits for a minute, doubling to 15, and up to a fifth longer', () => {
    [60, 120, 240, 480, 900, 900].forEach((delay, priorFailures) => {
      const input = { kind: 'configuration' as const, priorFailures, retryRoomMs: 0 };
      expect(retryDelayMs({ ...input, random: lowest })).toBe(delay * 1000);
      expect(retryDelayMs({ ...input, random: highest })).toBe(delay * 1200);
    });
  });

  test('Retry-After makes it longer, never shorter, and counts up to an hour', () => {
    const delay = (retryAfterMs: number, random = lowest) =>
      retryDelayMs({ kind: 'transient', priorFailures: 0, retryRoomMs: 0, retryAfterMs, random });
    expect(delay(0)).toBe(500);
    expect(delay(20_000)).toBe(20_000);
    expect(delay(20_000, highest)).toBe(22_000);
    expect(delay(1e12)).toBe(3600_000);
  });

  it('is never zero and never beyond its bounds', () => {
    fc.assert(
      fc.property(
        kinds,
        fc.nat(5000),
        fc.nat(1e9),
        fc.option(fc.nat(1e10)),
        unit,
        (kind, priorFailures, room, ra, u) => {
          const delay = retryDelayMs({
            kind,
            priorFailures,
            retryRoomMs: room,
            retryAfterMs: ra ?? undefined,
            random: () => u,
          });
          expect(delay).toBeGreaterThanOrEqual(500);
          expect(delay).toBeLessThanOrEqual(3960_000);
        },
      ),
    );
  });
});

test('waiting mends what the server or the network may get over, and nothing that a person has to correct', () => {
  expect(TOKEN_FAILURE_KINDS.filter(isMendedByWaiting)).toEqual(['transient', 'malformed', 'blocked']);
});

describe('quarantine of a refused credential', () => {
  const policy = { maxRefusals: 5, probeIntervalMs: 3600_000 };

  it('doubles from 30 s and halts after the fifth refusal, with a probe an hour', () => {
    const plan = [1, 2, 3, 4, 5, 6, 100].map((refusals) => quarantineAfter(refusals, policy, lowest));
    expect(plan.map(({ delayMs }) => delayMs / 1000)).toEqual([30, 60, 120, 240, 3600, 3600, 3600]);
    expect(plan.map(({ halted }) => halted)).toEqual([false, false, false, false, true, true, true]);
  });

  it('is for good where no probe is wanted', () => {
    const plan = quarantineAfter(2, { maxRefusals: 2, probeIntervalMs: Infinity }, lowest);
    expect(plan).toEqual({ delayMs: Infinity, halted: true });
  });

  it('is drawn upward only', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: policy.maxRefusals - 1 }), unit, (refusals, u) => {
        const { delayMs } = quarantineAfter(refusals, policy, () => u);
        expect(delayMs).toBeGreaterThanOrEqual(30_000 * 2 ** (refusals - 1));
        expect(delayMs).toBeLessThanOrEqual(36_000 * 2 ** (refusals - 1));
      }),
    );
  });
});

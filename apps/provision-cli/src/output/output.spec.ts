import { describe, expect, it, test } from '@jest/globals';
import fc from 'fast-check';
import { duration, type ImportProgress } from './import-event.js';
import { progressBar, progressLine, ProgressMeter, type ProgressView } from './progress.js';
import { jsonLine, printable } from './safe-text.js';

const NOW = 1_000_000;
const ESCAPE = new RegExp(`${String.fromCodePoint(27)}\\[\\d+m`, 'g');

function view(progress: Partial<ImportProgress> = {}, more: Partial<ProgressView> = {}): ProgressView {
  return {
    progress: {
      created: 1200,
      replayed: 34,
      rejected: 0,
      waiting: 0,
      inFlight: 1,
      bytesDone: 500,
      pausedUntilMs: undefined,
      ...progress,
    },
    pace: { linesPerSecond: 950.4, secondsLeft: 120 },
    totalBytes: 1000,
    nowMs: NOW,
    ...more,
  };
}

describe('the progress bar', () => {
  test.each<[string, ProgressView, number, string]>([
    [
      'has all it can have on a wide terminal',
      view(),
      120,
      `${'█'.repeat(20)}${'░'.repeat(20)}   50%  1,234 created  950/s  2 min left`,
    ],
    ['gets shorter first', view(), 60, `${'█'.repeat(9)}${'░'.repeat(10)}   50%  1,234 created  950/s  2 min left`],
    ['then loses parts at its end', view(), 40, `${'█'.repeat(5)}${'░'.repeat(6)}   50%  1,234 created  950/s`],
    ['and at last the bar', view(), 12, '50%'],
    ['is empty on a terminal without width', view(), 0, ''],
    [
      'says what was rejected and what is retried',
      view({ rejected: 2, waiting: 3 }),
      100,
      `${'█'.repeat(17)}${'░'.repeat(18)}   50%  1,234 created  2 rejected  950/s  2 min left  3 to retry`,
    ],
    [
      'says that it pauses',
      view({ pausedUntilMs: NOW + 4200 }, { pace: undefined }),
      60,
      `${'█'.repeat(11)}${'░'.repeat(11)}   50%  1,234 created  paused for 5 s`,
    ],
    [
      'is not full before the end',
      view({ bytesDone: 999 }, { pace: undefined }),
      40,
      `${'█'.repeat(17)}░   99%  1,234 created`,
    ],
    [
      'is no bar if the length is not known',
      view({}, { totalBytes: undefined, pace: { linesPerSecond: 10, secondsLeft: undefined } }),
      80,
      '1,234 created  10/s',
    ],
  ])('%s', (_name, of, columns, expected) => {
    expect(progressBar(of, columns, false)).toBe(expected);
  });

  it('has colours if they are enabled', () => {
    const text = progressBar(view(), 60, true);
    expect(text).toContain('\u001B[32m█');
    expect(text.replaceAll(ESCAPE, '')).toBe(progressBar(view(), 60, false));
  });

  it('never wraps', () => {
    fc.assert(
      fc.property(fc.nat(200), fc.nat(1e9), fc.nat(1000), fc.nat(1e6), (columns, created, bytesDone, rejected) => {
        expect(progressBar(view({ created, bytesDone, rejected }), columns, false).length).toBeLessThanOrEqual(
          Math.max(columns - 1, 0),
        );
      }),
    );
  });

  it('is a plain line in a log', () => {
    expect(progressLine(view({ rejected: 1 }))).toBe('50%, 1,234 created, 1 rejected, 950/s, 2 min left');
  });

  test.each([
    [0, '1 s'],
    [59, '59 s'],
    [61, '61 s'],
    [119.5, '2 min'],
    [121, '3 min'],
    [3599, '1 h 0 min'],
    [3601, '1 h 1 min'],
    [90_000, '25 h 0 min'],
  ])('%d seconds are %s', (seconds, text) => expect(duration(seconds)).toBe(text));
});

describe('the pace', () => {
  it('covers the last seconds, and estimates the time left', () => {
    const meter = new ProgressMeter(100_000);
    expect(meter.measure(0, 0, 0)).toBeUndefined();
    expect(meter.measure(10_000, 100, 1000)).toEqual({ linesPerSecond: 10, secondsLeft: 990 });
    for (let s = 11; s <= 40; s++) meter.measure(s * 1000, 100 + (s - 10) * 100, 1000 + (s - 10) * 1000);
    expect(meter.measure(41_000, 3200, 32_000)).toMatchObject({ linesPerSecond: 100, secondsLeft: 68 });
  });

  it('does not count lines of an earlier run, which are skipped in no time', () => {
    const meter = new ProgressMeter(100_000);
    meter.measure(0, 5000, 0);
    expect(meter.measure(1000, 5000, 50_000)).toEqual({ linesPerSecond: 0, secondsLeft: undefined });
    expect(meter.measure(2000, 5200, 52_000)).toEqual({ linesPerSecond: 100, secondsLeft: 48 });
  });

  it('estimates no time if there is no progress', () => {
    const meter = new ProgressMeter(1000);
    meter.measure(0, 5, 50);
    expect(meter.measure(5000, 5, 50)).toEqual({ linesPerSecond: 0, secondsLeft: undefined });
  });
});

describe('strings from outside', () => {
  test.each([
    ['letters of any script', 'Jürgen 李 Ёж 😀', 'Jürgen 李 Ёж 😀'],
    ['escape sequences', 'a\u001B[2Jb\u009B31mc', 'a?[2Jb?31mc'],
    ['line breaks, bells and tabs', 'a\r\nb\u0007c\td', 'a??b?c?d'],
    ['direction marks', 'a\u202Eb\u2066c', 'a?b?c'],
    ['line separators', 'a\u2028b\u2029c', 'a?b?c'],
    ['half of a character', 'a\uD83Db', 'a?b'],
  ])('can’t act on a terminal with %s', (_name, text, expected) => {
    expect(printable(text)).toBe(expected);
  });

  it('is cut to a maximum length', () => {
    expect(printable('x'.repeat(10), 5)).toBe('xxxxx…');
  });

  it('is the same JSON as before, without a character that acts on a terminal', () => {
    fc.assert(
      fc.property(fc.dictionary(fc.string({ unit: 'binary' }), fc.string({ unit: 'binary' })), (value) => {
        const line = jsonLine(value);
        expect(JSON.parse(line)).toEqual(value);
        expect(line.slice(0, -1)).not.toMatch(/[\p{C}\p{Zl}\p{Zp}]/u);
      }),
      { examples: [[{ a: '\u009B\u202E\u001B\u{E0001}' }]] },
    );
  });
});

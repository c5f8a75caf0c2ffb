import { describe, expect, it, test } from '@jest/globals';
import fc from 'fast-check';
import { idempotencyKey } from '../journal/journal.js';
import type { BatchEnd, LineAnswer } from '../service/batch-endpoint.js';
import { batchResult } from './batch-result.js';
import { type PendingLine, PendingLines } from './pending-lines.js';
import { FIRST_WINDOW, IMPORT_LIMITS, pauseAfter, type SendingWindow, windowAfter } from './sending-window.js';

const limits = { ...IMPORT_LIMITS, maxSize: 4, firstPauseMs: 500, maxPauseMs: 60_000, maxAttempts: 3 };
const NOW = 1_000_000;

describe('the sending window', () => {
  const window = (more: Partial<SendingWindow> = {}): SendingWindow => ({
    ...FIRST_WINDOW,
    size: 3,
    generation: 5,
    ...more,
  });

  test.each<[string, SendingWindow, Partial<Parameters<typeof windowAfter>[1]>, number, Partial<SendingWindow>]>([
    ['grows by one for each whole window that goes through', window(), {}, 0, { size: 3 + 1 / 3, refusals: 0 }],
    ['grows to its limit', window({ size: 3.9 }), {}, 0, { size: 4 }],
    ['counts no refusals any more once a batch goes through', window({ refusals: 3 }), {}, 0, { refusals: 0 }],
    [
      'does not grow by what was sent before a push-back',
      window({ refusals: 1 }),
      { generation: 4 },
      0,
      { size: 3, refusals: 1 },
    ],
    [
      'is halved by a push-back, and closed for a while',
      window(),
      { isPushedBack: true },
      0,
      { size: 1.5, generation: 6, refusals: 1, opensAtMs: NOW + 250 },
    ],
    ['is never narrower than one batch', window({ size: 1 }), { isPushedBack: true }, 0, { size: 1 }],
    [
      'is closed for twice as long by the next one',
      window({ refusals: 1 }),
      { isPushedBack: true },
      1,
      { opensAtMs: NOW + 1000 },
    ],
    [
      'is closed for no longer than the limit',
      window({ refusals: 40 }),
      { isPushedBack: true },
      1,
      { opensAtMs: NOW + 60_000 },
    ],
    ['obeys Retry-After', window(), { isPushedBack: true, retryAfterMs: 30_000 }, 0, { opensAtMs: NOW + 30_000 }],
    [
      'spreads the return of many',
      window(),
      { isPushedBack: true, retryAfterMs: 30_000 },
      1,
      { opensAtMs: NOW + 33_000 },
    ],
    [
      'obeys Retry-After beyond its own longest pause',
      window(),
      { isPushedBack: true, retryAfterMs: 3_600_000 },
      0,
      { opensAtMs: NOW + 3_600_000 },
    ],
    [
      'is halved once by all that was sent at once',
      window({ opensAtMs: NOW + 100 }),
      { generation: 4, isPushedBack: true },
      0,
      { size: 3, generation: 5, opensAtMs: NOW + 100 },
    ],
    [
      'obeys the longest Retry-After of all that was sent at once',
      window({ opensAtMs: NOW + 100 }),
      { generation: 4, isPushedBack: true, retryAfterMs: 5000 },
      0,
      { size: 3, opensAtMs: NOW + 5000 },
    ],
  ])('%s', (_name, before, verdict, random, expected) => {
    const after = windowAfter(before, { generation: 5, isPushedBack: false, ...verdict }, limits, NOW, random);
    expect(after).toMatchObject(expected);
  });

  it('stays within its limits, and never opens earlier than requested', () => {
    const verdict = fc.record({
      isPushedBack: fc.boolean(),
      lag: fc.nat(2),
      retryAfterMs: fc.option(fc.nat(1e6), { nil: undefined }),
      random: fc.double({ min: 0, max: 0.999, noNaN: true }),
    });
    fc.assert(
      fc.property(fc.array(verdict), (verdicts) => {
        let window = FIRST_WINDOW;
        let now = NOW;
        for (const { lag, random, ...verdict } of verdicts) {
          const next = windowAfter(window, { ...verdict, generation: window.generation - lag }, limits, now, random);
          expect(next.size).toBeGreaterThanOrEqual(1);
          expect(next.size).toBeLessThanOrEqual(limits.maxSize);
          expect(next.opensAtMs).toBeGreaterThanOrEqual(Math.min(window.opensAtMs, now));
          if (verdict.isPushedBack) expect(next.opensAtMs).toBeGreaterThanOrEqual(now + (verdict.retryAfterMs ?? 0));
          window = next;
          now += 1000;
        }
      }),
    );
  });

  it('doubles pauses up to a limit, with a random value between half and all of it', () => {
    expect([0, 1, 2, 7, 500].map((refusals) => pauseAfter(refusals, limits, 1))).toEqual([
      500, 1000, 2000, 60_000, 60_000,
    ]);
    expect(pauseAfter(2, limits, 0)).toBe(1000);
  });
});

const line = (number: number, more: Partial<PendingLine> = {}): PendingLine => ({
  record: { line: number, bytes: 10, user: { name: `user-${number}`, mail: 'm@example.org', password: 'S3cret' } },
  key: `key-${number}`,
  mark: number,
  attempts: 0,
  splits: 0,
  dueMs: 0,
  ...more,
});

describe('the reply to a batch', () => {
  const created = (n: number): LineAnswer => ({ key: `key-${n}`, line: n, status: 'created', user: { id: `id-${n}` } });
  const refused = (n: number, message = 'no'): LineAnswer => ({
    key: `key-${n}`,
    line: n,
    status: 'rejected',
    error: { code: 'duplicate', message },
  });
  const failed = (n: number, retryAfterSeconds?: number): LineAnswer => ({
    key: `key-${n}`,
    line: n,
    status: 'failed',
    error: { code: 'tenant_unreachable', message: 'away' },
    retryAfterSeconds,
  });
  const complete: BatchEnd = { kind: 'complete' };
  const later: BatchEnd = { kind: 'later', reason: 'busy', retryAfterMs: 7000 };
  const broken: BatchEnd = { kind: 'broken', reason: 'reset', retryAfterMs: undefined };
  const decide = (lines: PendingLine[], answers: LineAnswer[], end: BatchEnd) =>
    batchResult(lines, { answers: new Map(answers.map((answer) => [answer.key!, answer])), end }, limits, NOW, () => 1);
  const shape = (result: ReturnType<typeof decide>) => ({
    created: result.created.map(({ line }) => line.record.line),
    rejected: result.rejected.map(({ line, code }) => [line.record.line, code]),
    failed: result.failed.map(({ line, code }) => [line.record.line, code]),
    again: result.again.map(({ record, attempts, splits, dueMs }) => [record.line, attempts, splits, dueMs]),
    pushedBack: result.pushedBack?.retryAfterMs ?? (result.pushedBack ? 'yes' : 'no'),
  });
  const nothing = { created: [], rejected: [], failed: [], again: [], pushedBack: 'no' };

  test.each<[string, PendingLine[], LineAnswer[], BatchEnd, object]>([
    ['that is all well', [line(1), line(2)], [created(2), created(1)], complete, { created: [1, 2] }],
    ['that rejects', [line(1)], [refused(1)], complete, { rejected: [[1, 'duplicate']] }],
    [
      'in which few fail',
      [line(1), line(2), line(3)],
      [created(1), failed(2, 3), created(3)],
      complete,
      { created: [1, 3], again: [[2, 1, 0, NOW + 3000]] },
    ],
    [
      'in which most fail',
      [line(1), line(2)],
      [failed(1, 3), failed(2)],
      complete,
      {
        again: [
          [1, 1, 0, NOW + 3000],
          [2, 1, 0, NOW + 500],
        ],
        pushedBack: 3000,
      },
    ],
    [
      'in which one fails once too often',
      [line(1, { attempts: 2 }), line(2)],
      [failed(1), created(2)],
      complete,
      { created: [2], failed: [[1, 'tenant_unreachable']] },
    ],
    [
      'that says to come later',
      [line(1), line(2)],
      [],
      later,
      {
        again: [
          [1, 0, 0, 0],
          [2, 0, 0, 0],
        ],
        pushedBack: 7000,
      },
    ],
    [
      'that stops in the middle',
      [line(1), line(2)],
      [created(1)],
      later,
      { created: [1], again: [[2, 0, 0, 0]], pushedBack: 7000 },
    ],
    [
      'that breaks off',
      [line(1), line(2)],
      [created(1)],
      broken,
      { created: [1], again: [[2, 1, 1, 0]], pushedBack: 'yes' },
    ],
    ['that breaks off, of a single line', [line(1, { splits: 1 })], [], broken, { again: [[1, 1, 2, NOW + 500]] }],
    [
      'that leaves lines out',
      [line(1), line(2), line(3)],
      [created(1), created(2)],
      complete,
      { created: [1, 2], again: [[3, 1, 1, 0]] },
    ],
    [
      'that is refused for its length',
      [line(1), line(2)],
      [],
      { kind: 'too large' },
      {
        again: [
          [1, 0, 1, 0],
          [2, 0, 1, 0],
        ],
      },
    ],
    [
      'that is refused for the length of a single line',
      [line(1)],
      [],
      { kind: 'too large' },
      { rejected: [[1, 'too_large']] },
    ],
    ['with answers to lines that were not sent', [line(1)], [created(1), created(9)], complete, { created: [1] }],
  ])('%s', (_name, lines, answers, end, expected) => {
    expect(shape(decide(lines, answers, end))).toEqual({ ...nothing, ...expected });
  });

  it('never repeats a password', () => {
    const [rejected] = decide([line(1)], [refused(1, 'user-1 with "S3cret" is too weak')], complete).rejected;
    expect(rejected).toMatchObject({ code: 'duplicate', reason: '<name> with "<password>" is too weak' });
  });

  it('keeps a code of the service whole, although its words stand in the line, and masks any other', () => {
    const [weak, other] = ['weak_password', 'weak_things'].map((code) => {
      const answer: LineAnswer = { key: 'key-1', line: 1, status: 'rejected', error: { code, message: 'no' } };
      const { record, ...rest } = line(1);
      const pending = { ...rest, record: { ...record, user: { ...record.user, password: 'weak' } } };
      return decide([pending], [answer], complete).rejected[0]?.code;
    });
    expect([weak, other]).toEqual(['weak_password', '<password>_things']);
  });

  it('puts each line into exactly one list', () => {
    const answer = fc.constantFrom('created', 'rejected', 'failed', 'none');
    const end = fc.constantFrom<BatchEnd>(complete, later, broken, { kind: 'too large' });
    const item = fc.record({ answer, attempts: fc.nat(3), splits: fc.nat(8) });
    fc.assert(
      fc.property(fc.array(item, { maxLength: 20 }), end, (items, end) => {
        const lines = items.map(({ attempts, splits }, i) => line(i + 1, { attempts, splits }));
        const answers = items.flatMap(({ answer }, i) =>
          answer === 'created'
            ? created(i + 1)
            : answer === 'rejected'
              ? refused(i + 1)
              : answer === 'failed'
                ? failed(i + 1)
                : [],
        );
        const result = decide(lines, answers, end);
        const numbers = [
          ...[...result.created, ...result.rejected, ...result.failed].map(({ line }) => line.record.line),
          ...result.again.map(({ record }) => record.line),
        ];
        expect(numbers.toSorted((a, b) => a - b)).toEqual(lines.map(({ record }) => record.line));
      }),
    );
  });
});

describe('lines that wait', () => {
  it('are returned when they are due, in batches that get smaller with each split', () => {
    const pending = new PendingLines();
    for (let i = 1; i <= 6; i++) pending.add(line(i, { splits: i <= 3 ? 1 : 0, dueMs: i === 2 ? NOW + 10 : NOW }));
    const take = (now: number) => pending.takeDue(now, 4).map(({ record }) => record.line);
    expect([take(NOW - 1), take(NOW), take(NOW), pending.nextDueMs, take(NOW), take(NOW + 10)]).toEqual([
      [],
      [1, 3],
      [4, 5, 6],
      NOW + 10,
      [],
      [2],
    ]);
    expect([pending.size, pending.nextDueMs]).toEqual([0, undefined]);
  });
});

describe('an idempotency key', () => {
  const header = {
    journal: 'provision-cli' as const,
    version: 1 as const,
    runId: 'a'.repeat(32),
    service: '',
    clientId: '',
    content: { size: 1, digest: 'd' },
  };

  it('is the same for the same line, and different for another line, import or input', () => {
    const keys = [
      idempotencyKey(header, 1),
      idempotencyKey(header, 2),
      idempotencyKey({ ...header, runId: 'b'.repeat(32) }, 1),
      idempotencyKey({ ...header, content: { size: 1, digest: 'e' } }, 1),
      idempotencyKey({ ...header, content: null }, 1),
    ];
    expect(new Set(keys).size).toBe(5);
    expect(idempotencyKey({ ...header }, 1)).toBe(keys[0]);
    const user = { name: 'a', mail: 'a@example.org' };
    const retries = [
      idempotencyKey(header, 1, { rejections: 1, user }),
      idempotencyKey(header, 1, { rejections: 2, user }),
      idempotencyKey(header, 1, { rejections: 1, user: { ...user, password: 'S3cret' } }),
    ];
    expect(new Set([...keys, ...retries]).size).toBe(8);
    expect(idempotencyKey(header, 1, { rejections: 1, user: { ...user } })).toBe(retries[0]);
    // What the service takes for a key.
    expect(keys.every((key) => /^[\w-]{43}$/.test(key))).toBe(true);
  });
});

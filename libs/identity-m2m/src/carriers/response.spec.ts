import { once } from 'node:events';
import { Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { afterEach, beforeEach, describe, expect, it, jest, test } from '@jest/globals';
import {
  discardBody,
  headerRecord,
  isWebStream,
  keepFlowing,
  MAX_KEPT_BYTES,
  startOfNodeStream,
  startOfValue,
  startOfWebStream,
} from './response.js';

/** What a predicate gets of a body, in bytes. */
const LIMIT = 16_384;

const settled = () => new Promise(setImmediate);

/** A web stream that the test feeds, and whether it was cancelled. */
function webStream() {
  const fed: { controller: ReadableStreamDefaultController<Uint8Array>; isCancelled: boolean; pulls: number } = {
    controller: undefined as never,
    isCancelled: false,
    pulls: 0,
  };
  const stream = new ReadableStream<Uint8Array>({
    start: (controller) => void (fed.controller = controller),
    pull: () => void fed.pulls++,
    cancel: () => void (fed.isCancelled = true),
  });
  return { stream, fed };
}

describe('the start of a body that was read already', () => {
  const long = 'x'.repeat(LIMIT + 1);

  test.each<[string, unknown, string]>([
    ['text', 'abc', 'abc'],
    ['long text', long, 'x'.repeat(LIMIT)],
    ['bytes', Buffer.from('äbc'), 'äbc'],
    ['long bytes', Buffer.from(long), 'x'.repeat(LIMIT)],
    ['a view of a longer buffer', new Uint8Array(Buffer.from('--abc--')).subarray(2, 5), 'abc'],
    ['a DataView', new DataView(new TextEncoder().encode('-abc-').buffer, 1, 3), 'abc'],
    ['an ArrayBuffer', new TextEncoder().encode('abc').buffer, 'abc'],
    ['bytes that are no text', Buffer.from([0xff, 0x61]), '\ufffda'],
    ['a parsed body', { a: 1 }, '{"a":1}'],
    ['a long parsed body', [long], `["${'x'.repeat(LIMIT - 2)}`],
    ['a number', 1, ''],
    ['true', true, ''],
    ['a function', () => {}, ''],
    ['null', null, ''],
    ['undefined', undefined, ''],
    ['what cannot be written as JSON', { a: 1n }, ''],
  ])('is text: %s', (_name, body, start) => {
    expect(startOfValue(body) === start).toBe(true);
  });

  it('is empty for a parsed body that JSON leaves out', () => {
    expect(startOfValue({ toJSON: () => undefined })).toBe('');
  });
});

describe('the start of a stream', () => {
  beforeEach(() => void jest.useFakeTimers({ doNotFake: ['setImmediate', 'nextTick', 'queueMicrotask'] }));
  afterEach(() => void jest.useRealTimers());

  test.each<[string, string[], string]>([
    ['of one chunk', ['abc'], 'abc'],
    ['of several chunks', ['a', 'b', 'c'], 'abc'],
    ['without any', [], ''],
    ['of a letter in two chunks', ['\xc3', '\xa4'], 'ä'],
    ['that is longer than the limit', ['x'.repeat(LIMIT), 'y'], 'x'.repeat(LIMIT)],
    ['whose chunk is longer than the limit', ['x'.repeat(LIMIT + 5)], 'x'.repeat(LIMIT)],
    ['that is a bit shorter than the limit at first', ['x'.repeat(LIMIT - 1), 'yz'], `${'x'.repeat(LIMIT - 1)}y`],
  ])('is read from either kind, and leaves the whole to its reader: %s', async (_name, parts, expected) => {
    const chunks = parts.map((part) => Buffer.from(part, 'latin1'));
    const { start, whole } = await startOfNodeStream(Readable.from(chunks, { objectMode: false }));
    expect(start === expected).toBe(true);
    expect((await text(whole)) === Buffer.concat(chunks).toString()).toBe(true);
    const { stream, fed } = webStream();
    for (const chunk of chunks) fed.controller.enqueue(chunk);
    fed.controller.close();
    expect((await startOfWebStream(stream)) === expected).toBe(true);
    expect(jest.getTimerCount()).toBe(0);
  });

  it('is read from a Node.js stream of strings', async () => {
    const { start, whole } = await startOfNodeStream(Readable.from(['ä', 'bc']));
    expect([start, await text(whole)]).toEqual(['äbc', 'äbc']);
  });

  it('leaves a Node.js stream of bytes, whatever the chunks', async () => {
    const parts = ['a'.repeat(20_000), '', Buffer.alloc(0), 'z'];
    const { whole } = await startOfNodeStream(Readable.from(parts));
    const chunks: unknown[] = [];
    for await (const chunk of whole) chunks.push(chunk);
    expect(chunks.every((chunk) => Buffer.isBuffer(chunk))).toBe(true);
    expect(Buffer.concat(chunks as Buffer[]).toString() === `${'a'.repeat(20_000)}z`).toBe(true);
  });

  it('does not wait for more than it needs', async () => {
    const { stream, fed } = webStream();
    fed.controller.enqueue(Buffer.alloc(LIMIT, 'x'));
    expect(await startOfWebStream(stream)).toHaveLength(LIMIT);
    expect(fed.isCancelled).toBe(true);
    const body = new Readable({ read() {} });
    body.push(Buffer.alloc(LIMIT, 'x'));
    expect((await startOfNodeStream(body)).start).toHaveLength(LIMIT);
    expect(jest.getTimerCount()).toBe(0);
  });

  it('is what arrives within a second, and the reader gets what comes later', async () => {
    const body = new Readable({ read() {} });
    body.push('first ');
    let read: Awaited<ReturnType<typeof startOfNodeStream>> | undefined;
    void startOfNodeStream(body).then((result) => (read = result));
    await settled();
    await jest.advanceTimersByTimeAsync(999);
    await settled();
    expect(read).toBeUndefined();
    await jest.advanceTimersByTimeAsync(1);
    await settled();
    expect(read?.start).toBe('first ');
    body.push('second');
    body.push(null);
    expect(await text(read!.whole)).toBe('first second');
  });

  it('is empty if nothing arrives within a second', async () => {
    const { stream, fed } = webStream();
    const start = startOfWebStream(stream);
    await settled();
    await jest.advanceTimersByTimeAsync(1000);
    expect(await start).toBe('');
    expect(fed.isCancelled).toBe(true);
  });

  it('is what came before the stream failed, and the reader gets the error', async () => {
    const body = new Readable({ read() {} });
    body.push('first');
    const reading = startOfNodeStream(body);
    await settled();
    body.destroy(new Error('connection lost'));
    const { start, whole } = await reading;
    expect(start).toBe('first');
    const seen: string[] = [];
    const read = async () => {
      for await (const chunk of whole) seen.push(String(chunk));
    };
    await expect(read()).rejects.toThrow('connection lost');
    expect(seen).toEqual(['first']);
    const { stream, fed } = webStream();
    const start2 = startOfWebStream(stream);
    fed.controller.enqueue(Buffer.from('first'));
    await settled();
    fed.controller.error(new Error('connection lost'));
    expect(await start2).toBe('first');
    expect(jest.getTimerCount()).toBe(0);
  });

  it('causes no error if the stream fails while the rest is unread', async () => {
    const body = new Readable({ read() {} });
    body.push(Buffer.alloc(LIMIT));
    await startOfNodeStream(body);
    body.destroy(new Error('connection lost'));
    await settled();
    expect(body.destroyed).toBe(true);
  });

  test.each([
    ['before the first byte', 0],
    ['while it waits for more', 1],
  ])('ends the whole stream if its reader stops %s', async (_when, chunks) => {
    const body = new Readable({ read() {} });
    body.push(Buffer.alloc(LIMIT));
    const { whole } = await startOfNodeStream(body);
    if (chunks > 0) whole.resume();
    await settled();
    expect(body.destroyed).toBe(false);
    whole.destroy();
    expect(body.destroyed).toBe(true);
    await settled();
    expect(whole.closed).toBe(true);
  });

  it('ends the whole stream with the error of its reader', async () => {
    const destroyed = new Readable({ read() {} });
    const throwing = new Readable({ read() {} });
    for (const body of [destroyed, throwing]) body.push(Buffer.alloc(LIMIT));
    const [first, second] = [await startOfNodeStream(destroyed), await startOfNodeStream(throwing)];
    const reader = new Error('of the reader');
    const failed = Promise.all([first, second].map(({ whole }) => once(whole, 'error')));
    first.whole.destroy(reader);
    second.whole.on('data', () => {
      throw reader;
    });
    expect(await failed).toEqual([[reader], [reader]]);
    expect([destroyed.destroyed, throwing.destroyed]).toEqual([true, true]);
  });

  it('does not wait until the rest of a web stream is cancelled', async () => {
    const stream = new ReadableStream<Uint8Array>({
      start: (controller) => controller.enqueue(Buffer.alloc(LIMIT)),
      cancel: () => new Promise(() => {}),
    });
    expect(await startOfWebStream(stream)).toHaveLength(LIMIT);
  });

  it('fails nothing if the rest of a web stream cannot be cancelled', async () => {
    const stream = new ReadableStream<Uint8Array>({
      start: (controller) => controller.enqueue(Buffer.alloc(LIMIT)),
      cancel: () => Promise.reject(new Error('no')),
    });
    expect(await startOfWebStream(stream)).toHaveLength(LIMIT);
    await settled();
  });
});

describe('an unread body', () => {
  it('is cancelled or destroyed, if it is a stream', async () => {
    const { stream, fed } = webStream();
    discardBody(stream);
    const body = new Readable({ read() {} });
    discardBody(body);
    expect([fed.isCancelled, body.destroyed]).toEqual([true, true]);
  });

  it('fails nothing if its stream has a reader', async () => {
    const { stream, fed } = webStream();
    stream.getReader();
    discardBody(stream);
    await settled();
    expect(fed.isCancelled).toBe(false);
  });

  test.each([[undefined], [null], ['abc'], [{ destroy: true }], [Buffer.from('abc')]])(
    'is left alone if it is something else: %p',
    (body) => {
      expect(() => discardBody(body)).not.toThrow();
    },
  );
});

test.each<[string, unknown, boolean]>([
  ['a web stream', new ReadableStream(), true],
  ['one of another implementation', { getReader() {} }, true],
  ['a Node.js stream', new Readable(), false],
  ['text', 'getReader', false],
  ['a function', Object.assign(() => {}, { getReader() {} }), false],
  ['null', null, false],
  ['undefined', undefined, false],
])('a web stream is known by its members: %s', (_name, body, isOne) => {
  expect(isWebStream(body)).toBe(isOne);
});

describe('a response that keeps flowing', () => {
  it('is read to its end, without an overflow at the limit', async () => {
    let overflows = 0;
    const { stream, fed } = webStream();
    const stop = keepFlowing(stream, () => overflows++);
    for (let kept = 0; kept < MAX_KEPT_BYTES; kept += 65_536) {
      fed.controller.enqueue(Buffer.alloc(65_536));
      await settled();
    }
    expect(fed.controller.desiredSize).toBe(1);
    fed.controller.close();
    await settled();
    stop();
    expect([overflows, fed.isCancelled]).toEqual([0, false]);
  });

  it('is given up one byte beyond the limit', async () => {
    let overflows = 0;
    const { stream, fed } = webStream();
    keepFlowing(stream, () => overflows++);
    fed.controller.enqueue(Buffer.alloc(MAX_KEPT_BYTES));
    await settled();
    expect([overflows, fed.isCancelled]).toEqual([0, false]);
    fed.controller.enqueue(Buffer.alloc(1));
    await settled();
    expect([overflows, fed.isCancelled]).toEqual([1, true]);
  });

  it('stops on request, and leaves the other branch as it is', async () => {
    const { stream, fed } = webStream();
    const [branch, other] = stream.tee();
    let overflows = 0;
    const stop = keepFlowing(branch, () => overflows++);
    fed.controller.enqueue(Buffer.from('first '));
    await settled();
    stop();
    stop();
    fed.controller.enqueue(Buffer.alloc(MAX_KEPT_BYTES + 1, 'x'));
    fed.controller.close();
    expect(await new Response(other).text()).toHaveLength(6 + MAX_KEPT_BYTES + 1);
    expect([overflows, fed.isCancelled]).toEqual([0, false]);
  });

  it('fails nothing if it breaks', async () => {
    let overflows = 0;
    const { stream, fed } = webStream();
    const stop = keepFlowing(stream, () => overflows++);
    fed.controller.error(new Error('connection lost'));
    await settled();
    stop();
    await settled();
    expect(overflows).toBe(0);
  });
});

describe('response headers', () => {
  test.each<[string, unknown, Record<string, string>]>([
    ['a record', { 'X-A': 'b', Age: 5 }, { 'x-a': 'b', age: '5' }],
    ['lists as values', { Via: ['a', 'b'], X: [1] }, { via: 'a, b', x: '1' }],
    ['a name in two spellings', { Via: 'a', via: 'b', VIA: 'c' }, { via: 'a, b, c' }],
    ['a Map', new Map([['X-A', 'b']]), { 'x-a': 'b' }],
    ['Headers', new Headers({ 'X-A': 'b' }), { 'x-a': 'b' }],
    [
      'pairs',
      [
        ['X-A', 'b'],
        ['x-a', 'c'],
      ],
      { 'x-a': 'b, c' },
    ],
    ['lists that are no pairs', [['a'], ['a', 'b', 'c'], 'ab', null, ['x', 'y']], { x: 'y' }],
    ['values that are no text', { a: undefined, b: null, c: true, d: {}, e: () => {}, f: '' }, { f: '' }],
    ['names of Object’s own members', { constructor: 'a', toString: 'b' }, { constructor: 'a', tostring: 'b' }],
    [
      'an instance of a class',
      new (class Own {
        'X-A' = 'b';
      })(),
      { 'x-a': 'b' },
    ],
    ['undefined', undefined, {}],
    ['null', null, {}],
    ['text', 'ab', {}],
    ['a function', Object.assign(() => {}, { a: 'b' }), {}],
  ])('are a record by their names in lower case, from each form: %s', (_name, headers, record) => {
    expect({ ...headerRecord(headers) }).toStrictEqual(record);
  });

  it('have no names but those of the response', () => {
    expect('constructor' in headerRecord({})).toBe(false);
  });
});

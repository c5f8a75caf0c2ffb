import { EventEmitter } from 'node:events';
import { PassThrough, Readable } from 'node:stream';
import { describe, expect, it, test } from '@jest/globals';
import { brokenBodySignal, isReplayableBody } from './outgoing-call.js';

describe('a body', () => {
  test.each<[string, unknown, number]>([
    ['text', 'abc', 3],
    ['text of more bytes than letters', 'ä€', 5],
    ['no text', '', 0],
    ['a Buffer', Buffer.from('abc'), 3],
    ['a view of a longer buffer', new Uint8Array(100).subarray(10, 13), 3],
    ['a view of wider numbers', new Uint16Array(2), 4],
    ['a DataView', new DataView(new ArrayBuffer(3)), 3],
    ['an ArrayBuffer', new ArrayBuffer(3), 3],
    ['a Blob', new Blob(['abc']), 3],
    ['URLSearchParams, which are sent encoded', new URLSearchParams({ a: 'ä' }), 8],
  ])('can be sent again up to the limit: %s', (_name, body, bytes) => {
    expect(isReplayableBody(body, bytes)).toBe(true);
    expect(isReplayableBody(body, bytes - 1)).toBe(false);
  });

  test.each([[undefined], [null]])('that is missing can be sent again unless nothing may: %s', (body) => {
    expect(isReplayableBody(body, 1)).toBe(true);
    expect(isReplayableBody(body, 0)).toBe(false);
  });

  test.each<[string, unknown]>([
    ['a Node.js stream', Readable.from(['abc'])],
    ['a web stream', new Blob(['abc']).stream()],
    ['a form', new FormData()],
    ['an iterable', ['abc']],
    ['an object', {}],
    ['a number', 1],
    ['false', false],
  ])('cannot be sent again if the first sending may use it up: %s', (_name, body) => {
    expect(isReplayableBody(body, Infinity)).toBe(false);
  });
});

describe('the signal of a body that breaks', () => {
  const settled = () => new Promise(setImmediate);

  it('aborts with the error of the stream', async () => {
    const body = new PassThrough();
    const signal = brokenBodySignal(body);
    const error = new Error('the file is gone');
    await settled();
    expect(signal?.aborted).toBe(false);
    body.destroy(error);
    await settled();
    expect(signal).toMatchObject({ aborted: true, reason: error });
  });

  it('aborts if the stream ends early without an error', async () => {
    const body = new PassThrough();
    const signal = brokenBodySignal(body);
    body.destroy();
    await settled();
    expect(signal?.reason).toMatchObject({ code: 'ERR_STREAM_PREMATURE_CLOSE' });
  });

  it('aborts for a stream that broke before', async () => {
    const body = new PassThrough();
    body.on('error', () => {}).destroy(new Error('gone'));
    await settled();
    const signal = brokenBodySignal(body);
    await settled();
    expect(signal?.reason).toMatchObject({ message: 'gone' });
  });

  it('does not abort for a stream that is read to its end, although it is still writable', async () => {
    const body = new PassThrough({ allowHalfOpen: true });
    const signal = brokenBodySignal(body);
    body.push('abc');
    body.push(null);
    body.resume();
    await settled();
    body.destroy();
    await settled();
    expect(signal?.aborted).toBe(false);
  });

  it('reads nothing of the stream', async () => {
    const body = Readable.from(['abc']);
    brokenBodySignal(body);
    await settled();
    expect(body.readableFlowing).toBeNull();
    expect(body.readableDidRead).toBe(false);
  });

  it('aborts for a stream of another implementation', async () => {
    const body = Object.assign(new EventEmitter(), { pipe() {} });
    const signal = brokenBodySignal(body);
    const error = new Error('gone');
    body.emit('error', error);
    await settled();
    expect(signal?.reason).toBe(error);
  });

  test.each<[string, unknown]>([
    ['undefined', undefined],
    ['null', null],
    ['text', 'abc'],
    ['bytes', Buffer.from('abc')],
    ['a web stream', new Blob(['abc']).stream()],
    ['a form', new FormData()],
    ['an emitter that is no stream', { on() {} }],
    ['what only pipes', { pipe() {} }],
    ['members that are no functions', { pipe: true, on() {} }],
    ['listeners that are no function', { pipe() {}, on: true }],
  ])('is not made for other bodies: %s', (_name, body) => {
    expect(brokenBodySignal(body)).toBeUndefined();
  });
});

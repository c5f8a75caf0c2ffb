import { getEventListeners } from 'node:events';
import { PassThrough } from 'node:stream';
import { afterEach, beforeEach, describe, expect, it, jest, test } from '@jest/globals';
import axios, { AxiosError, AxiosHeaders, type InternalAxiosRequestConfig } from 'axios';
import { AxiosCancellation } from './cancellation.js';

const LONGEST_MS = 2 ** 31 - 1;

const settled = () => new Promise(setImmediate);

const cancellationOf = (config: Partial<InternalAxiosRequestConfig> = {}) =>
  new AxiosCancellation({ headers: new AxiosHeaders(), ...config });

function thrownBy(cancellation: AxiosCancellation): unknown {
  try {
    cancellation.throwIfAborted();
  } catch (error) {
    return error;
  }
  return undefined;
}

beforeEach(() => void jest.useFakeTimers({ doNotFake: ['setImmediate', 'nextTick', 'queueMicrotask'] }));
afterEach(() => void jest.useRealTimers());

/** What an application can cancel a call by. */
const WAYS: [string, () => { config: Partial<InternalAxiosRequestConfig>; cancel: () => void }][] = [
  [
    'a signal',
    () => {
      const controller = new AbortController();
      return { config: { signal: controller.signal }, cancel: () => controller.abort() };
    },
  ],
  [
    'a cancel token',
    () => {
      const { token, cancel } = axios.CancelToken.source();
      return { config: { cancelToken: token }, cancel: () => cancel() };
    },
  ],
];

describe.each(WAYS)('a call that its caller cancels by %s', (_name, make) => {
  it('ends while it waits', async () => {
    const { config, cancel } = make();
    const cancellation = cancellationOf(config);
    const signal = cancellation.signal();
    expect(cancellation.signal()).toBe(signal);
    expect([signal.aborted, thrownBy(cancellation)]).toEqual([false, undefined]);
    cancel();
    await settled();
    expect(signal).toMatchObject({ aborted: true, reason: { name: 'AbortError' } });
    expect(thrownBy(cancellation)).toBe(signal.reason);
  });

  it('is not sent if that happens just before', () => {
    const { config, cancel } = make();
    const [waited, other] = [cancellationOf(config), cancellationOf(config)];
    waited.signal();
    cancel();
    for (const one of [waited, other]) expect(thrownBy(one)).toMatchObject({ name: 'AbortError' });
  });

  it('does not begin to wait afterwards', () => {
    const { config, cancel } = make();
    cancel();
    expect(cancellationOf(config).signal()).toMatchObject({ aborted: true, reason: { name: 'AbortError' } });
  });

  it('is ignored once the call has ended', async () => {
    const { config, cancel } = make();
    const cancellation = cancellationOf(config);
    const signal = cancellation.signal();
    cancellation.close();
    cancel();
    await settled();
    expect(signal.aborted).toBe(false);
  });
});

it('leaves no listener on what outlives the call, and no timer', () => {
  const { signal } = new AbortController();
  const { token } = axios.CancelToken.source();
  const listenersOf = () => [
    getEventListeners(signal, 'abort').length,
    (token as unknown as { _listeners?: unknown[] })._listeners?.length ?? 0,
    jest.getTimerCount(),
  ];
  const cancellation = cancellationOf({ signal, cancelToken: token, timeout: 100 });
  cancellation.throwIfAborted();
  expect(listenersOf()).toEqual([0, 0, 0]);
  cancellation.signal();
  cancellation.signal();
  expect(listenersOf()).toEqual([1, 1, 1]);
  cancellation.close();
  expect(listenersOf()).toEqual([0, 0, 0]);
  cancellationOf().close();
});

it('works with a signal that has no events, and with a cancel token that cannot be left', async () => {
  const signal = { aborted: false };
  let cancel!: (reason: unknown) => void;
  const cancelToken = { promise: new Promise((resolve) => (cancel = resolve)) } as never;
  const cancellation = cancellationOf({ signal, cancelToken });
  expect(cancellation.signal().aborted).toBe(false);
  cancellation.close();
  cancel('no longer wanted');
  await settled();
  expect(cancellation.signal().aborted).toBe(true);
});

describe('a call with a timeout', () => {
  it('ends when it has waited that long', () => {
    const config = { timeout: 100, url: '/users' };
    const cancellation = cancellationOf(config);
    const signal = cancellation.signal();
    jest.advanceTimersByTime(99);
    expect(signal.aborted).toBe(false);
    jest.advanceTimersByTime(1);
    expect(signal.reason).toBeInstanceOf(AxiosError);
    expect(signal.reason).toMatchObject({
      message: 'timeout of 100ms exceeded while waiting for an access token',
      code: 'ECONNABORTED',
      config,
    });
    expect(thrownBy(cancellation)).toBe(signal.reason);
  });

  it('ends with the message that the application wants', () => {
    const cancellation = cancellationOf({ timeout: 1, timeoutErrorMessage: 'too slow' });
    const signal = cancellation.signal();
    jest.advanceTimersByTime(1);
    expect(signal.reason).toMatchObject({ message: 'too slow', code: 'ECONNABORTED' });
  });

  it('waits as long as a timer can if that is shorter', () => {
    for (const timeout of [LONGEST_MS, LONGEST_MS + 1, Infinity]) {
      const signal = cancellationOf({ timeout }).signal();
      jest.advanceTimersByTime(LONGEST_MS - 1);
      expect(signal.aborted).toBe(false);
      jest.advanceTimersByTime(1);
      expect(signal.aborted).toBe(true);
    }
  });

  test.each([[undefined], [0], [-1], [NaN]])('waits without a limit if it is %s', (timeout) => {
    const cancellation = cancellationOf({ ...(timeout !== undefined && { timeout }) });
    expect(cancellation.signal().aborted).toBe(false);
    expect(jest.getTimerCount()).toBe(0);
    cancellation.close();
  });
});

describe('a call whose body breaks', () => {
  const broken = new Error('the file is gone');

  it('ends while it waits, with an error of axios', async () => {
    const data = new PassThrough();
    const cancellation = cancellationOf({ data, url: '/users' });
    const signal = cancellation.signal();
    expect(thrownBy(cancellation)).toBeUndefined();
    data.destroy(broken);
    await settled();
    expect(signal.reason).toBeInstanceOf(AxiosError);
    expect(signal.reason).toMatchObject({ message: 'the file is gone', config: { url: '/users' } });
    expect(thrownBy(cancellation)).toMatchObject({ message: 'the file is gone' });
  });

  it('is not sent, and does not begin to wait', async () => {
    const data = new PassThrough();
    const { signal } = new AbortController();
    const cancellation = cancellationOf({ data, signal });
    data.destroy(broken);
    await settled();
    for (const error of [thrownBy(cancellation), cancellation.signal().reason]) {
      expect(error).toBeInstanceOf(AxiosError);
      expect(error).toMatchObject({ message: 'the file is gone' });
    }
  });

  it('is not noticed after the call has ended', async () => {
    const data = new PassThrough();
    const cancellation = cancellationOf({ data });
    const signal = cancellation.signal();
    cancellation.close();
    data.destroy(broken);
    await settled();
    expect(signal.aborted).toBe(false);
  });

  it('affects nothing else if no call waits', async () => {
    const data = new PassThrough();
    cancellationOf({ data });
    data.destroy(broken);
    await settled();
    expect(data.destroyed).toBe(true);
  });
});

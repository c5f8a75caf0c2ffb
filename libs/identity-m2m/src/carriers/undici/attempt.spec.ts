import { afterEach, describe, expect, it, jest, test } from '@jest/globals';
import { FORMS, settled, undiciCall } from '../../../../../test/support/undici-call.js';

afterEach(() => void jest.useRealTimers());

/** Fakes the timers of a response; work without sockets goes on. */
const fakeTimers = () => jest.useFakeTimers({ doNotFake: ['setImmediate', 'nextTick', 'queueMicrotask'] });

describe.each(FORMS)('a response, in the %s form', (form) => {
  /** A call whose first request has its connection. */
  const started = (options?: Parameters<typeof undiciCall>[1]) => {
    const parts = undiciCall(form, options);
    parts.start();
    const [request] = parts.requests;
    request!.connect();
    return { ...parts, request: request! };
  };

  /** The same for a call that waits for its token first, whose every response is held. */
  const startedLate = async () => {
    const parts = undiciCall(form, { isCached: false });
    parts.start();
    await settled();
    const [request] = parts.requests;
    request!.connect();
    return { ...parts, request: request! };
  };

  it('passes at once if its status does not reject the token', async () => {
    const { request, log, isIdle } = started();
    request.headers(200);
    request.data('a');
    expect([log, await isIdle()]).toEqual([['headers 200', 'data a'], false]);
    request.end();
    expect([log.at(-1), await isIdle()]).toEqual(['end', true]);
  });

  test.each([200, 401])('waits for the carrier if the call waited for its token: %i', async (status) => {
    const { request, log } = await startedLate();
    request.headers(status);
    request.data('a');
    expect(log).toEqual([]);
    await settled();
    expect(log).toEqual([`headers ${status}`, 'data a']);
    request.data('b');
    request.end();
    expect(log.slice(2)).toEqual(['data b', 'end']);
  });

  it('is not an interim one, which passes at once', async () => {
    for (const { request, log } of [started(), await startedLate()]) {
      request.headers(103);
      request.headers(199);
      request.headers(401);
      request.data('no');
      request.end();
      expect(log).toEqual(['headers 103', 'headers 199']);
      await settled();
      expect(log.slice(2)).toEqual(['headers 401', 'data no', 'end']);
    }
  });

  it('that never comes fails the call, even after an interim one', async () => {
    for (const isLate of [false, true]) {
      for (const isInterim of [false, true]) {
        const { request, log, isIdle } = isLate ? await startedLate() : started();
        if (isInterim) request.headers(103);
        request.fail(new Error('reset'));
        await settled();
        expect([log, await isIdle()]).toEqual([[...(isInterim ? ['headers 103'] : []), 'error reset'], true]);
      }
    }
  });

  it('that breaks off fails the call, as soon as the rest of it was passed on', async () => {
    const passed = started();
    passed.request.headers(200);
    passed.request.fail(new Error('reset'));
    expect(passed.log).toEqual(['headers 200', 'error reset']);
    const late = await startedLate();
    late.request.headers(200);
    await settled();
    late.request.fail(new Error('reset'));
    expect(late.log).toEqual(['headers 200', 'error reset']);
    const held = started();
    held.request.headers(401);
    held.request.data('n');
    held.request.fail(new Error('reset'));
    expect(held.log).toEqual([]);
    await settled();
    expect(held.log).toEqual(['headers 401', 'data n', 'error reset']);
    expect([await passed.isIdle(), await held.isIdle()]).toEqual([true, true]);
  });

  it('is not aborted when it has ended or failed', async () => {
    for (const isEnded of [true, false]) {
      const { request, log, caller } = await startedLate();
      if (isEnded) request.headers(200);
      if (isEnded) request.end();
      else request.fail(new Error('reset'));
      caller.abort(new Error('enough'));
      await settled();
      expect([request.aborts, log]).toEqual([[], ['error enough']]);
    }
  });

  it('that upgrades the connection is left alone', async () => {
    fakeTimers();
    const { request } = await startedLate();
    request.upgrade();
    await settled();
    jest.runAllTimers();
    expect(request.aborts).toEqual([]);
  });

  it('is kept up to 262144 bytes while the carrier decides about it, and then cut off', () => {
    const { request } = started();
    request.headers(401);
    request.data(262_143);
    request.data(1);
    expect([request.aborts, request.isPaused]).toEqual([[], false]);
    request.data(1);
    expect(request.aborts).toMatchObject([
      {
        code: 'UND_ERR_RES_EXCEEDED_MAX_SIZE',
        message:
          'A body of more than 262144 bytes came with a response that may reject the access token; the rest was cut off.',
      },
    ]);
    // Not paused: undici could not bear the response to end.
    expect(request.isPaused).toBe(false);
  });

  it('pauses only once it is passed on, for as long as the handler does', async () => {
    const { request, log, caller } = started();
    caller.onEvent = () => caller.pause();
    request.headers(401);
    expect(request.isPaused).toBe(false);
    request.data('a');
    request.data('b');
    expect(request.isPaused).toBe(false);
    await settled();
    expect(log).toEqual(['headers 401']);
    request.data('c');
    expect(request.isPaused).toBe(true);
    caller.resume();
    expect(log).toEqual(['headers 401', 'data a']);
    request.data('d');
    expect(request.isPaused).toBe(true);
    request.end();
    for (const event of ['data b', 'data c', 'data d', 'end']) {
      expect(log).not.toContain(event);
      caller.resume();
      expect(log.at(-1)).toBe(event);
    }
  });

  it('flows again when a handler has taken all that was kept', async () => {
    const { request, log, caller } = started();
    caller.onEvent = (event) => event === 'headers 401' && caller.pause();
    request.headers(401);
    await settled();
    request.data('a');
    expect([request.isPaused, log]).toEqual([true, ['headers 401']]);
    caller.resume();
    expect([request.isPaused, log]).toEqual([false, ['headers 401', 'data a']]);
    request.data('b');
    request.end();
    expect([request.isPaused, log.slice(2)]).toEqual([false, ['data b', 'end']]);
  });

  it('passes event by event to a handler that resumes at once', async () => {
    const { request, log, caller } = started();
    request.headers(401);
    caller.onEvent = (event) => {
      caller.pause();
      caller.resume();
      log.push(`after ${event}`);
    };
    request.data('a');
    request.end();
    await settled();
    expect(log).toEqual(['headers 401', 'after headers 401', 'data a', 'after data a', 'end', 'after end']);
  });

  test.each(['headers 401', 'data a', 'end'])('passes nothing after an error of the handler: %s', async (last) => {
    const { request, log, caller, isIdle } = started();
    const error = new Error('of the handler');
    caller.onEvent = (event) => {
      if (event === last) throw error;
    };
    request.headers(401);
    request.data('a');
    request.data('b');
    request.end();
    await settled();
    expect(log.slice(log.indexOf(last))).toEqual([last, 'error of the handler']);
    expect([request.aborts, await isIdle()]).toEqual([[error], true]);
    caller.resume();
    expect(log.at(-1)).toBe('error of the handler');
  });

  test.each(['headers 401', 'data a'])('passes nothing after the caller has ended the call: %s', async (last) => {
    for (const isPaused of [false, true]) {
      const { request, log, caller } = started();
      caller.onEvent = (event) => {
        if (event !== last) return;
        if (isPaused) caller.pause();
        else caller.abort(new Error('enough'));
      };
      request.headers(401);
      request.data('a');
      request.data('b');
      request.end();
      await settled();
      if (isPaused) caller.abort(new Error('enough'));
      caller.resume();
      expect(log.slice(log.indexOf(last))).toEqual([last, 'error enough']);
    }
  });

  describe('that is discarded', () => {
    /** A call that is sent again, with the second request not yet connected. */
    const sentAgain = async (end?: 'end') => {
      const parts = started();
      parts.provider.replaceToken('second');
      parts.request.headers(401);
      parts.request.data('no');
      if (end) parts.request.end();
      await settled();
      expect(parts.requests).toHaveLength(2);
      return { ...parts, second: parts.requests[1]! };
    };

    it('is never passed to the caller', async () => {
      const { request, second, log } = await sentAgain();
      request.data('no');
      second.connect();
      second.headers(200);
      request.end();
      await settled();
      second.data('yes');
      second.end();
      expect(log).toEqual(['headers 200', 'data yes', 'end']);
    });

    it('is read for another 65536 bytes', async () => {
      const { request } = await sentAgain();
      request.data(65_535);
      request.data(1);
      expect([request.aborts, request.isPaused]).toEqual([[], false]);
      request.data(1);
      expect(request.aborts).toMatchObject([{ message: 'the rest of the response was discarded' }]);
      expect(request.isPaused).toBe(false);
    });

    it('is read for a second', async () => {
      fakeTimers();
      const { request, log } = await sentAgain();
      jest.advanceTimersByTime(999);
      expect(request.aborts).toEqual([]);
      jest.advanceTimersByTime(1);
      expect(request.aborts).toMatchObject([{ message: 'the rest of the response was discarded' }]);
      request.fail(request.aborts[0]!);
      expect(log).not.toContainEqual(expect.stringMatching(/^error/));
    });

    it('leaves no timer behind if it ends in time, or has ended already', async () => {
      fakeTimers();
      const { request } = await sentAgain();
      request.end();
      expect(jest.getTimerCount()).toBe(0);
      await sentAgain('end');
      expect(jest.getTimerCount()).toBe(0);
    });

    it('does not keep the caller from aborting the next request when it ends', async () => {
      const { request, second, caller } = await sentAgain();
      second.connect();
      request.end();
      caller.abort(new Error('enough'));
      expect([request.aborts, second.aborts]).toEqual([[], [new Error('enough')]]);
    });

    it('is not aborted by the caller, whose next request may need its connection', async () => {
      const { request, second, log, caller, isIdle } = await sentAgain();
      caller.abort(new Error('enough'));
      expect([request.aborts, log.at(-1), await isIdle()]).toEqual([[], 'error enough', true]);
      // It has its connection only now.
      second.connect();
      expect(second.aborts).toHaveLength(1);
      second.fail(new Error('aborted'));
      await settled();
      expect(log.at(-1)).toBe('error enough');
    });
  });

  describe('that a predicate checks', () => {
    const checked = () => {
      const seen: string[] = [];
      const isTokenRejected = ({ body }: { readonly body: string }) => seen.push(body) === 0;
      return { ...started({ isTokenRejected }), seen };
    };

    it('is checked with its body, as soon as that has ended', async () => {
      const { request, seen, log } = checked();
      request.headers(400);
      request.data('a');
      await settled();
      request.data('b');
      await settled();
      expect([seen, log]).toEqual([[], []]);
      request.end();
      await settled();
      expect([seen, log]).toEqual([['ab'], ['headers 400', 'data a', 'data b', 'end']]);
    });

    it('is checked at once if it has ended already', async () => {
      const { request, seen } = checked();
      request.headers(400);
      request.data('a');
      request.end();
      await settled();
      expect(seen).toEqual(['a']);
    });

    it('is checked with the first 16384 bytes, as soon as they are there', async () => {
      fakeTimers();
      const { request, seen, log } = checked();
      request.headers(400);
      request.data(16_383);
      await settled();
      expect([seen, jest.getTimerCount()]).toEqual([[], 1]);
      request.data(1);
      await settled();
      expect([seen.map(({ length }) => length), jest.getTimerCount()]).toEqual([[16_384], 0]);
      expect(log).toEqual(['headers 400', 'data of 16383 bytes', 'data \0']);
    });

    it('is checked with what has come after a second', async () => {
      fakeTimers();
      const { request, seen } = checked();
      request.headers(400);
      request.data('a');
      await settled();
      jest.advanceTimersByTime(999);
      await settled();
      expect(seen).toEqual([]);
      jest.advanceTimersByTime(1);
      await settled();
      expect(seen).toEqual(['a']);
    });
  });
});

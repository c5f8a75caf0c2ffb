import { afterAll, beforeAll, describe, expect, it, test } from '@jest/globals';
import { Agent, type Dispatcher } from 'undici';
import { type Answer, TestServer } from '../../../../../test/support/http-server.js';
import { settled, undiciCall } from '../../../../../test/support/undici-call.js';
import { FixedTokenProvider } from '../../testing/fixed-token-provider.js';
import { bearerInterceptor } from './bearer-interceptor.js';
import { isRawHandler, type RawHandler } from './raw-handler.js';

describe('a handler of the older form on undici 7', () => {
  const agent = new Agent();
  let server: TestServer;
  beforeAll(async () => {
    server = await TestServer.start(() => {});
  });
  afterAll(async () => {
    await agent.destroy();
    await server.close();
  });

  /** Sends a call that carries the token `first`, and resolves with the trailers when it ends. */
  const send = (handler: Partial<RawHandler>, options: Partial<Dispatcher.DispatchOptions> = {}) => {
    const provider = new FixedTokenProvider('first', { allowedOrigins: [server.url] });
    return new Promise<unknown>((resolve, reject) => {
      const whole: RawHandler = {
        onConnect() {},
        onHeaders: () => true,
        onData: () => true,
        onUpgrade: (_status, _headers, socket) => resolve((socket as { destroy(): unknown }).destroy()),
        onComplete: resolve,
        onError: reject,
        ...handler,
      };
      // Not composed: that would wrap the handler in one that hears nothing of the progress of a request.
      const dispatch = bearerInterceptor(provider)((...args) => agent.dispatch(...args));
      dispatch({ origin: server.url, path: '/', method: 'GET', ...options }, whole);
    });
  };

  const ok: Answer = (_request, response) => response.end('ok');

  it('is told of the progress of its request', async () => {
    server.answer = ok;
    const told: string[] = [];
    await send(
      {
        onBodySent: (chunk) => void told.push(`sent ${String(chunk)}`),
        onRequestSent: () => void told.push('all sent'),
        onResponseStarted: () => void told.push('response'),
      },
      { method: 'POST', body: 'abc' },
    );
    expect(told).toEqual(['sent abc', 'all sent', 'response']);
    expect(server.requests.at(-1)!.headers.authorization).toBe('Bearer first');
  });

  it('need not be interested in the progress of its request', async () => {
    server.answer = ok;
    await expect(send({}, { method: 'POST', body: 'abc' })).resolves.toEqual([]);
  });

  it('takes an upgrade', async () => {
    const seen = server.onUpgrade();
    await send({}, { upgrade: 'x' });
    expect(seen).toEqual(['Bearer first']);
  });

  test.each([401, 200])('gets the whole of a response that it pauses at each event: %i', async (status) => {
    const total = 200_000;
    server.answer = (_request, response) => response.writeHead(status).end('x'.repeat(total));
    let read = 0;
    let resume!: () => void;
    let isPaused = false;
    const pause = () => {
      expect(isPaused).toBe(false);
      isPaused = true;
      setImmediate(() => {
        isPaused = false;
        resume();
      });
      return false;
    };
    await send({
      onHeaders(_status, _headers, given) {
        resume = given;
        return pause();
      },
      onData(chunk) {
        read += chunk.length;
        return pause();
      },
    });
    expect(read).toBe(total);
  });

  test.each([401, 200])('ends a call in the middle of its response, and hears nothing more: %i', async (status) => {
    server.answer = (_request, response) => response.writeHead(status).end('x'.repeat(100_000));
    const seen: string[] = [];
    let abort!: (reason?: Error) => void;
    const enough = new Error('enough');
    const call = send({
      onConnect: (given) => (abort = given),
      onHeaders: () => {
        seen.push('headers');
        abort(enough);
        return true;
      },
      onData: () => seen.push('data') > 0,
      onComplete: () => void seen.push('end'),
    });
    await expect(call).rejects.toBe(enough);
    await settled();
    expect(seen).toEqual(['headers']);
  });
});

describe('a response to a handler of the older form', () => {
  it('is checked with its headers, of which a list may have been joined', async () => {
    const seen: unknown[] = [];
    const { start, dispatcher } = undiciCall('raw', { isTokenRejected: ({ headers }) => seen.push(headers) < 0 });
    dispatcher.dispatch = (_options, handler) => {
      const raw = handler as unknown as RawHandler;
      const headers = ['X-A', 'é', 'x-b', ['1', '2']].map((value) =>
        typeof value === 'string' ? Buffer.from(value, 'latin1') : value.map((text) => Buffer.from(text)),
      );
      raw.onConnect(() => {});
      raw.onHeaders(400, headers as Buffer[], () => {}, '');
      raw.onComplete([]);
      return false;
    };
    start();
    await settled();
    expect(seen).toEqual([{ 'x-a': 'é', 'x-b': '1, 2' }]);
  });

  it('flows on if the handler returns nothing', async () => {
    const { start, requests, caller, log } = undiciCall('raw');
    const raw = { ...(caller.handler as unknown as RawHandler) };
    Object.assign(caller.handler, {
      onHeaders: (...args: Parameters<RawHandler['onHeaders']>) => void raw.onHeaders(...args),
      onData: (chunk: Buffer) => void raw.onData(chunk),
    });
    start();
    requests[0]!.connect();
    requests[0]!.headers(401);
    requests[0]!.data('a');
    requests[0]!.end();
    await settled();
    expect(log).toEqual(['headers 401', 'data a', 'end']);
  });
});

test('a handler is of the older form if it has onHeaders', () => {
  const { caller } = undiciCall('raw');
  expect([isRawHandler(caller.handler), isRawHandler(undiciCall('controlled').caller.handler)]).toEqual([true, false]);
  expect(isRawHandler({})).toBe(false);
});

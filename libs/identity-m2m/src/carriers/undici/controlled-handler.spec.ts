import { afterAll, beforeAll, describe, expect, it, test } from '@jest/globals';
import type { Dispatcher } from 'undici';
import { type Answer, TestServer } from '../../../../../test/support/http-server.js';
import { settled, undiciCall } from '../../../../../test/support/undici-call.js';
import { UNDICI_VERSIONS } from '../../../../../test/support/undici-versions.js';
import { FixedTokenProvider } from '../../testing/fixed-token-provider.js';
import { bearerInterceptor } from './bearer-interceptor.js';
import { ControlledCaller } from './controlled-handler.js';

describe.each(UNDICI_VERSIONS)('a handler of the newer form on %s', (version, { Agent }) => {
  const agent = new Agent();
  let server: TestServer;
  beforeAll(async () => {
    server = await TestServer.start(() => {});
  });
  afterAll(async () => {
    await agent.destroy();
    await server.close();
  });

  /** Sends a call that carries the token `first`, and resolves when it ends. */
  const send = async (
    handler: Omit<Dispatcher.DispatchHandler, 'onResponseEnd'> & { onRequestSent?: () => void },
    options: Partial<Dispatcher.DispatchOptions> = {},
    provider = new FixedTokenProvider('first', { allowedOrigins: [server.url] }),
  ) => {
    const dispatcher = agent.compose(bearerInterceptor(provider));
    const trailers = await new Promise<unknown>((resolve, reject) => {
      dispatcher.dispatch(
        { origin: server.url, path: '/', method: 'GET', ...options },
        {
          onRequestStart() {},
          onResponseStart() {},
          onResponseData() {},
          onRequestUpgrade: (_controller, _status, _headers, socket) => resolve(socket.destroy()),
          onResponseError: (_controller, error) => reject(error),
          ...handler,
          onResponseEnd: (_controller, trailers) => resolve(trailers),
        },
      );
    });
    return { provider, trailers };
  };

  const ok: Answer = (_request, response) => response.end('ok');

  it('is told of the progress of its request as undici tells it', async () => {
    server.answer = ok;
    const told: string[] = [];
    const handler = {
      onBodySent: (chunk: unknown) => told.push(`sent ${String(chunk)}`),
      onRequestSent: () => told.push('all sent'),
      onResponseStarted: () => told.push('response'),
    };
    await send(handler, { method: 'POST', body: 'abc' });
    const direct = told.splice(0);
    await new Promise<void>((resolve, reject) => {
      agent.dispatch(
        { origin: server.url, path: '/', method: 'POST', body: 'abc' },
        {
          onRequestStart() {},
          onResponseStart() {},
          onResponseData() {},
          onResponseEnd: () => resolve(),
          onResponseError: (_controller: unknown, error: Error) => reject(error),
          ...handler,
        },
      );
    });
    expect(direct).toEqual(told);
    expect(direct).toEqual(version === 'undici 8' ? ['sent abc', 'all sent', 'response'] : ['response']);
  });

  it('need not be interested in the progress of its request', async () => {
    server.answer = ok;
    await expect(send({}, { method: 'POST', body: 'abc' })).resolves.toMatchObject({ trailers: {} });
  });

  it('sees the raw headers and trailers of the response', async () => {
    server.answer = ({ headers }, response) => {
      response.writeHead(headers.authorization === 'Bearer first' ? 401 : 200, { trailer: 'X-T', 'X-A': '1' });
      response.addTrailers({ 'X-T': '2' });
      response.end('ok');
    };
    const provider = new FixedTokenProvider('first', { allowedOrigins: [server.url] });
    let controller!: Dispatcher.DispatchController;
    let headers: unknown;
    const onRequestStart = (given: Dispatcher.DispatchController) => {
      controller = given;
      if (headers === undefined) provider.replaceToken('second');
    };
    const onResponseStart = (given: Dispatcher.DispatchController, status: number) => {
      expect([given, status]).toEqual([controller, 200]);
      headers = given.rawHeaders;
    };
    const { trailers } = await send({ onRequestStart, onResponseStart }, {}, provider);
    expect(String(headers)).toMatch(/X-A,1/);
    const rawTrailers = controller.rawTrailers as Buffer[] | undefined;
    expect([trailers, rawTrailers?.map(String)]).toEqual([{ 'x-t': '2' }, ['X-T', '2']]);
    expect([controller.aborted, controller.reason, controller.paused]).toEqual([false, null, false]);
  });

  it('takes an upgrade', async () => {
    const seen = server.onUpgrade();
    await send({}, { upgrade: 'x' });
    expect(seen).toEqual(['Bearer first']);
  });

  test.each([401, 200])('ends a call in the middle of its response, and hears nothing more: %i', async (status) => {
    server.answer = (_request, response) => response.writeHead(status).end('x'.repeat(100_000));
    const seen: unknown[] = [];
    const enough = new Error('enough');
    const call = send({
      onResponseStart(controller) {
        seen.push(controller.aborted);
        controller.abort(enough);
      },
      onResponseData: () => void seen.push('data'),
    });
    await expect(call).rejects.toBe(enough);
    await settled();
    expect(seen).toEqual([false]);
  });
});

describe('the controller of a call', () => {
  /** A call with the parts of its handler that a test is about; connected at once if its token is cached. */
  const setUp = (handler: Dispatcher.DispatchHandler, isCached = true) => {
    let controller!: Dispatcher.DispatchController;
    const parts = undiciCall('controlled', { isCached });
    Object.assign(parts.caller, {
      handler: { onRequestStart: (given: typeof controller) => (controller = given), ...handler },
    });
    parts.start();
    parts.requests[0]?.connect();
    return { ...parts, controller };
  };

  it('can pause and resume before there is a request', async () => {
    const seen: unknown[] = [];
    const { controller, requests } = setUp(
      {
        onResponseStart: (_controller, status) => void seen.push(status),
        onResponseData: (_controller, chunk) => void seen.push(String(chunk)),
      },
      false,
    );
    expect([controller.rawHeaders, controller.rawTrailers]).toEqual([undefined, undefined]);
    controller.resume();
    controller.pause();
    expect(controller.paused).toBe(true);
    controller.resume();
    expect(controller.paused).toBe(false);
    controller.pause();
    await settled();
    const [request] = requests;
    request!.connect();
    request!.headers(200);
    request!.data('a');
    await settled();
    // As from undici: a paused handler gets the headers.
    expect(seen).toEqual([200]);
    request!.data('b');
    expect(request!.isPaused).toBe(true);
    controller.resume();
    expect([seen, request!.isPaused]).toEqual([[200, 'a', 'b'], false]);
  });

  it('pauses and resumes the request under way', () => {
    const { controller, requests } = setUp({});
    const [request] = requests;
    controller.pause();
    expect([controller.paused, request!.isPaused]).toEqual([true, true]);
    controller.resume();
    expect([controller.paused, request!.isPaused]).toEqual([false, false]);
  });

  it('aborts once, with its first reason', () => {
    const { requests, controller } = setUp({});
    const first = new Error('first');
    controller.abort(first);
    controller.abort(new Error('second'));
    expect([controller.aborted, controller.reason, requests[0]!.aborts]).toEqual([true, first, [first]]);
  });

  it('does not resume a request if the handler pauses again on what was kept', async () => {
    const { requests, controller } = setUp({
      onResponseStart: (controller) => controller.pause(),
      onResponseData: (controller) => controller.pause(),
    });
    const [request] = requests;
    request!.headers(401);
    request!.data('a');
    await settled();
    request!.data('b');
    controller.resume();
    expect(request!.isPaused).toBe(true);
    controller.resume();
    expect(request!.isPaused).toBe(true);
    controller.resume();
    expect(request!.isPaused).toBe(false);
  });

  it('is no use to a handler without methods, which no event breaks', async () => {
    for (const status of [200, 401]) {
      const { requests, isIdle } = setUp({});
      const [request] = requests;
      request!.headers(status);
      request!.data('a');
      request!.end();
      expect([await isIdle(), request!.aborts]).toEqual([true, []]);
    }
    const upgraded = setUp({});
    upgraded.requests[0]!.upgrade();
    const failed = setUp({});
    failed.requests[0]!.fail(new Error('reset'));
    expect([await upgraded.isIdle(), await failed.isIdle()]).toEqual([true, true]);
    new ControlledCaller({}).start(() => {}, {});
  });
});

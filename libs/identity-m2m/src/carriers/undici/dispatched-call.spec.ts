import { PassThrough, Readable } from 'node:stream';
import { describe, expect, it, test } from '@jest/globals';
import type { Dispatcher } from 'undici';
import { FORMS, settled, undiciCall } from '../../../../../test/support/undici-call.js';
import { failCall } from './dispatched-call.js';

describe.each(FORMS)('a call with a handler of the %s form', (form) => {
  /** Calls that have the token at once, and calls that wait for it. */
  const KINDS = [true, false].map((isCached) => async () => {
    const parts = undiciCall(form, { isCached });
    parts.start();
    await settled();
    return { ...parts, request: parts.requests[0]! };
  });

  it('is under way until its response has ended', async () => {
    const { request, isIdle } = await KINDS[0]!();
    expect(await isIdle()).toBe(false);
    request.connect();
    request.headers(200);
    expect(await isIdle()).toBe(false);
    request.end();
    expect(await isIdle()).toBe(true);
  });

  it('is counted once if it waited for its token', async () => {
    const { request, carrier, isIdle } = await KINDS[1]!();
    request.connect();
    request.headers(200);
    request.end();
    await settled();
    carrier.callBegins();
    expect(await isIdle()).toBe(false);
  });

  it('is under way until its token has been renewed and the response to it has ended', async () => {
    const { provider, requests, request, isIdle } = await KINDS[0]!();
    request.connect();
    provider.replaceToken('second');
    request.headers(401);
    request.end();
    await settled();
    const [, second] = requests;
    second!.connect();
    second!.headers(200);
    expect(await isIdle()).toBe(false);
    second!.end();
    expect(await isIdle()).toBe(true);
  });

  it('ends once for its carrier, even if its dispatcher goes on after it was aborted', async () => {
    const { request, caller, start, requests, isIdle } = await KINDS[0]!();
    start();
    request.connect();
    caller.abort(new Error('enough'));
    request.fail(new Error('enough'));
    request.headers(200);
    request.end();
    // The other one is still under way.
    expect(await isIdle()).toBe(false);
    requests[1]!.fail(new Error('reset'));
    expect(await isIdle()).toBe(true);
  });

  it('ends with an upgrade', async () => {
    for (const start of KINDS) {
      const { request, log, isIdle } = await start();
      request.connect();
      request.upgrade();
      expect([log.at(-1), await isIdle()]).toEqual(['upgrade 101', true]);
      request.fail(new Error('later'));
      expect(log.at(-1)).toBe('upgrade 101');
    }
  });

  it('ends with an upgrade even if the handler throws at it', async () => {
    for (const start of KINDS) {
      const { request, caller, isIdle } = await start();
      request.connect();
      caller.onEvent = () => {
        throw new Error('of the handler');
      };
      expect(() => request.upgrade()).toThrow('of the handler');
      expect(await isIdle()).toBe(true);
    }
  });

  // As undici 8 does at a handler of the older form.
  it('ends if its dispatcher throws', async () => {
    const thrown = new TypeError('no');
    for (const isCached of [true, false]) {
      const { dispatcher, start, log, isIdle } = undiciCall(form, { isCached });
      dispatcher.dispatch = () => {
        throw thrown;
      };
      if (isCached) expect(() => start()).toThrow(thrown);
      else start();
      await settled();
      expect([log, await isIdle()]).toEqual([isCached ? [] : ['error no'], true]);
    }
  });

  it('needs no pause of its dispatcher if it waits for its token, and returns its result otherwise', () => {
    expect([true, false].map((isCached) => undiciCall(form, { isCached }).start())).toEqual([false, true]);
  });

  it('can be aborted while it waits for its token, and is never dispatched', async () => {
    for (const reason of [new Error('enough'), undefined]) {
      const { provider, start, caller, requests, log, isIdle } = undiciCall(form, { isCached: false });
      let signal: AbortSignal | undefined;
      provider.getToken = ((options: { signal: AbortSignal }) => {
        ({ signal } = options);
        return new Promise((_resolve, reject) => signal!.addEventListener('abort', () => reject(new Error('waited'))));
      }) as never;
      start();
      expect([caller.starts, log, signal?.aborted, await isIdle()]).toEqual([1, [], false, false]);
      caller.abort(reason);
      expect([log, signal?.aborted]).toEqual([[`error ${reason?.message ?? 'Request aborted'}`], true]);
      expect([requests, await isIdle(), log.length]).toEqual([[], true, 1]);
    }
  });

  it('is not dispatched if it is aborted in the moment its token comes', async () => {
    const { start, caller, requests, log } = undiciCall(form, { isCached: false });
    start();
    caller.abort(new Error('enough'));
    await settled();
    expect([requests, log]).toEqual([[], ['error enough']]);
  });

  it('requests no token if the handler aborts it at once', async () => {
    const { provider, start, caller, requests, log } = undiciCall(form, { isCached: false });
    let tokens = 0;
    provider.getToken = (async () => (tokens += 1)) as never;
    caller.onEvent = (event) => event === 'start' && caller.abort(new Error('enough'));
    expect(start()).toBe(true);
    await settled();
    expect([tokens, requests, log]).toEqual([0, [], ['error enough']]);
  });

  it('is aborted when it connects if it was aborted meanwhile', async () => {
    const { request, caller, log } = await KINDS[1]!();
    caller.abort(new Error('enough'));
    request.connect();
    expect([request.aborts.length, log]).toEqual([1, ['error enough']]);
    // The newer form needs a reason.
    if (form === 'controlled') expect(request.aborts[0]).toMatchObject({ code: 'UND_ERR_ABORTED' });
  });

  it('is aborted on its connection, with the caller’s reason', async () => {
    const enough = new Error('enough');
    for (const start of KINDS) {
      const { request, caller, log } = await start();
      request.connect();
      caller.abort(enough);
      request.fail(enough);
      expect([request.aborts, log]).toEqual([[enough], ['error enough']]);
    }
  });

  it('gives the handler one way to abort it for the whole time from a held response on', async () => {
    const { provider, request, requests, caller, log } = await KINDS[0]!();
    request.connect();
    provider.replaceToken('second');
    request.headers(401);
    request.end();
    await settled();
    requests[1]!.connect();
    requests[1]!.headers(401);
    caller.abort(new Error('enough'));
    expect([request.aborts, requests[1]!.aborts]).toEqual([[], [new Error('enough')]]);
    await settled();
    expect(log).toEqual(['error enough']);
    // Once for each request, and in the older form once for the time between them.
    expect(caller.starts).toBe(form === 'raw' ? 3 : 2);
  });

  it('discards a response that comes when it is over', async () => {
    const { provider, request, requests, caller, log } = await KINDS[0]!();
    const told: unknown[] = [];
    provider.events.subscribe((event) => told.push(event));
    request.connect();
    provider.replaceToken('second');
    request.headers(401);
    caller.abort(new Error('enough'));
    await settled();
    // It is not sent again.
    expect([requests.length, told]).toEqual([1, []]);
    request.data(70_000);
    request.end();
    expect(log).toEqual(['error enough']);
    // One by the caller, and one because nothing more is read.
    expect(request.aborts).toHaveLength(2);
  });

  test.each<[string, Partial<Dispatcher.DispatchOptions>, number]>([
    ['no body', {}, 2],
    ['a string', { method: 'POST', body: 'x'.repeat(100) }, 2],
    ['a longer string', { method: 'POST', body: 'x'.repeat(101) }, 1],
    ['a stream', { method: 'POST', body: Readable.from(['x']) }, 1],
    ['an upgrade', { upgrade: 'x' }, 1],
  ])('is sent again after a rejection if it can be: %s', async (_name, options, times) => {
    const { provider, start, requests, log } = undiciCall(form);
    start(options);
    requests[0]!.connect();
    provider.replaceToken('second');
    requests[0]!.headers(401);
    await settled();
    const sent = requests.map(({ options }) => (options.headers as Record<string, string>).authorization);
    expect(sent).toEqual(['Bearer first', 'Bearer second'].slice(0, times));
    expect(log.includes('headers 401')).toBe(times === 1);
  });

  it('fails if the stream that is its body breaks while it waits for its token', async () => {
    for (const isDestroyed of [false, true]) {
      const { provider, start, log, requests } = undiciCall(form, { isCached: false });
      provider.getToken = () => new Promise(() => {});
      const body = new PassThrough();
      start({ method: 'POST', body });
      body.destroy(isDestroyed ? undefined : new Error('broken'));
      await settled();
      expect(log).toEqual([isDestroyed ? 'error Premature close' : 'error broken']);
      expect(requests).toEqual([]);
    }
  });

  it('fails before it is dispatched', () => {
    const { caller, log } = undiciCall(form);
    failCall(caller.handler, new Error('no token'));
    expect(log).toEqual(['error no token']);
  });
});

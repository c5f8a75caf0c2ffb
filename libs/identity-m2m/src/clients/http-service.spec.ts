import type { Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { HttpService } from '@nestjs/axios';
import axios, { type AxiosRequestConfig, type AxiosResponse, isAxiosError, isCancel } from 'axios';
import { catchError, lastValueFrom, retry } from 'rxjs';
import { json, TestServer } from '../../../../test/support/http-server.js';
import { M2MHttpService } from './http-service.js';

let server: TestServer;
beforeEach(async () => {
  server = await TestServer.start(json(200, { ok: true }));
});
afterEach(() => server.close());

/** Answers when it is told to, and tells when a call is there and when its connection was closed before the answer. */
function heldBack() {
  let answer!: () => void;
  const answered = new Promise<void>((resolve) => (answer = resolve));
  let tellArrived!: () => void;
  const arrived = new Promise<void>((resolve) => (tellArrived = resolve));
  let tellClosed!: () => void;
  const closed = new Promise<void>((resolve) => (tellClosed = resolve));
  server.answer = async (_request, response) => {
    response.on('close', tellClosed);
    tellArrived();
    await answered;
    response.end('late');
  };
  return { answer, arrived, closed };
}

describe.each([
  ['the stock HttpService', HttpService],
  ['the lean HttpService', M2MHttpService],
])('%s', (_name, Service) => {
  const serviceFor = (defaults: AxiosRequestConfig = {}) =>
    new Service(axios.create({ baseURL: server.url, ...defaults }));

  it('sends nothing before a subscription, and one call for each subscription', async () => {
    const call = serviceFor().get('/cold');
    await new Promise(setImmediate);
    expect(server.requests).toHaveLength(0);
    await lastValueFrom(call);
    await lastValueFrom(call);
    expect(server.requests).toHaveLength(2);
  });

  it('has all methods, with body and config in the right places', async () => {
    const http = serviceFor();
    const config = { headers: { 'x-mark': 'here' } };
    const calls = {
      GET: http.get('/', config),
      DELETE: http.delete('/', config),
      HEAD: http.head('/', config),
      POST: http.post('/', { a: 1 }, config),
      PUT: http.put('/', { a: 1 }, config),
      PATCH: http.patch('/', { a: 1 }, config),
      OPTIONS: http.request({ url: '/', method: 'options', ...config }),
    };
    for (const [method, call] of Object.entries(calls)) {
      await lastValueFrom(call);
      const received = server.requests.at(-1);
      expect(received).toMatchObject({ method, headers: { 'x-mark': 'here' } });
      expect(received?.body).toBe(method.startsWith('P') ? '{"a":1}' : '');
    }
    await lastValueFrom(http.postForm('/', { a: 1 }, config));
    expect(server.requests.at(-1)?.headers['content-type']).toMatch(/^multipart\/form-data/);
    expect(server.requests.at(-1)?.headers['x-mark']).toBe('here');
  });

  it('emits one response and completes', async () => {
    const seen: unknown[] = [];
    await new Promise<void>((resolve) => {
      serviceFor()
        .get('/')
        .subscribe({ next: ({ status }) => seen.push(status), complete: () => (seen.push('complete'), resolve()) });
    });
    expect(seen).toEqual([200, 'complete']);
  });

  it('leaves the caller’s config as it was', async () => {
    const config = Object.freeze({ params: Object.freeze({ a: 1 }) });
    await lastValueFrom(serviceFor().get('/', config));
    expect(config).toEqual({ params: { a: 1 } });
  });

  it('passes an error on, and can be subscribed to again', async () => {
    server.answer = (_request, response) => response.writeHead(server.requests.length < 3 ? 503 : 200).end();
    const response = await lastValueFrom(serviceFor().get('/').pipe(retry(2)));
    expect(response.status).toBe(200);
    expect(server.requests).toHaveLength(3);
    server.answer = json(418, {});
    await expect(lastValueFrom(serviceFor().get('/'))).rejects.toMatchObject({ response: { status: 418 } });
  });

  it.each(['http', 'fetch'] as const)('ends the call on unsubscribe, with the %s adapter', async (adapter) => {
    const { arrived, closed } = heldBack();
    const seen: string[] = [];
    const subscription = serviceFor({ adapter })
      .get('/')
      .subscribe({
        next: () => seen.push('next'),
        error: () => seen.push('error'),
        complete: () => seen.push('end'),
      });
    await arrived;
    subscription.unsubscribe();
    await closed;
    await new Promise(setImmediate);
    expect(seen).toEqual([]);
  });

  it('sends nothing on immediate unsubscribe', async () => {
    serviceFor().get('/').subscribe().unsubscribe();
    await lastValueFrom(serviceFor().get('/other'));
    expect(server.requests.map(({ url }) => url)).toEqual(['/other']);
  });

  it('leaves a stream to its reader', async () => {
    server.answer = async (_request, response) => {
      response.write('first ');
      await new Promise(setImmediate);
      response.end('last');
    };
    let body!: Readable;
    await new Promise<void>((resolve) => {
      const subscription = serviceFor()
        .get<Readable>('/', { responseType: 'stream' })
        .subscribe(({ data }) => {
          body = data;
          queueMicrotask(() => subscription.unsubscribe());
          resolve();
        });
    });
    expect(await text(body)).toBe('first last');
  });

  it('obeys the caller’s cancel token and signal', async () => {
    const source = axios.CancelToken.source();
    const controller = new AbortController();
    for (const [config, cancel] of [
      [{ cancelToken: source.token }, () => source.cancel()],
      [{ signal: controller.signal }, () => controller.abort()],
    ] as const) {
      const { arrived, closed } = heldBack();
      const outcome = lastValueFrom(serviceFor().get('/', config)).catch((error: unknown) => error);
      await arrived;
      cancel();
      expect(isCancel(await outcome)).toBe(true);
      await closed;
    }
  });

  it('ends a call with the caller’s signal on unsubscribe', async () => {
    const { arrived, closed } = heldBack();
    const subscription = serviceFor().get('/', { signal: new AbortController().signal }).subscribe();
    await arrived;
    subscription.unsubscribe();
    await closed;
    expect(server.requests).toHaveLength(1);
  });

  it('gives interceptors a cancel token that they can read and listen to', async () => {
    const { arrived, closed } = heldBack();
    const http = serviceFor();
    let listening!: Promise<unknown>;
    http.axiosRef.interceptors.request.use((config) => {
      config.cancelToken?.throwIfRequested();
      listening = config.cancelToken!.promise.then((reason) => reason);
      return config;
    });
    const subscription = http.get('/').subscribe();
    await arrived;
    subscription.unsubscribe();
    expect(isCancel(await listening)).toBe(true);
    await closed;
  });
});

it('lets the config of a call that failed be sent again', async () => {
  server.answer = (_request, response) => response.writeHead(server.requests.length === 1 ? 503 : 200).end();
  const instance = axios.create({ baseURL: server.url });
  const sentAgain = await new Promise<AxiosResponse>((resolve, reject) => {
    new M2MHttpService(instance).get('/').subscribe({
      error: (error: unknown) => {
        // As late as an application would: after the observable is torn down.
        setImmediate(() => {
          if (isAxiosError(error) && error.config) instance.request(error.config).then(resolve, reject);
          else reject(error);
        });
      },
    });
  });
  expect(sentAgain.status).toBe(200);
});

it('lets a call be sent again from within catchError', async () => {
  server.answer = (_request, response) => response.writeHead(server.requests.length === 1 ? 503 : 200).end();
  const http = new M2MHttpService(axios.create({ baseURL: server.url }));
  const again = http.get('/').pipe(catchError((error: { config: AxiosRequestConfig }) => http.request(error.config)));
  expect((await lastValueFrom(again)).status).toBe(200);
});

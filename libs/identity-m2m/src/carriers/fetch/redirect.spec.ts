import { describe, expect, it, test } from '@jest/globals';
import { firstHop, followable, type Hop, initOf, nextHop } from './redirect.js';

const HERE = 'https://api.example/a/b?c#d';

const redirect = (status: number, location = '/next') => new Response(null, { status, headers: { location } });

const hopOf = (init?: RequestInit, url = HERE) => firstHop(url, init);

describe('the first request of a call', () => {
  it('is that of a string, a URL or a Request', () => {
    const request = new Request(HERE, { method: 'PUT', headers: { 'x-a': '1' }, redirect: 'manual' });
    for (const input of [HERE, new URL(HERE)]) {
      expect(firstHop(input, undefined)).toMatchObject({
        url: HERE,
        target: HERE,
        init: undefined,
        method: 'GET',
        hasOwnBody: false,
        signal: undefined,
        redirect: 'follow',
      });
    }
    const hop = firstHop(request, undefined);
    expect(hop).toMatchObject({ url: HERE, method: 'PUT', redirect: 'manual' });
    expect(hop.target).toBe(request);
    expect(hop.signal).toBe(request.signal);
    expect([...hop.headers]).toEqual([['x-a', '1']]);
  });

  it('is that of a Request of another implementation', () => {
    const headers = { 'x-a': '1' };
    const other = { url: HERE, headers, method: 'POST', body: 'x' } as unknown as Request;
    const hop = firstHop(other, undefined);
    expect(hop).toMatchObject({ url: HERE, method: 'POST', hasOwnBody: true });
    expect(hop.target).toBe(other);
    expect([...hop.headers]).toEqual([['x-a', '1']]);
  });

  it('is that of the options rather than of the Request', () => {
    const request = new Request(HERE, { method: 'PUT', headers: { 'x-a': '1' }, redirect: 'manual', body: 'x' });
    const { signal } = new AbortController();
    const init = { method: 'PATCH', headers: { 'x-b': '2' }, redirect: 'error', body: 'y', signal } as const;
    const hop = firstHop(request, init);
    expect(hop).toMatchObject({ method: 'PATCH', redirect: 'error', body: 'y', hasOwnBody: false });
    expect(hop.signal).toBe(signal);
    expect([...hop.headers]).toEqual([['x-b', '2']]);
  });

  it('has no signal if the options remove it', () => {
    expect(firstHop(new Request(HERE), { signal: null }).signal).toBeUndefined();
    expect(hopOf({ signal: null }).signal).toBeUndefined();
  });

  test.each<[string, RequestInit | undefined, string | undefined, boolean]>([
    ['of the Request', undefined, 'x', true],
    ['of the Request, which options without one leave', {}, 'x', true],
    ['of the Request, which null leaves', { body: null }, 'x', true],
    ['of the options', { body: 'y' }, 'x', false],
    ['an empty one of the options', { body: '' }, 'x', false],
    ['none', undefined, undefined, false],
  ])('knows whether its body can be sent once only: %s', (_name, init, body, hasOwnBody) => {
    const request = new Request(HERE, { method: 'POST', ...(body !== undefined && { body }) });
    expect(firstHop(request, init).hasOwnBody).toBe(hasOwnBody);
  });

  test.each([
    ['get', 'GET'],
    ['DELETE', 'DELETE'],
    ['head', 'HEAD'],
    ['Options', 'OPTIONS'],
    ['post', 'POST'],
    ['pUt', 'PUT'],
    ['patch', 'patch'],
    ['xget', 'xget'],
    ['getx', 'getx'],
    ['xput', 'xput'],
    ['deletex', 'deletex'],
  ])('has the method that fetch sends: %s', (given, method) => {
    expect(hopOf({ method: given }).method).toBe(method);
  });

  it('keeps a form as it is now, with every value and file', async () => {
    const form = new FormData();
    form.append('a', '1');
    form.append('a', '2');
    form.append('file', new File(['abc'], 'name.txt'));
    const params = new URLSearchParams('a=1&a=2');
    const hops = [hopOf({ body: form }), hopOf({ body: params })] as const;
    form.delete('a');
    params.delete('a');
    const kept = hops[0].body as FormData;
    expect(kept.getAll('a')).toEqual(['1', '2']);
    expect((kept.get('file') as File).name).toBe('name.txt');
    expect((hops[1].body as URLSearchParams).toString()).toBe('a=1&a=2');
    for (const { body, init } of hops) expect(init?.body).toBe(body);
  });

  it('keeps the options as they are now, and other bodies as they were passed', () => {
    const body = new Blob(['abc']);
    const init: RequestInit = { body, keepalive: true };
    const hop = hopOf(init);
    init.keepalive = false;
    expect(hop.init).toEqual({ body, keepalive: true });
    expect(hop.body).toBe(body);
    expect(hopOf({ keepalive: true }).init).not.toHaveProperty('body');
  });
});

it('passes the caller’s options to fetch, except for headers and redirects', () => {
  const headers = new Headers({ 'x-a': '1' });
  const hop = hopOf({ method: 'POST', body: 'x', headers: { 'x-b': '2' }, redirect: 'follow', keepalive: true });
  expect(initOf(hop, headers, 'manual')).toEqual({
    method: 'POST',
    body: 'x',
    headers,
    redirect: 'manual',
    keepalive: true,
  });
});

describe('a response', () => {
  test.each([301, 302, 303, 307, 308])('with status %i and a location is followed', (status) => {
    expect(followable(hopOf(), redirect(status))).toBe(true);
    expect(followable(hopOf(), new Response(null, { status }))).toBe(false);
    for (const mode of ['manual', 'error'] as const)
      expect(followable(hopOf({ redirect: mode }), redirect(status))).toBe(false);
  });

  test.each([200, 201, 300, 304, 401, 500])('with status %i is not followed', (status) => {
    expect(followable(hopOf(), redirect(status))).toBe(false);
  });
});

describe('the request after a redirect', () => {
  test.each<[number, string, string]>([
    [301, 'GET', 'GET'],
    [301, 'HEAD', 'HEAD'],
    [301, 'POST', 'GET'],
    [301, 'PUT', 'PUT'],
    [302, 'GET', 'GET'],
    [302, 'POST', 'GET'],
    [302, 'PATCH', 'PATCH'],
    [303, 'GET', 'GET'],
    [303, 'HEAD', 'HEAD'],
    [303, 'POST', 'GET'],
    [303, 'PUT', 'GET'],
    [303, 'DELETE', 'GET'],
    [307, 'POST', 'POST'],
    [308, 'POST', 'POST'],
    [308, 'DELETE', 'DELETE'],
  ])('has the method of the Fetch Standard: %i, %s -> %s', (status, method, expected) => {
    const hop = nextHop(hopOf({ method }), redirect(status), 0);
    expect([hop.method, hop.init?.method]).toEqual([expected, expected]);
  });

  const headers = {
    'content-encoding': 'identity',
    'content-language': 'en',
    'content-length': '1',
    'content-location': '/x',
    'content-type': 'text/plain',
    'proxy-authorization': 'Basic eA==',
    cookie: 'a=b',
    host: 'api.example',
    accept: '*/*',
  };
  const namesOf = (hop: Hop) => [...hop.headers.keys()];

  it('loses the body and its headers if it becomes a GET', () => {
    const given = hopOf({ method: 'POST', body: 'x', headers });
    const hop = nextHop(given, redirect(303), 0);
    expect(namesOf(hop)).toEqual(['accept', 'cookie', 'host', 'proxy-authorization']);
    expect([hop.body, hop.init?.body]).toEqual([undefined, null]);
    expect(namesOf(given)).toHaveLength(9);
  });

  it('keeps the headers of a GET', () => {
    const hop = nextHop(hopOf({ headers }), redirect(303), 0);
    expect(namesOf(hop)).toEqual(Object.keys(headers).toSorted());
  });

  it('keeps the body and all headers otherwise', () => {
    const hop = nextHop(hopOf({ method: 'POST', body: 'x', headers }), redirect(307), 0);
    expect(namesOf(hop)).toEqual(Object.keys(headers).toSorted());
    expect([hop.body, hop.init?.body]).toEqual(['x', 'x']);
  });

  test.each<[string, boolean]>([
    ['https://api.example:8443/', true],
    ['http://api.example/', true],
    ['https://other.example/', true],
    ['https://sub.api.example/', true],
    ['https://api.example:443/', false],
    ['https://API.example/x', false],
    ['/x', false],
  ])('loses the headers of one origin if it goes to another: %s', (location, isOther) => {
    const hop = nextHop(hopOf({ headers: { ...headers, authorization: 'Basic eA==' } }), redirect(307, location), 0);
    const kept = ['authorization', 'proxy-authorization', 'cookie', 'host'].filter((name) => hop.headers.has(name));
    expect(kept).toHaveLength(isOther ? 0 : 4);
    expect(hop.headers.get('content-type')).toBe('text/plain');
  });

  test.each<[string, string]>([
    ['next', 'https://api.example/a/next#d'],
    ['/next', 'https://api.example/next#d'],
    ['?e', 'https://api.example/a/b?e#d'],
    ['#e', 'https://api.example/a/b?c#e'],
    ['', 'https://api.example/a/b?c#d'],
    ['//other.example/x', 'https://other.example/x#d'],
    ['http://other.example/x#y', 'http://other.example/x#y'],
    [Buffer.from('/ä').toString('latin1'), 'https://api.example/%C3%A4#d'],
  ])('goes to the location, relative to the last address: "%s"', (location, url) => {
    const hop = nextHop(hopOf(), redirect(302, location), 0);
    expect([hop.url, hop.target]).toEqual([url, new URL(url)]);
  });

  it('keeps the other options, its signal and its mode', () => {
    const { signal } = new AbortController();
    const hop = nextHop(hopOf({ signal, keepalive: true }), redirect(302), 0);
    expect(hop).toMatchObject({ hasOwnBody: false, redirect: 'follow', init: { keepalive: true } });
    expect([hop.signal, hop.init?.signal]).toEqual([signal, signal]);
    expect(nextHop(hopOf(), redirect(302), 0).init?.signal).toBeNull();
    // Otherwise fetch would take that of the Request.
    const request = new Request(HERE, { signal });
    const ofRequest = firstHop(request, undefined);
    expect(nextHop(ofRequest, redirect(302), 0).init?.signal).toBe(request.signal);
  });

  it('takes the place of a Request, whose body was sent already', () => {
    const hop = firstHop(new Request(HERE, { method: 'POST', body: 'x' }), undefined);
    const next = nextHop(hop, redirect(303), 0);
    expect(next).toMatchObject({ hasOwnBody: false, body: undefined, method: 'GET' });
    expect(nextHop(next, redirect(307), 1)).toMatchObject({ method: 'GET', url: 'https://api.example/next#d' });
  });

  it('leaves the body of the redirect unread', async () => {
    let isCancelled = false;
    const body = new ReadableStream({ cancel: () => void (isCancelled = true) });
    nextHop(hopOf(), new Response(body, { status: 302, headers: { location: '/next' } }), 0);
    expect(isCancelled).toBe(true);
  });

  const reasonOf = (make: () => unknown) => {
    try {
      make();
    } catch (error) {
      expect(error).toBeInstanceOf(TypeError);
      expect(error).toMatchObject({ message: 'fetch failed', cause: expect.any(Error) });
      return ((error as Error).cause as Error).message;
    }
    return undefined;
  };

  it('is the last one after 20 redirects', () => {
    expect(reasonOf(() => nextHop(hopOf(), redirect(302), 19))).toBeUndefined();
    expect(reasonOf(() => nextHop(hopOf(), redirect(302), 20))).toBe('more than 20 redirects');
  });

  test.each([
    ['http://[', 'a redirect to an invalid URL'],
    ['https://a b/', 'a redirect to an invalid URL'],
    ['file:///etc/passwd', 'a redirect to a URL that is neither http nor https'],
    ['data:,x', 'a redirect to a URL that is neither http nor https'],
    ['ftp://api.example/', 'a redirect to a URL that is neither http nor https'],
  ])('is not sent to %s', (location, reason) => {
    expect(reasonOf(() => nextHop(hopOf(), redirect(302, location), 0))).toBe(reason);
  });

  test.each<[string, RequestInit['body']]>([
    ['nothing', undefined],
    ['null', null],
    ['text', 'x'],
    ['no text', ''],
    ['URLSearchParams', new URLSearchParams('a=b')],
    ['a Blob', new Blob(['x'])],
    ['a form', new FormData()],
    ['an ArrayBuffer', new ArrayBuffer(1)],
    ['bytes', new Uint8Array(1)],
    ['a DataView', new DataView(new ArrayBuffer(1))],
  ])('sends the body again: %s', (_name, body) => {
    const hop = nextHop(hopOf({ method: 'POST', body }), redirect(307), 0);
    expect(hop.method).toBe('POST');
    expect(hop.body === body || hop.body instanceof FormData || hop.body instanceof URLSearchParams).toBe(true);
  });

  test.each<[string, () => RequestInit['body']]>([
    ['a stream', () => new Blob(['x']).stream()],
    ['an iterable', () => ['x'] as unknown as RequestInit['body']],
  ])('is not sent if that needs the body again, and it is %s', (_name, body) => {
    const hop = () => hopOf({ method: 'POST', body: body(), duplex: 'half' });
    for (const status of [307, 308]) expect(reasonOf(() => nextHop(hop(), redirect(status), 0))).toMatch(/only once/);
    for (const status of [301, 302, 303]) expect(reasonOf(() => nextHop(hop(), redirect(status), 0))).toBeUndefined();
  });

  test.each([
    [302, 'GET', undefined],
    [303, 'GET', undefined],
    [302, 'HEAD', undefined],
    [303, 'HEAD', undefined],
    [303, 'PUT', undefined],
    [302, 'PUT', /that of a Request/],
    [307, 'POST', /that of a Request/],
  ])('is sent if a Request that shows no body has none by its method: %i, %s', (status, method, reason) => {
    const other = { url: HERE, headers: {}, method } as unknown as Request;
    const found = reasonOf(() => nextHop(firstHop(other, undefined), redirect(status), 0));
    if (reason) expect(found).toMatch(reason);
    else expect(found).toBeUndefined();
  });

  it('is not sent if that needs the body of a Request again', () => {
    const put = () => firstHop(new Request(HERE, { method: 'PUT', body: 'x' }), undefined);
    for (const status of [301, 302, 307, 308]) {
      expect(reasonOf(() => nextHop(put(), redirect(status), 0))).toMatch(/that of a Request/);
    }
    expect(reasonOf(() => nextHop(put(), redirect(303), 0))).toBeUndefined();
  });
});

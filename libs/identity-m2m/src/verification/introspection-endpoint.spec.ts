import { afterAll, beforeAll, beforeEach, describe, expect, it, test } from '@jest/globals';
import { type Answer, json, TestServer } from '../../../../test/support/http-server.js';
import { DiscoveryError } from '../foundation/authorization-server-discovery.js';
import { type BoundedFetch, createBoundedFetch, HttpExchangeError } from '../foundation/bounded-fetch.js';
import { ManualClock } from '../testing/manual-clock.js';
import { generateSigningKey, signatureOf, type SigningKey } from '../testing/signing-key.js';
import {
  IntrospectionEndpoint,
  type IntrospectionEndpointOptions,
  IntrospectionError,
  IntrospectionRejectedError,
} from './introspection-endpoint.js';
import type { IntrospectionRequest } from './introspection-authentication.js';
import { StaticKeySet, VerificationKeys } from './key-set.js';

const NOW = new Date('2030-01-01T00:00:00Z').getTime() / 1000;
const issuer = 'https://id.example';
const { signal } = new AbortController();

let server: TestServer;
let key: SigningKey;
let stranger: SigningKey;

beforeAll(async () => {
  server = await TestServer.start(() => {});
  [key, stranger] = await Promise.all([generateSigningKey('ES256', 'k'), generateSigningKey('ES256', 'k')]);
});
afterAll(() => server.close());
beforeEach(() => {
  server.requests.length = 0;
  server.answer = json(200, { active: false });
});

const keys = () =>
  new StaticKeySet(new VerificationKeys([{ kid: 'k', algorithms: ['ES256'], key: key.publicKey, identity: 'k' }]));
function endpoint(options: Partial<IntrospectionEndpointOptions> = {}): IntrospectionEndpoint {
  return new IntrospectionEndpoint({
    issuer,
    endpoint: `${server.url}/introspect`,
    authenticate: () => ({}),
    signedFor: undefined,
    timesAsText: false,
    keys: keys(),
    algorithms: ['ES256'],
    plainHttp: 'loopback',
    fetch: createBoundedFetch(),
    clock: new ManualClock(),
    ...options,
  });
}
const ask = (options?: Partial<IntrospectionEndpointOptions>) => endpoint(options).ask('the token', signal);
const respond =
  (status: number, headers: Readonly<Record<string, string>>, body: string): Answer =>
  (_request, response) =>
    response.writeHead(status, headers).end(body);
const INVALID = () => new IntrospectionError(`introspection at ${server.url}/introspect returned an invalid response`);

describe('an introspection request', () => {
  it('fails without the text of an error of the application’s own function for credentials', async () => {
    const cause = new Error('GET https://vault.example/?token=secret failed');
    const asked = ask({ authenticate: () => Promise.reject(cause) });
    await expect(asked).rejects.toMatchObject({
      code: 'M2M_INTROSPECTION_FAILED',
      message: 'the credentials of the guard for introspection could not be read (see the cause)',
      cause,
    });
    await expect(ask({ authenticate: () => Promise.reject(INVALID()) })).rejects.toEqual(INVALID());
    expect(server.requests).toEqual([]);
  });

  it('sends the token in a form, and asks for JSON', async () => {
    await ask();
    const [request] = server.requests;
    expect(request).toMatchObject({
      method: 'POST',
      url: '/introspect',
      body: 'token=the+token&token_type_hint=access_token',
    });
    expect(request!.headers).toMatchObject({
      accept: 'application/json',
      'content-type': 'application/x-www-form-urlencoded',
    });
  });

  it('is authenticated each time, and no proof takes the place of the token', async () => {
    const asked: IntrospectionRequest[] = [];
    const authenticate = async (request: IntrospectionRequest) => {
      asked.push(request);
      return {
        headers: { authorization: `Basic ${asked.length}`, accept: '*/*' },
        body: { client_id: 'api', token: 'x', token_type_hint: 'x' },
      };
    };
    const one = endpoint({ authenticate });
    await one.ask('first', signal);
    await one.ask('second', signal);
    const expected = { endpoint: `${server.url}/introspect` };
    expect(asked).toEqual([expected, expected]);
    expect(server.requests.map(({ body, headers }) => [body, headers.authorization, headers.accept])).toEqual([
      ['client_id=api&token=first&token_type_hint=access_token', 'Basic 1', 'application/json'],
      ['client_id=api&token=second&token_type_hint=access_token', 'Basic 2', 'application/json'],
    ]);
  });

  it('is sent once more where it met a connection that the server had closed', async () => {
    const fetched: string[] = [];
    const stale: BoundedFetch = async (url, init) => {
      fetched.push(url);
      if (fetched.length === 1) throw new HttpExchangeError('stale_connection', 'closed');
      return createBoundedFetch()(url, init);
    };
    expect(await ask({ fetch: stale })).toEqual({ active: false });
    expect(fetched).toHaveLength(2);
  });

  it('is not sent once its signal has aborted', async () => {
    const reason = new Error('closed');
    await expect(endpoint().ask('the token', AbortSignal.abort(reason))).rejects.toBe(reason);
    expect(server.requests).toEqual([]);
  });
});

describe('an introspection endpoint that is not in the options', () => {
  const metadata =
    (more: object): Answer =>
    (request, ...rest) =>
      request.url.startsWith('/.well-known')
        ? json(200, { issuer: server.url, ...more })(request, ...rest)
        : json(200, { active: false })(request, ...rest);
  const discovered = () => endpoint({ issuer: server.url, endpoint: undefined });

  it('is read from the issuer’s metadata, once', async () => {
    server.answer = metadata({ introspection_endpoint: `${server.url}/found` });
    const one = discovered();
    for (let call = 0; call < 2; call++) expect(await one.ask('a', signal)).toEqual({ active: false });
    expect(server.requests.map(({ url }) => url)).toEqual(['/.well-known/openid-configuration', '/found', '/found']);
  });

  it('is read again where it could not be read', async () => {
    const one = discovered();
    server.answer = respond(503, {}, '');
    await expect(one.ask('a', signal)).rejects.toThrow('HTTP 503');
    server.answer = metadata({ introspection_endpoint: `${server.url}/found` });
    expect(await one.ask('a', signal)).toEqual({ active: false });
  });

  test.each<[string, object, RegExp]>([
    ['none', {}, /names no usable introspection_endpoint/],
    ['one on another origin', { introspection_endpoint: 'https://other.example/' }, /is on another origin/],
  ])('is not %s', async (_name, more, message) => {
    server.answer = metadata(more);
    const asked = discovered().ask('a', signal);
    await expect(asked).rejects.toThrow(message);
    await expect(asked).rejects.toBeInstanceOf(DiscoveryError);
    expect(server.requests.filter(({ method }) => method === 'POST')).toEqual([]);
  });
});

describe('an introspection response', () => {
  const read = (body: unknown, options?: Partial<IntrospectionEndpointOptions>) => {
    server.answer = respond(200, { 'content-type': 'application/json' }, JSON.stringify(body));
    return ask(options);
  };

  test.each([
    'application/json',
    'APPLICATION/JSON',
    'application/json;charset=utf-8',
    'application/json ; charset=utf-8',
    'text/json',
    'application/vnd.example+json',
  ])('is read as %s', async (type) => {
    server.answer = respond(200, { 'content-type': type }, '{"active":true,"a":1}');
    expect(await ask()).toEqual({ active: true, claims: { a: 1 } });
  });

  test.each([
    'text/html',
    'application/token-introspection+jwt',
    'application/jsonp',
    'application/x-json',
    'application/json+xml',
    'text/html; a=application/json',
    'text/html; a=+json',
    '',
    undefined,
  ])('is not read as %s', async (type) => {
    server.answer = respond(200, type === undefined ? {} : { 'content-type': type }, '{"active":true}');
    await expect(ask()).rejects.toEqual(INVALID());
  });

  it('counts with any status of success', async () => {
    server.answer = json(201, { active: false });
    expect(await ask()).toEqual({ active: false });
  });

  test.each(['', 'x', '[]', 'null', '{"active":true,"active":true}'])('is not %j', async (body) => {
    server.answer = respond(200, { 'content-type': 'application/json' }, body);
    const failed = ask();
    await expect(failed).rejects.toEqual(INVALID());
    await expect(failed).rejects.not.toBeInstanceOf(IntrospectionRejectedError);
  });

  test.each([{}, { active: 'true' }, { active: 'false' }, { active: 1 }, { active: 0 }, { active: null }])(
    'is invalid where it does not state whether the token is active: %j',
    async (body) => {
      await expect(read(body)).rejects.toEqual(INVALID());
    },
  );

  it('has claims where the token is active, and none where it is not', async () => {
    const claims = { sub: 'a', nothing: null, cnf: null, exp: '5' };
    expect(await read({ active: true, ...claims })).toEqual({
      active: true,
      claims: { sub: 'a', cnf: null, exp: '5' },
    });
    expect(await read({ active: false, ...claims })).toEqual({ active: false });
  });

  test.each<[unknown, object]>([
    [undefined, {}],
    [null, {}],
    [[], {}],
    ['', { aud: '' }],
    ['api', { aud: 'api' }],
    [['api'], { aud: ['api'] }],
    [[[]], { aud: [[]] }],
    [{}, { aud: {} }],
  ])('names the audiences %j as they are, without an empty list', async (aud, claims) => {
    const answer = await read({ active: true, aud });
    expect(answer).toEqual({ active: true, claims });
    expect('claims' in answer && Object.keys(answer.claims)).toEqual(Object.keys(claims));
  });

  test.each<[string, unknown]>([
    ['0', 0],
    ['1893456000', 1_893_456_000],
    ['253402300799', 253_402_300_799],
    ['1234567890123', '1234567890123'],
    ['', ''],
    ['1.5', '1.5'],
    ['-1', '-1'],
    ['1e3', '1e3'],
    ['x1', 'x1'],
    ['1x', '1x'],
    ['1\n', '1\n'],
  ])('may have the time %j as a string where the server sends it so', async (written, time) => {
    const claims = { exp: written, iat: written, nbf: written, auth_time: written };
    const response = await read({ active: true, ...claims }, { timesAsText: true });
    expect(response).toEqual({ active: true, claims: { exp: time, iat: time, nbf: time, auth_time: written } });
    expect(await read({ active: true, ...claims })).toEqual({ active: true, claims });
  });

  it('keeps times that are no strings, where the server sends them so', async () => {
    const claims = { exp: 5, iat: ['6'], other: 'x' };
    expect(await read({ active: true, ...claims }, { timesAsText: true })).toEqual({ active: true, claims });
  });
});

describe('an introspection request that fails', () => {
  const outcome = async (status: number, headers: Readonly<Record<string, string>> = {}, body = '') => {
    server.answer = respond(status, headers, body);
    const error: unknown = await ask().catch((reason: unknown) => reason);
    if (!(error instanceof IntrospectionError)) throw error;
    const { retryAfterMs, message } = error;
    const at = `introspection at ${server.url}/introspect `;
    expect(message.slice(0, at.length)).toBe(at);
    const kind = error instanceof IntrospectionRejectedError ? 'rejected' : 'failed';
    return [kind, message.slice(at.length), retryAfterMs];
  };
  const OWN = (status: number) => ['failed', `rejected the guard's own credentials (HTTP ${status})`, undefined];

  test.each([300, 302, 399, 408, 425, 429, 500, 502, 503, 599])('is not about its token with %i', async (status) => {
    expect(await outcome(status, { 'retry-after': '7' })).toEqual(['failed', `returned HTTP ${status}`, 7000]);
  });

  test.each([400, 403, 404, 405, 413, 414, 422, 431, 451, 499])('is about its token with %i', async (status) => {
    const expected = ['rejected', `returned HTTP ${status}`, undefined];
    expect(await outcome(status, { 'retry-after': '7' })).toEqual(expected);
    for (const body of [
      '{"error":"invalid_request"}',
      '{"error":["invalid_client"]}',
      '{"code":"invalid_client"}',
      'invalid_client',
    ]) {
      expect(await outcome(status, {}, body)).toEqual(expected);
    }
  });

  it('is about the guard’s own credentials with 401, whatever the body', async () => {
    for (const body of ['', '{"error":"invalid_token"}']) expect(await outcome(401, {}, body)).toEqual(OWN(401));
  });

  test.each(['invalid_client', 'unauthorized_client', 'access_denied', 'insufficient_scope'])(
    'is about the guard’s own credentials with the error %s and any status of a client’s error',
    async (error) => {
      for (const status of [400, 403, 429, 499]) {
        expect(await outcome(status, {}, JSON.stringify({ error }))).toEqual(OWN(status));
      }
      for (const status of [399, 500]) {
        expect(await outcome(status, {}, JSON.stringify({ error }))).toEqual([
          'failed',
          `returned HTTP ${status}`,
          undefined,
        ]);
      }
    },
  );

  test.each<[string, number | undefined]>([
    ['0', 0],
    ['7', 7000],
    ['Tue, 01 Jan 2030 00:00:20 GMT', 20_000],
    ['soon', undefined],
    ['', undefined],
  ])('waits as long as the response demands: %j', async (header, ms) => {
    const headers = { date: 'Tue, 01 Jan 2030 00:00:00 GMT', 'retry-after': header };
    expect(await outcome(503, headers)).toEqual(['failed', 'returned HTTP 503', ms]);
  });
});

describe('a signed introspection response', () => {
  const TYPE = 'application/token-introspection+jwt';
  const encoded = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url');
  const answer = { active: true, sub: 'a', exp: '5' };
  interface Parts {
    readonly header?: object;
    readonly claims?: object;
    readonly signer?: SigningKey;
    readonly type?: string;
    readonly around?: readonly [string, string];
  }
  function jws({ header, claims, signer = key }: Parts): string {
    const content = [
      { alg: 'ES256', kid: 'k', typ: 'token-introspection+jwt', ...header },
      { iss: issuer, aud: 'api', iat: NOW, token_introspection: answer, ...claims },
    ]
      .map(encoded)
      .join('.');
    return `${content}.${signatureOf(content, 'ES256', signer.privateKey).toString('base64url')}`;
  }
  const sent = (parts: Parts): Answer => {
    const { type = TYPE, around: [before, after] = ['', ''] } = parts;
    return respond(200, { 'content-type': type }, `${before}${jws(parts)}${after}`);
  };
  const read = (parts: Parts = {}, options: Partial<IntrospectionEndpointOptions> = {}) => {
    server.answer = sent(parts);
    return ask({ signedFor: 'api', ...options });
  };
  const READ = { active: true, claims: { sub: 'a', exp: '5' } };

  it('is asked for by its media type', async () => {
    expect(await read()).toEqual(READ);
    expect(server.requests[0]!.headers.accept).toBe(TYPE);
  });

  it('is read as any other response', async () => {
    expect(await read({}, { timesAsText: true })).toEqual({ active: true, claims: { sub: 'a', exp: 5 } });
    expect(await read({ claims: { token_introspection: { active: false, sub: 'a' } } })).toEqual({ active: false });
  });

  test.each<[string, Parts]>([
    ['parameters of its media type', { type: `${TYPE}; charset=utf-8` }],
    ['a line break at its end', { around: [' ', '\r\n'] }],
    ['the whole media type in its header', { header: { typ: TYPE } }],
    ['its type in capitals', { header: { typ: TYPE.toUpperCase() } }],
    ['no key identifier', { header: { kid: undefined } }],
    ['several audiences', { claims: { aud: ['other', 'api'] } }],
    ['an age of two minutes', { claims: { iat: NOW - 120 } }],
    ['a time two minutes ahead', { claims: { iat: NOW + 120 } }],
  ])('may have %s', async (_name, parts) => {
    expect(await read(parts)).toEqual(READ);
  });

  test.each<[string, Parts]>([
    ['the media type of JSON', { type: 'application/json' }],
    ['another media type', { type: 'application/jwt' }],
    ['no type in its header', { header: { typ: undefined } }],
    ['a type that is no string', { header: { typ: ['token-introspection+jwt'] } }],
    ['another type in its header', { header: { typ: 'JWT' } }],
    ['a type with something before it', { header: { typ: 'x-token-introspection+jwt' } }],
    ['a type with something behind it', { header: { typ: 'token-introspection+jwt2' } }],
    ['a type of another tree', { header: { typ: 'text/token-introspection+jwt' } }],
    ['a type that lacks its plus', { header: { typ: 'token-introspectionjwt' } }],
    ['a key identifier that is no string', { header: { kid: 1 } }],
    ['a key identifier of null', { header: { kid: null } }],
    ['another key identifier', { header: { kid: 'other' } }],
    ['no algorithm', { header: { alg: undefined } }],
    ['an algorithm that is no string', { header: { alg: ['ES256'] } }],
    ['an algorithm that is not accepted', { header: { alg: 'ES384' } }],
    ['a critical extension', { header: { crit: ['exp'] } }],
    ['another encoding of its claims', { header: { b64: true } }],
    ['the signature of a stranger', { signer: undefined }],
    ['another issuer', { claims: { iss: `${issuer}/` } }],
    ['no issuer', { claims: { iss: undefined } }],
    ['another audience', { claims: { aud: 'users-api' } }],
    ['other audiences', { claims: { aud: ['users-api', 'apis'] } }],
    ['no audience', { claims: { aud: undefined } }],
    ['an audience that only contains the name', { claims: { aud: 'api users' } }],
    ['an age beyond two minutes', { claims: { iat: NOW - 120.5 } }],
    ['a time more than two minutes ahead', { claims: { iat: NOW + 120.5 } }],
    ['no time', { claims: { iat: undefined } }],
    ['a time as text', { claims: { iat: String(NOW) } }],
    ['no answer', { claims: { token_introspection: undefined, active: true } }],
    ['an answer of null', { claims: { token_introspection: null } }],
    ['a list as its answer', { claims: { token_introspection: [answer] } }],
    ['text as its answer', { claims: { token_introspection: 'active' } }],
    ['an answer that does not say whether the token is active', { claims: { token_introspection: { sub: 'a' } } }],
    ['something before it', { around: ['x', ''] }],
    ['something behind it', { around: ['', '.'] }],
  ])('is refused with %s', async (_name, parts) => {
    const made = 'signer' in parts ? { ...parts, signer: stranger } : parts;
    await expect(read(made)).rejects.toEqual(INVALID());
  });

  test.each([1, null, ['k']])('is refused with the key identifier %j where the issuer’s key has none', async (kid) => {
    const unnamed = { kid: undefined, algorithms: ['ES256'], key: key.publicKey, identity: '' };
    const options = { keys: new StaticKeySet(new VerificationKeys([unnamed])) };
    expect(await read({ header: { kid: undefined } }, options)).toEqual(READ);
    expect(await read({ header: { kid: 'other' } }, options)).toEqual(READ);
    await expect(read({ header: { kid } }, options)).rejects.toEqual(INVALID());
  });

  it('is as long as 65,536 characters at most', async () => {
    const fetch = createBoundedFetch({ maxResponseBytes: 100_000 });
    // Base64 has no part of every length, but two parts together have any.
    const padded = Array.from({ length: 16 }, (_, index) => ({
      header: { p: 'x'.repeat(index % 4) },
      claims: { p: 'x'.repeat(48_898 + Math.floor(index / 4)) },
    }));
    const ofLength = (length: number) => padded.find((parts) => jws(parts).length === length)!;
    expect(await read(ofLength(65_536), { fetch })).toEqual(READ);
    await expect(read(ofLength(65_537), { fetch })).rejects.toEqual(INVALID());
  });

  it('is not read where responses are not signed', async () => {
    server.answer = sent({});
    await expect(ask()).rejects.toEqual(INVALID());
  });
});

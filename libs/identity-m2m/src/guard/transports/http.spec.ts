import { describe, expect, it } from '@jest/globals';
import type { ExecutionContext } from '@nestjs/common';
import type { HttpAdapterHost } from '@nestjs/core';
import { refuse, type RefusalReason } from '../../verification/refusal.js';
import { HttpTransport, httpException, type HttpRequest, messageOf, readHttpCredential } from './http.js';
import { refusalAnswer } from '../refusal-answer.js';

const TOKEN = 'eyJh.e30.c2ln';
const BEARER = `Bearer ${TOKEN}`;
const FORM = 'application/x-www-form-urlencoded';

type Outcome = 'the token' | RefusalReason;

const outcomeOf = (request: HttpRequest, header?: Parameters<typeof readHttpCredential>[1]): Outcome => {
  const credential = readHttpCredential(request, header);
  if (!credential.ok) return credential.reason;
  expect(credential.token).toBe(TOKEN);
  return 'the token';
};

describe('the credential of an HTTP request', () => {
  it.each<[string, HttpRequest, Outcome]>([
    ['no header', { rawHeaders: ['Host', 'a'] }, 'credential_missing'],
    ['one header', { rawHeaders: ['Host', 'a', 'Authorization', BEARER] }, 'the token'],
    ['any case of the name', { rawHeaders: ['AUTHORIZATION', BEARER] }, 'the token'],
    ['a value that is named so', { rawHeaders: ['Authorization', 'x', 'X', 'authorization'] }, 'credential_missing'],
    ['two headers', { rawHeaders: ['authorization', BEARER, 'Authorization', BEARER] }, 'credential_repeated'],
    ['a name without a value', { rawHeaders: ['Host', 'a', 'Authorization'] }, 'credential_missing'],
    ['headers as sent count', { rawHeaders: ['Host', 'a'], headers: { authorization: BEARER } }, 'credential_missing'],
    ['a request without headers', {}, 'credential_missing'],
  ])('as Node parsed it: %s', (_what, request, outcome) => {
    expect(outcomeOf(request)).toBe(outcome);
  });

  it.each<[string, Record<string, unknown>, Outcome]>([
    ['one header', { authorization: BEARER }, 'the token'],
    ['any case of the name', { Authorization: BEARER }, 'the token'],
    ['two spellings', { authorization: BEARER, Authorization: BEARER }, 'credential_repeated'],
    [
      'a spelling without a value',
      { authorization: BEARER, Authorization: undefined, AUTHORIZATION: null },
      'the token',
    ],
    ['a list of one', { authorization: [BEARER] }, 'credential_repeated'],
    ['joined values', { authorization: `${BEARER}, ${BEARER}` }, 'credential_repeated'],
    ['no header', { host: 'a' }, 'credential_missing'],
  ])('as an adapter made it up: %s', (_what, headers, outcome) => {
    expect(outcomeOf({ headers: headers as never })).toBe(outcome);
    expect(outcomeOf({ headers: headers as never, rawHeaders: [] })).toBe(outcome);
  });

  it.each<[string, Partial<HttpRequest> & { type?: string }, Outcome]>([
    ['a token in the query', { url: '/a?x=1&access_token=b' }, 'credential_repeated'],
    ['an empty token in the query', { url: '/?access_token' }, 'credential_repeated'],
    ['an encoded name in the query', { url: '/?access%5Ftoken=b' }, 'credential_repeated'],
    ['another name in the query', { url: '/?my_access_token=b' }, 'the token'],
    ['the name in the path', { url: '/access_token=b' }, 'the token'],
    ['an address that is no string', { url: 7 as never }, 'the token'],
    ['a token in a form', { type: FORM, body: { access_token: 'b' } }, 'credential_repeated'],
    ['a form with a charset', { type: `${FORM.toUpperCase()}; charset=utf-8`, body: { access_token: 'b' } }, 'credential_repeated'], // prettier-ignore
    ['a form without a token', { type: FORM, body: { name: 'b' } }, 'the token'],
    ['a member of the prototype', { type: FORM, body: Object.create({ access_token: 'b' }) as object }, 'the token'],
    ['JSON with that member', { type: 'application/json', body: { access_token: 'b' } }, 'the token'],
    ['a body without a type', { body: { access_token: 'b' } }, 'the token'],
    ['a body that is null', { type: FORM, body: null }, 'the token'],
    ['a body that is text', { type: FORM, body: 'access_token=b' }, 'the token'],
  ])('beside a header: %s', (_what, { type, ...request }, outcome) => {
    const headers = { ...(type !== undefined && { 'content-type': type }) };
    expect(outcomeOf({ rawHeaders: ['Authorization', BEARER], headers, ...request })).toBe(outcome);
  });

  it('is refused as missing if only the query has one', () => {
    expect(outcomeOf({ rawHeaders: ['Host', 'a'], url: '/?access_token=b' })).toBe('credential_missing');
  });

  it.each<[string, HttpRequest, Outcome]>([
    ['that header', { rawHeaders: ['X-Token', TOKEN] }, 'the token'],
    ['that header, made up', { headers: { 'x-token': TOKEN } }, 'the token'],
    ['the usual header', { rawHeaders: ['Authorization', BEARER] }, 'credential_missing'],
    ['both', { rawHeaders: ['Authorization', BEARER, 'X-Token', TOKEN] }, 'the token'],
    ['that header twice', { rawHeaders: ['X-Token', TOKEN, 'x-token', TOKEN] }, 'credential_repeated'],
  ])('in the header of the options: %s', (_what, request, outcome) => {
    expect(outcomeOf(request, { name: 'x-token', scheme: '' })).toBe(outcome);
  });
});

describe("Node's request", () => {
  const message = { rawHeaders: ['Host', 'a'], headers: {} };
  it.each<[string, unknown, unknown]>([
    ['of Express is the request', message, message],
    ['of Fastify is inside', { raw: message, headers: {} }, message],
    ['of Fastify is inside, made up', { raw: { headers: {} } }, { headers: {} }],
    ['of Express with another value as raw is the request', { ...message, raw: 'body' }, { ...message, raw: 'body' }],
    ['of Express with a buffer as raw', { ...message, raw: { length: 3 } }, { ...message, raw: { length: 3 } }],
    ['of Express with null as raw', { ...message, raw: null }, { ...message, raw: null }],
    [
      'of Express with an object with headers as raw',
      { ...message, raw: { headers: {} } },
      { ...message, raw: { headers: {} } },
    ],
    ['is empty for null', null, {}],
    ['is empty for nothing', undefined, {}],
    ['is empty for a string', 'GET /', {}],
  ])('%s', (_what, request, expected) => {
    expect(messageOf(request as HttpRequest)).toEqual(expected);
  });
});

describe('a refused HTTP request', () => {
  const contextOf = (request: unknown, response: unknown) =>
    ({ getArgByIndex: (index: number) => [request, response][index] }) as unknown as ExecutionContext;

  function setUp(setHeader: (response: unknown, name: string, value: string) => void) {
    return new HttpTransport({ httpAdapter: { setHeader } } as unknown as HttpAdapterHost, 'users', undefined);
  }

  it('gets the headers on its response, and an exception of its status', () => {
    const response: Record<string, string> = {};
    const transport = setUp((of, name, value) => {
      (of as typeof response)[name] = value;
    });
    const error = transport.refuse(contextOf({}, response), refuse('scope_insufficient'), { scopes: ['a'] });
    expect(response).toEqual({
      'www-authenticate': 'Bearer realm="users", error="insufficient_scope", scope="a"',
      'cache-control': 'no-store',
    });
    expect(error).toMatchObject({
      name: 'ForbiddenException',
      response: { statusCode: 403, error: 'insufficient_scope', message: 'The access token needs the scope: a.' },
    });
  });

  it('is refused if its response accepts no header', () => {
    const transport = setUp(() => {
      throw new TypeError('a mock');
    });
    expect(transport.refuse(contextOf({}, {}), refuse('token_expired'), {})).toMatchObject({ status: 401 });
  });

  it.each<[RefusalReason, number, string]>([
    ['credential_malformed', 400, 'BadRequestException'],
    ['credential_missing', 401, 'UnauthorizedException'],
    ['client_not_allowed', 403, 'ForbiddenException'],
    ['issuer_unavailable', 503, 'ServiceUnavailableException'],
  ])('for %s has the exception that filters know', (reason, status, name) => {
    const exception = httpException(refusalAnswer(refuse(reason)));
    expect([exception.getStatus(), exception.name]).toEqual([status, name]);
  });

  it('is known by the request of Node', () => {
    const message = { rawHeaders: ['Authorization', BEARER] };
    const transport = setUp(() => undefined);
    expect(transport.callKey(contextOf({ raw: message }, {}))).toBe(message);
    expect(transport.read(contextOf({ raw: message }, {}))).toEqual({ ok: true, token: TOKEN });
  });
});

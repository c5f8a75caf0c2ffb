import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it, test } from '@jest/globals';
import { json, TestServer } from '../../../../test/support/http-server.js';
import { DiscoveryError } from '../foundation/authorization-server-discovery.js';
import { createBoundedFetch, HttpExchangeError } from '../foundation/bounded-fetch.js';
import {
  keyFileSource,
  KeySetError,
  MAX_KEY_SET_BYTES,
  problemText,
  remoteKeySource,
  type RemoteKeySourceOptions,
} from './key-source.js';

const { signal } = new AbortController();
const KEYS = { keys: [{ kid: 'a' }] };
let server: TestServer;
let folder: string;
let path: string;

beforeAll(async () => {
  server = await TestServer.start(json(200, KEYS));
  folder = await mkdtemp(join(tmpdir(), 'key-source-'));
  path = join(folder, 'keys.json');
});
beforeEach(() => void (server.requests.length = 0));
afterAll(async () => {
  await server.close();
  await rm(folder, { recursive: true });
});

const source = (more: Partial<RemoteKeySourceOptions> = {}) =>
  remoteKeySource({ issuer: server.url, plainHttp: 'loopback', fetch: createBoundedFetch(), ...more });
const atAddress = () => source({ jwksUri: `${server.url}/keys` });
const answer = (text: string, headers: Record<string, string> = {}) =>
  (server.answer = (_request, response) => response.writeHead(200, headers).end(text));
/** Answers by path; other paths do not exist. */
const answers = (byPath: Record<string, unknown>, status = 404) =>
  (server.answer = (request, ...rest) =>
    request.url in byPath ? json(200, byPath[request.url])(request, ...rest) : json(status, {})(request, ...rest));
const asked = () => server.requests.map(({ url }) => url);
const OPENID = '/.well-known/openid-configuration';
const OAUTH = '/.well-known/oauth-authorization-server';

describe('keys at an address', () => {
  it('are read from it alone', async () => {
    server.answer = json(200, KEYS);
    expect(await atAddress().read(signal)).toEqual({ document: KEYS, lifetimeMs: 600_000 });
    expect(asked()).toEqual(['/keys']);
    expect(server.requests[0]!.headers.accept).toBe('application/jwk-set+json, application/json');
  });

  test.each([203, 404, 500])('can’t be read with HTTP %i only where that is a failure', async (status) => {
    server.answer = json(status, KEYS);
    const read = atAddress().read(signal);
    if (status === 203) expect((await read).document).toEqual(KEYS);
    else {
      const error = new KeySetError(`the key set at ${server.url}/keys returned HTTP ${status}`);
      await expect(read).rejects.toThrow(error);
      await expect(read).rejects.toBeInstanceOf(KeySetError);
    }
  });

  test.each([
    ['<html>', 'not_json'],
    ['[]', 'not_an_object'],
    ['{"keys":[],"keys":[]}', 'duplicate_member'],
  ])('are no key set where the answer is %s', async (text, fault) => {
    answer(text);
    const error = new KeySetError(`the response of ${server.url}/keys is not a key set (${fault})`);
    await expect(atAddress().read(signal)).rejects.toThrow(error);
  });

  it('are given up with the reason of the signal', async () => {
    const abort = new AbortController();
    const reason = new Error('closed');
    server.answer = () => abort.abort(reason);
    await expect(atAddress().read(abort.signal)).rejects.toBe(reason);
  });

  const several = (size: number) => `${'public, '.repeat(size)}max-age=300`;
  test.each<[cacheControl: string | undefined, age: string | undefined, lifetimeMs: number]>([
    [undefined, undefined, 600_000],
    [undefined, '300', 600_000],
    ['', undefined, 600_000],
    ['public', undefined, 600_000],
    ['max-age=300', undefined, 300_000],
    ['max-age=0', undefined, 60_000],
    ['max-age=59', undefined, 60_000],
    ['max-age=61', undefined, 61_000],
    ['max-age=86399', undefined, 86_399_000],
    ['max-age=86400', undefined, 86_400_000],
    ['max-age=86401', undefined, 86_400_000],
    ['max-age=1234567890', undefined, 86_400_000],
    ['max-age=12345678901', undefined, 600_000],
    ['max-age=', undefined, 600_000],
    ['max-age=-1', undefined, 600_000],
    ['max-age=300s', undefined, 600_000],
    ['max-age=x', undefined, 600_000],
    ['max-age= 300', undefined, 600_000],
    ['x-max-age=300', undefined, 600_000],
    ['s-maxage=300', undefined, 600_000],
    ['max-age="300"', undefined, 300_000],
    ['max-age=""300""', undefined, 600_000],
    ['MAX-Age=300', undefined, 300_000],
    ['public,\tmax-age=300 , must-revalidate', undefined, 300_000],
    ['max-age=300, max-age=900', undefined, 300_000],
    [several(19), undefined, 300_000],
    [several(20), undefined, 600_000],
    ['no-store', undefined, 60_000],
    ['no-cache', undefined, 60_000],
    ['max-age=300, No-Cache', undefined, 60_000],
    ['max-age=300, no-store', undefined, 60_000],
    ['max-age=300, no-cache="set-cookie"', undefined, 300_000],
    ['max-age=300', '0', 300_000],
    ['max-age=300', '100', 200_000],
    ['max-age=300', '239', 61_000],
    ['max-age=300', '241', 60_000],
    ['max-age=300', '1234567890', 60_000],
    ['max-age=300', '12345678901', 300_000],
    ['max-age=300', '1.5', 300_000],
    ['max-age=300', '-100', 300_000],
    ['max-age=300', '100s', 300_000],
    ['max-age=90000', '1000', 86_400_000],
    ['max-age=90000', '3700', 86_300_000],
  ])('with Cache-Control %j and Age %j are used for %i ms', async (cacheControl, age, lifetimeMs) => {
    answer('{}', {
      ...(cacheControl !== undefined && { 'cache-control': cacheControl }),
      ...(age !== undefined && { age }),
    });
    expect(await atAddress().read(signal)).toEqual({ document: {}, lifetimeMs });
  });
});

describe('keys of an issuer’s metadata', () => {
  const fallbackJwksUri = () => `${server.url}/fallback`;
  const metadata = (more: object = {}) => ({ issuer: server.url, jwks_uri: `${server.url}/found`, ...more });

  it('are read from the address in it, and not from the fallback', async () => {
    answers({ [OPENID]: metadata(), '/found': KEYS });
    expect(await source({ fallbackJwksUri: fallbackJwksUri() }).read(signal)).toEqual({
      document: KEYS,
      lifetimeMs: 600_000,
    });
    expect(asked()).toEqual([OPENID, '/found']);
  });

  test.each<[string, () => Record<string, unknown>, (url: string) => string]>([
    ['names none', () => ({ [OPENID]: metadata({ jwks_uri: undefined }) }), (url) => `${url} names no usable jwks_uri`],
    ['names a number', () => ({ [OPENID]: metadata({ jwks_uri: 5 }) }), (url) => `${url} names no usable jwks_uri`],
    [
      'names another origin',
      () => ({ [OPENID]: metadata({ jwks_uri: 'https://other.example/keys' }) }),
      (url) =>
        `${url} names the jwks_uri https://other.example/keys, which is on another origin. ` +
        'If that is correct, set it in the options',
    ],
  ])('can’t be read where it %s, except from the fallback', async (_name, documents, problem) => {
    answers({ ...documents(), '/fallback': KEYS });
    const read = source().read(signal);
    await expect(read).rejects.toThrow(new DiscoveryError('wrong_document', `the metadata of ${problem(server.url)}`));
    await expect(read).rejects.toBeInstanceOf(DiscoveryError);
    expect((await source({ fallbackJwksUri: fallbackJwksUri() }).read(signal)).document).toEqual(KEYS);
    expect(asked().at(-1)).toBe('/fallback');
  });

  it('can’t be read where there is none, except from the fallback', async () => {
    answers({ '/fallback': KEYS });
    await expect(source().read(signal)).rejects.toBeInstanceOf(DiscoveryError);
    expect(asked()).toEqual([OPENID, OAUTH]);
    expect((await source({ fallbackJwksUri: fallbackJwksUri() }).read(signal)).document).toEqual(KEYS);
  });

  it('are not looked for elsewhere while the server is down, or once they are given up', async () => {
    answers({ '/fallback': KEYS }, 503);
    await expect(source({ fallbackJwksUri: fallbackJwksUri() }).read(signal)).rejects.toBeInstanceOf(DiscoveryError);
    const abort = new AbortController();
    const reason = new TypeError('closed');
    server.answer = () => abort.abort(reason);
    await expect(source({ fallbackJwksUri: fallbackJwksUri() }).read(abort.signal)).rejects.toBe(reason);
    expect(asked()).toEqual([OPENID, OPENID]);
  });
});

describe('keys in a file', () => {
  const read = async (text: string) => {
    await writeFile(path, text);
    return keyFileSource(path).read(signal);
  };

  it('are used for 10 s, with a byte order mark or without one', async () => {
    expect(await read(JSON.stringify(KEYS))).toEqual({ document: KEYS, lifetimeMs: 10_000 });
    expect(await read(`\ufeff${JSON.stringify(KEYS)}`)).toEqual({ document: KEYS, lifetimeMs: 10_000 });
  });

  it('are read up to 262,144 bytes', async () => {
    expect(MAX_KEY_SET_BYTES).toBe(262_144);
    expect(await read(JSON.stringify(KEYS).padEnd(262_144))).toMatchObject({ document: KEYS });
    const error = new KeySetError(`the key set file ${path} is longer than 262144 bytes`);
    await expect(read(JSON.stringify(KEYS).padEnd(262_145))).rejects.toThrow(error);
    await expect(read(`{"a":"${'é'.repeat(131_069)}"}`)).rejects.toThrow(error);
  });

  it('can’t be read where there is no such file', async () => {
    const missing = join(folder, 'missing.json');
    const fault = await keyFileSource(missing)
      .read(signal)
      .catch((error: unknown) => error);
    expect(fault).toEqual(new KeySetError(`the key set file ${missing} can't be read (ENOENT)`));
    expect(fault).toMatchObject({ code: 'M2M_KEY_SET_UNAVAILABLE', cause: { code: 'ENOENT' } });
    await expect(keyFileSource(folder).read(signal)).rejects.toThrow(
      `the key set file ${folder} can't be read (EISDIR)`,
    );
  });

  it('are given up with the reason of the signal', async () => {
    const reason = new Error('closed');
    await writeFile(path, '{}');
    await expect(keyFileSource(path).read(AbortSignal.abort(reason))).rejects.toBe(reason);
  });

  const deep = (levels: number) => `${'['.repeat(levels)}${']'.repeat(levels)}`;
  test.each<[string, string, unknown]>([
    ['first', '{"keys":[{"kid":"a","kid":"b"},{"kid":"c"}]}', [null, { kid: 'c' }]],
    ['last', '{"keys":[{"kid":"c"},{"kid":"a","kid":"b"}]}', [{ kid: 'c' }, null]],
    ['one of three', '{"keys":[{"a":1}, {"b":1,"b":2} ,{"c":1}]}', [{ a: 1 }, null, { c: 1 }]],
    ['two of three', '{"keys":[{"a":1,"a":2},{"b":1},{"c":1,"c":2}]}', [null, { b: 1 }, null]],
    ['further down', '{"keys":[{"x":{"y":1,"y":2}},{"x":{"y":[{"z":1}]}}]}', [null, { x: { y: [{ z: 1 }] } }]],
    ['with brackets in strings', '{"keys":[{"a":"}]{[","b":1,"b":2},{"c":"]}"}]}', [null, { c: ']}' }]],
    ['with quotation marks in strings', '{"keys":[{"a":"\\"}","b":1,"b":2},{"c":"\\\\"}]}', [null, { c: '\\' }]],
    ['beside a list', '{"keys":[["x"],{"a":1,"a":2},[]]}', [['x'], null, []]],
    ['beside other values', '{"keys":["{",{"a":1,"a":2},5,null]}', ['{', null, 5, null]],
    ['with a name that can’t be read', '{"keys":[{"a\\"b":1},{"c":1}]}', [null, { c: 1 }]],
    ['that is too deep', `{"keys":[{"x":${deep(40)}},{"c":1}]}`, [null, { c: 1 }]],
  ])('lose one entry that is ambiguous: %s', async (_name, text, keys) => {
    expect((await read(text)).document).toEqual({ keys });
  });

  it('keep other members beside an entry that is ambiguous', async () => {
    const { document } = await read('{"a":{"b":"}"},"keys":[{"c":1,"c":2}],"d":[1]}');
    expect(document).toEqual({ a: { b: '}' }, keys: [null], d: [1] });
  });

  test.each([
    ['{"keys":', 'not_json'],
    ['', 'not_json'],
    ['{"keys":[{"a":1,"a":2},]}', 'not_json'],
    ['{"keys":[{a:1},{"b":1}]}', 'not_json'],
    ['"keys"', 'not_an_object'],
    ['[{"a":1}]', 'not_an_object'],
    ['[{"a":1,"a":2}]', 'duplicate_member'],
    ['{"keys":[{"a":1}],"keys":[]}', 'duplicate_member'],
    ['{"keys":[{"a":1,"a":2}],"keys":[]}', 'duplicate_member'],
    ['{"x":{"a":1,"a":2},"keys":[]}', 'duplicate_member'],
    ['{"keys":[[{"a":1,"a":2}]]}', 'duplicate_member'],
    [`{"keys":[],"x":${deep(40)}}`, 'too_deep'],
    ['{"a\\"b":1,"keys":[]}', 'unreadable_name'],
  ])('are no key set: %s (%s)', async (text, fault) => {
    await expect(read(text)).rejects.toThrow(new KeySetError(`the file ${path} is not a key set (${fault})`));
  });
});

describe('the report of a problem with keys', () => {
  const exchange = (advice?: string) => new HttpExchangeError('certificate', 'rejected', { advice });
  test.each<[unknown, string | undefined]>([
    [undefined, undefined],
    [null, 'unknown'],
    ['a string', 'unknown'],
    [{ message: 'an object' }, 'unknown'],
    [new Error('down'), 'down'],
    [exchange(), 'rejected'],
    [exchange('Trust it'), 'rejected. Trust it'],
    [exchange(''), 'rejected. '],
    [new Error('failed', { cause: exchange('Trust it') }), 'failed. Trust it'],
    [new Error('failed', { cause: exchange() }), 'failed'],
    [new Error('failed', { cause: { advice: 'Trust it' } }), 'failed'],
    [new HttpExchangeError('network', 'no response', { cause: exchange('Trust it') }), 'no response'],
    [new Error('naïve\n'), 'na?ve?'],
    [new Error('x'.repeat(400)), 'x'.repeat(400)],
    [new Error('x'.repeat(401)), `${'x'.repeat(400)}…`],
  ])('%j: %j', (problem, expected) => {
    expect(problemText(problem)).toBe(expected);
  });
});

import { describe, expect, it, test } from '@jest/globals';
import type { Dispatcher } from 'undici';
import { AccessToken, AUTHORIZATION_HEADER, TokenHeader } from '../../token/access-token.js';
import { authorizedHeaders, inspectHeaders, snapshotOf, withLastingHeaders } from './dispatch-headers.js';

type Given = Dispatcher.DispatchOptions['headers'];

/** The same headers in each form that undici accepts. */
const FORMS: [string, (pairs: [string, unknown][]) => Given][] = [
  ['an object', (pairs) => Object.fromEntries(pairs) as Given],
  ['a flat list', (pairs) => pairs.flat() as Given],
  ['a Map', (pairs) => new Map(pairs) as unknown as Given],
  ['pairs', (pairs) => pairs as unknown as Given],
  ['an iterator', (pairs) => new Map(pairs).entries() as unknown as Given],
];

describe.each(FORMS)('headers as %s', (_form, make) => {
  test.each<[string, [string, unknown][], { hasToken: boolean; host: string | undefined }]>([
    ['nothing', [], { hasToken: false, host: undefined }],
    ['others', [['accept', '*/*']], { hasToken: false, host: undefined }],
    ['a value that looks like one', [['accept', 'authorization']], { hasToken: false, host: undefined }],
    ['the token’s header', [['authorization', 'x']], { hasToken: true, host: undefined }],
    ['its name in capitals', [['AUTHORIZATION', 'x']], { hasToken: true, host: undefined }],
    ['it without a value', [['authorization', undefined]], { hasToken: false, host: undefined }],
    ['it empty', [['authorization', '']], { hasToken: true, host: undefined }],
    ['a name of the same length', [['authorizatiox', 'x']], { hasToken: false, host: undefined }],
    ['a host', [['Host', 'api.example']], { hasToken: false, host: 'api.example' }],
    ['a name of the length of host', [['Hose', 'x']], { hasToken: false, host: undefined }],
    ['several hosts', [['host', ['a', 'b']]], { hasToken: false, host: '' }],
    [
      'both and others',
      [
        ['accept', '*/*'],
        ['host', 'a'],
        ['authorization', 'x'],
        ['x-b', 'c'],
      ],
      { hasToken: true, host: 'a' },
    ],
    [
      'both in the other order',
      [
        ['authorization', 'x'],
        ['host', 'a'],
      ],
      { hasToken: true, host: 'a' },
    ],
  ])('are read for the token’s header and the host: %s', (_name, pairs, found) => {
    expect(inspectHeaders(make(pairs), 'authorization')).toEqual(found);
  });

  it('are read for another header of the token', () => {
    const headers = () =>
      make([
        ['X-Token', 'x'],
        ['authorization', 'y'],
      ]);
    expect(inspectHeaders(headers(), 'x-token').hasToken).toBe(true);
    expect(inspectHeaders(headers(), 'x-other').hasToken).toBe(false);
    expect(inspectHeaders(make([['host', 'x']]), 'host')).toEqual({ hasToken: true, host: undefined });
  });

  it('get the authorization, and the proof if there is one, on a copy', () => {
    const given = make([['accept', '*/*']]);
    const lasting = withLastingHeaders({ path: '/', method: 'GET', headers: given }).headers;
    const before = structuredClone(lasting);
    const call = { token: new AccessToken('a'), header: AUTHORIZATION_HEADER, authorization: 'Bearer a' };
    expect(pairsOf(authorizedHeaders(lasting, call))).toEqual([
      ['accept', '*/*'],
      ['authorization', 'Bearer a'],
    ]);
    const other = { ...call, header: new TokenHeader('X-Token'), dpop: 'a-proof' };
    expect(pairsOf(authorizedHeaders(lasting, other))).toEqual([
      ['accept', '*/*'],
      ['x-token', 'Bearer a'],
      ['dpop', 'a-proof'],
    ]);
    expect(lasting).toEqual(before);
  });

  it('stay as they are in a snapshot of the call', () => {
    const headers = make([['accept', '*/*']]);
    const options = { path: '/', method: 'GET' as const, headers };
    const snapshot = snapshotOf(options);
    if (headers instanceof Map) headers.set('accept', 'text/plain');
    else if (Array.isArray(headers)) headers.splice(0);
    else Object.assign(headers as object, { accept: 'text/plain' });
    options.path = '/other';
    expect(snapshot.path).toBe('/');
    for (let reads = 0; reads < 2; reads++) expect(pairsOf(snapshot.headers)).toEqual([['accept', '*/*']]);
  });

  it('can be read more than once afterwards, and are the same object if they could before', () => {
    const options = { path: '/', method: 'GET' as const, headers: make([['accept', '*/*']]) };
    const lasting = withLastingHeaders(options);
    for (let reads = 0; reads < 2; reads++) expect(pairsOf(lasting.headers)).toEqual([['accept', '*/*']]);
    expect(lasting === options).toBe(_form !== 'an iterator');
  });
});

/** Reads headers as undici does. */
function pairsOf(headers: Given): [string, unknown][] {
  if (!Array.isArray(headers) && !(Symbol.iterator in headers!)) return Object.entries(headers!);
  const list = [...(headers as Iterable<unknown>)];
  if (Array.isArray(list[0])) return list as [string, unknown][];
  return list.flatMap((name, index) => (index % 2 === 0 ? [[String(name), list[index + 1]]] : []));
}

test.each([[undefined], [null]])('no headers at all are read and written: %s', (headers) => {
  expect(inspectHeaders(headers, 'authorization')).toEqual({ hasToken: false, host: undefined });
  const call = { token: new AccessToken('a'), header: AUTHORIZATION_HEADER, authorization: 'Bearer a' };
  expect(authorizedHeaders(headers, call)).toEqual({ authorization: 'Bearer a' });
  expect(authorizedHeaders(headers, { ...call, dpop: 'a-proof' })).toEqual({
    authorization: 'Bearer a',
    dpop: 'a-proof',
  });
  const options = { path: '/', method: 'GET' as const, headers };
  expect(withLastingHeaders(options)).toBe(options);
  expect(snapshotOf(options)).toEqual(options);
  expect(snapshotOf(options)).not.toBe(options);
});

it('takes an object with a header named next for what it is', () => {
  const options = { path: '/', method: 'GET' as const, headers: { next: 'page' } };
  expect(withLastingHeaders(options)).toBe(options);
});

it('replaces an authorization without a value that the caller left on an object', () => {
  const call = { token: new AccessToken('a'), header: AUTHORIZATION_HEADER, authorization: 'Bearer a' };
  expect(authorizedHeaders({ authorization: undefined, accept: '*/*' }, call)).toEqual({
    authorization: 'Bearer a',
    accept: '*/*',
  });
});

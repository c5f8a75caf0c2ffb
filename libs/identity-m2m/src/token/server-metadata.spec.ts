import { describe, expect, it, test } from '@jest/globals';
import { type BoundedFetch, type BoundedFetchInit, HttpExchangeError } from '../foundation/bounded-fetch.js';
import { DiscoveryError } from '../foundation/authorization-server-discovery.js';
import type { PlainHttp } from '../foundation/url.js';
import { type ServerLocation, ServerMetadata } from './server-metadata.js';

const ISSUER = 'https://id.example.com';
const DOCUMENT = {
  issuer: ISSUER,
  token_endpoint: 'https://id.example.com/token',
  revocation_endpoint: 'https://id.example.com/revoke',
};
const ALIASES = {
  token_endpoint: 'https://mtls.example.com/token',
  revocation_endpoint: 'https://mtls.example.com/revoke',
};
const TLS = { cert: 'certificate', key: 'key' };

function setUp(location: ServerLocation = { issuer: ISSUER }, plainHttp: PlainHttp = 'never') {
  const requests: { readonly url: string; readonly init: BoundedFetchInit | undefined }[] = [];
  const server: { answer: () => Response } = { answer: () => Response.json(DOCUMENT) };
  const fetch: BoundedFetch = async (url, init) => {
    requests.push({ url, init });
    return server.answer();
  };
  const metadata = new ServerMetadata(location, plainHttp, fetch);
  const { signal } = new AbortController();
  const find = (name: 'token_endpoint' | 'revocation_endpoint' = 'token_endpoint', tls?: typeof TLS) =>
    metadata.forEndpoint(name, signal, tls);
  return { metadata, requests, server, find, signal };
}

const noResponse = () => {
  throw new HttpExchangeError('network', 'no response');
};
const untrusted = () => {
  throw new HttpExchangeError('certificate', 'untrusted');
};
const status = (status: number) => () => new Response('', { status });
const document = (members: object) => () => Response.json({ ...DOCUMENT, ...members });

describe('the endpoints of a configured address', () => {
  const tokenEndpoint = 'https://id.example.com/token';
  const revocationEndpoint = 'https://id.example.com/revoke';

  test.each([
    { location: { tokenEndpoint }, issuer: tokenEndpoint },
    { location: { tokenEndpoint, issuer: ISSUER }, issuer: ISSUER },
  ])('are known without discovery, the audience is $issuer', async ({ location, issuer }) => {
    const { find, requests, metadata } = setUp(location);
    expect(await find()).toStrictEqual({ issuer, token_endpoint: tokenEndpoint });
    metadata.invalidate();
    expect(await find('token_endpoint', TLS)).toEqual({ issuer, token_endpoint: tokenEndpoint });
    expect(requests).toEqual([]);
  });

  it('have that for revocations if it is configured', async () => {
    const { find } = setUp({ tokenEndpoint, revocationEndpoint });
    expect(await find('revocation_endpoint')).toEqual({
      issuer: tokenEndpoint,
      token_endpoint: tokenEndpoint,
      revocation_endpoint: revocationEndpoint,
    });
  });
});

describe('the endpoints of an issuer', () => {
  it('are discovered once', async () => {
    const { find, requests, signal } = setUp();
    expect(await find()).toEqual(DOCUMENT);
    expect(await find('revocation_endpoint')).toEqual(DOCUMENT);
    expect(requests.map(({ url }) => url)).toEqual(['https://id.example.com/.well-known/openid-configuration']);
    expect(requests[0]?.init?.signal).toBe(signal);
    expect(requests[0]?.init?.tls).toBeUndefined();
  });

  it('are discovered with the certificate of the client', async () => {
    const { find, requests } = setUp();
    await find('token_endpoint', TLS);
    expect(requests[0]?.init?.tls).toBe(TLS);
  });

  it('are discovered again, once, after they were invalidated', async () => {
    const { find, metadata, requests, server } = setUp();
    await find();
    metadata.invalidate();
    server.answer = document({ token_endpoint: 'https://new.example.com/token' });
    expect(await find()).toMatchObject({ token_endpoint: 'https://new.example.com/token' });
    expect(await find()).toMatchObject({ token_endpoint: 'https://new.example.com/token' });
    expect(requests).toHaveLength(2);
  });

  test.each([
    ['no response', noResponse],
    ['a certificate that is not trusted', untrusted],
    ['503', status(503)],
    ['404', status(404)],
  ])('are kept while the discovery has no answer: %s', async (_, answer) => {
    const { find, metadata, requests, server } = setUp();
    await find();
    metadata.invalidate();
    server.answer = answer;
    expect(await find()).toEqual(DOCUMENT);
    const before = requests.length;
    expect(await find()).toEqual(DOCUMENT);
    expect(requests.length).toBeGreaterThan(before);
  });

  test.each([
    ['another issuer', document({ issuer: 'https://other.example.com' })],
    ['no token endpoint', document({ token_endpoint: undefined })],
    ['an unsafe token endpoint', document({ token_endpoint: 'http://id.example.com/token' })],
  ])('are not kept where the issuer has another document: %s', async (_, answer) => {
    const { find, metadata, server } = setUp();
    await find();
    metadata.invalidate();
    server.answer = answer;
    await expect(find()).rejects.toMatchObject({ fault: 'wrong_document' });
    server.answer = noResponse;
    expect(await find()).toEqual(DOCUMENT);
  });

  it('are not kept for a caller that stopped', async () => {
    const { metadata, server, find } = setUp();
    await find();
    metadata.invalidate();
    const controller = new AbortController();
    server.answer = () => {
      controller.abort(Object.assign(new Error('stopped'), { fault: 'outage' }));
      return noResponse();
    };
    await expect(metadata.forEndpoint('token_endpoint', controller.signal)).rejects.toThrow('stopped');
  });

  test.each([
    ['no response', noResponse, 'outage'],
    ['a certificate that is not trusted', untrusted, 'certificate'],
    ['404', status(404), 'unexplained'],
    ['another issuer', document({ issuer: 'https://other.example.com' }), 'wrong_document'],
  ])('are unknown where the first discovery finds %s', async (_, answer, fault) => {
    const { find, server } = setUp();
    server.answer = answer;
    const error: unknown = await find().catch((error: unknown) => error);
    expect(error).toBeInstanceOf(DiscoveryError);
    expect(error).toMatchObject({ fault });
    server.answer = document({});
    expect(await find()).toEqual(DOCUMENT);
  });

  it('need an issuer', async () => {
    const { find, requests } = setUp({});
    await expect(find()).rejects.toThrow('the issuer "" is not an https URL, so its metadata cannot be discovered');
    expect(requests).toEqual([]);
  });

  it('have a token endpoint', async () => {
    const { find, server } = setUp();
    server.answer = document({ token_endpoint: undefined });
    await expect(find()).rejects.toThrow(`the metadata of ${ISSUER} has no token_endpoint`);
  });

  it('may lack one for revocations', async () => {
    const { find, server } = setUp();
    server.answer = document({ revocation_endpoint: undefined });
    expect(await find('revocation_endpoint')).toEqual({ issuer: ISSUER, token_endpoint: DOCUMENT.token_endpoint });
  });

  const UNSAFE = 'http://127.0.0.1/endpoint';
  const unsafe = [
    { member: 'token_endpoint', members: { token_endpoint: UNSAFE } },
    { member: 'revocation_endpoint', members: { revocation_endpoint: UNSAFE } },
    {
      member: 'token_endpoint for clients with a certificate',
      members: { mtls_endpoint_aliases: { ...ALIASES, token_endpoint: UNSAFE } },
    },
    {
      member: 'revocation_endpoint for clients with a certificate',
      members: { mtls_endpoint_aliases: { ...ALIASES, revocation_endpoint: UNSAFE } },
    },
  ];

  test.each(unsafe)('are refused where one of them is unsafe: $member', async ({ members }) => {
    const { find, server } = setUp();
    server.answer = document(members);
    const expected = new DiscoveryError(
      'wrong_document',
      `the metadata of ${ISSUER} has an unsafe endpoint (plain_http)`,
    );
    const error: unknown = await find().catch((error: unknown) => error);
    expect(error).toEqual(expected);
    expect(error).toMatchObject({ fault: 'wrong_document' });
  });

  test.each(unsafe)('are accepted where plain http is allowed: $member', async ({ members }) => {
    const { find, server } = setUp({ issuer: ISSUER }, 'loopback');
    server.answer = document(members);
    expect(await find()).toMatchObject(members);
  });
});

describe('the endpoints for a client with a certificate', () => {
  const withAliases = (aliases: object) => {
    const parts = setUp();
    parts.server.answer = document({ mtls_endpoint_aliases: aliases });
    return parts;
  };

  test.each(['token_endpoint', 'revocation_endpoint'] as const)('have an alias for the %s', async (name) => {
    const { find } = withAliases(ALIASES);
    expect((await find(name, TLS))[name]).toBe(ALIASES[name]);
    const other = name === 'token_endpoint' ? 'revocation_endpoint' : 'token_endpoint';
    expect((await find(name, TLS))[other]).toBe(DOCUMENT[other]);
    expect((await find(name))[name]).toBe(DOCUMENT[name]);
  });

  it('are those of other clients where there is no alias', async () => {
    const { find } = withAliases({ token_endpoint: ALIASES.token_endpoint });
    expect((await find('revocation_endpoint', TLS)).revocation_endpoint).toBe(DOCUMENT.revocation_endpoint);
    expect(await setUp().find('token_endpoint', TLS)).toEqual(DOCUMENT);
  });
});

describe('the audience of an assertion', () => {
  it('is the issuer, or the endpoint of the request', async () => {
    expect(await setUp({ issuer: ISSUER, assertionAudience: 'issuer' }).find()).toEqual(DOCUMENT);
    const { find } = setUp({ issuer: ISSUER, assertionAudience: 'endpoint' });
    expect((await find('token_endpoint')).issuer).toBe(DOCUMENT.token_endpoint);
    expect((await find('revocation_endpoint')).issuer).toBe(DOCUMENT.revocation_endpoint);
    expect(await find('token_endpoint')).toEqual({ ...DOCUMENT, issuer: DOCUMENT.token_endpoint });
  });

  it('is the issuer where the endpoint is missing', async () => {
    const { find, server } = setUp({ issuer: ISSUER, assertionAudience: 'endpoint' });
    server.answer = document({ revocation_endpoint: undefined });
    expect((await find('revocation_endpoint')).issuer).toBe(ISSUER);
  });

  it('is the alias of the endpoint for a client with a certificate', async () => {
    const { find, server } = setUp({ issuer: ISSUER, assertionAudience: 'endpoint' });
    server.answer = document({ mtls_endpoint_aliases: ALIASES });
    expect((await find('token_endpoint', TLS)).issuer).toBe(ALIASES.token_endpoint);
  });

  test.each([
    { location: { issuer: ISSUER }, isExplained: true },
    { location: { issuer: ISSUER, assertionAudience: 'issuer' as const }, isExplained: true },
    { location: { issuer: ISSUER, assertionAudience: 'endpoint' as const }, isExplained: false },
    { location: { tokenEndpoint: DOCUMENT.token_endpoint }, isExplained: false },
    { location: { issuer: ISSUER, tokenEndpoint: DOCUMENT.token_endpoint }, isExplained: true },
  ])('is a possible cause of a refusal of $location: $isExplained', ({ location, isExplained }) => {
    const remark =
      "The audience of its assertion is the issuer; if the server expects the endpoint, set assertionAudience: 'endpoint' of the identity provider.";
    expect(setUp(location).metadata.assertionRemark).toBe(isExplained ? remark : undefined);
  });
});

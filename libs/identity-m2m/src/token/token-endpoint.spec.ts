import { describe, expect, it, test } from '@jest/globals';
import { decodeJwt } from 'jose';
import { ClientSecretPost } from 'oauth4webapi';
import type { ClientCredential } from '../credentials/client-authentication.js';
import { DpopProver } from '../credentials/dpop-prover.js';
import {
  type BoundedFetch,
  type BoundedFetchInit,
  HttpExchangeError,
  type HttpExchangeFault,
} from '../foundation/bounded-fetch.js';
import { ClientSecret } from '../foundation/secret-source.js';
import { ManualClock } from '../testing/manual-clock.js';
import { type ServerLocation, ServerMetadata } from './server-metadata.js';
import { TokenEndpoint, type TokenEndpointOptions, type TokenRequest } from './token-endpoint.js';
import type { TokenFailure, TokenResult } from './token-result.js';

const ISSUER = 'https://id.example.com';
const ADDRESS = 'https://id.example.com/token';
const SECRET = '0123456789-abcdefghij';
const TLS = { cert: 'certificate', key: 'key' };

type Answer = (request: SentRequest) => Response | Promise<Response>;

interface SentRequest {
  readonly url: string;
  readonly init: BoundedFetchInit;
}

const grant = (members: object = {}, headers: Record<string, string> = {}): Answer => {
  return () =>
    Response.json({ access_token: 'some-token', token_type: 'Bearer', expires_in: 60, ...members }, { headers });
};
const refusal = (members: object, status = 400, headers: Record<string, string> = {}): Answer => {
  return () => Response.json(members, { status, headers });
};
const broken = (fault: HttpExchangeFault, advice?: string): Answer => {
  return () => {
    throw new HttpExchangeError(fault, `fault: ${fault}`, { advice });
  };
};

function setUp(
  options: Partial<TokenEndpointOptions> & { location?: ServerLocation; withDpop?: boolean } = {},
  more: Partial<ClientCredential> = {},
) {
  const clock = new ManualClock();
  const { location = { tokenEndpoint: ADDRESS }, withDpop = false, ...others } = options;
  const sent: SentRequest[] = [];
  const discoveries: string[] = [];
  const answers: Answer[] = [];
  const warnings: string[] = [];
  const sends: number[] = [];
  const discovery = {
    answer: (): Response => Response.json({ issuer: ISSUER, token_endpoint: ADDRESS }),
  };
  const fetch: BoundedFetch = async (url, init = {}) => {
    if (url.includes('/.well-known/')) {
      discoveries.push(url);
      return discovery.answer();
    }
    const request = { url, init };
    sent.push(request);
    const answer = answers.shift() ?? grant();
    return answer(request);
  };
  const endpoint = new TokenEndpoint({
    server: new ServerMetadata(location, 'never', fetch),
    clientId: 'the-client',
    requestFormat: 'form',
    requestHeaders: () => ({}),
    dpop: withDpop ? new DpopProver('ES256', clock) : undefined,
    response: {},
    warnings: {
      emitWarning: (warning, message) => warnings.push(`${warning}: ${message}`),
      emitOptionFailure: (option, problem) => warnings.push(`${option}: ${problem}`),
    },
    fetch,
    clock,
    ...others,
  });
  const credential: ClientCredential = {
    fingerprint: 'one',
    secrets: [new ClientSecret(SECRET)],
    isTimed: false,
    authenticate: () => ClientSecretPost(SECRET),
    ...more,
  };
  const controller = new AbortController();
  const request = (members: Partial<TokenRequest> = {}) =>
    endpoint.request(
      {
        grantType: 'client_credentials',
        credential,
        parameters: [],
        serverAheadMs: 0,
        onSend: () => sends.push(clock.now().monotonicMs),
        ...members,
      },
      controller.signal,
    );
  return { clock, sent, sends, discoveries, discovery, answers, warnings, request, controller };
}

const failureOf = (result: TokenResult): TokenFailure => {
  if (result.ok) throw new Error('the request should have failed');
  return result.failure;
};

describe('a token request', () => {
  it('is a form with the parameters and the proof of the client', async () => {
    const { request, sent, sends, controller } = setUp({}, { tls: TLS });
    const parameters = [
      ['scope', 'users audit'],
      ['resource', 'https://a.example.com'],
      ['resource', 'https://b.example.com'],
    ] as const;
    const result = await request({ parameters });
    expect(result).toMatchObject({ ok: true, granted: { lifetime: { lifetimeMs: 60_000 } } });
    expect(sent).toHaveLength(1);
    const { url, init } = sent[0]!;
    expect([url, init.method, init.tls, init.signal]).toEqual([ADDRESS, 'POST', TLS, controller.signal]);
    expect(init.headers).toMatchObject({ 'user-agent': 'nestjs-identity-m2m', accept: 'application/json' });
    expect((init.body as URLSearchParams).toString().split('&').toSorted()).toEqual([
      'client_id=the-client',
      `client_secret=${SECRET}`,
      'grant_type=client_credentials',
      'resource=https%3A%2F%2Fa.example.com',
      'resource=https%3A%2F%2Fb.example.com',
      'scope=users+audit',
    ]);
    expect(sends).toHaveLength(1);
  });

  it('is a JSON object for servers that require one, in which a repeated member is a list', async () => {
    const { request, sent } = setUp({ requestFormat: 'json' });
    const parameters = [
      ['resource', 'https://a.example.com'],
      ['scope', 'users'],
      ['resource', 'https://b.example.com'],
    ] as const;
    await request({ parameters });
    const { init } = sent[0]!;
    expect(init.method).toBe('POST');
    expect(init.headers).toMatchObject({ 'content-type': 'application/json', 'user-agent': 'nestjs-identity-m2m' });
    expect(JSON.parse(init.body as string)).toEqual({
      client_id: 'the-client',
      client_secret: SECRET,
      grant_type: 'client_credentials',
      resource: ['https://a.example.com', 'https://b.example.com'],
      scope: 'users',
    });
  });

  it.each(['form', 'json'] as const)('has the headers of the options, in the format %s', async (requestFormat) => {
    const { request, sent } = setUp({ requestFormat, requestHeaders: () => ({ 'x-api-key': 'value' }) });
    await request();
    expect(sent[0]?.init.headers).toMatchObject({ 'x-api-key': 'value', accept: 'application/json' });
    expect(sent[0]?.init.headers).not.toHaveProperty('dpop');
  });

  it('goes to the endpoint for clients with a certificate, if the client has one', async () => {
    const alias = 'https://mtls.example.com/token';
    const { request, sent, discovery } = setUp({ location: { issuer: ISSUER } }, { tls: TLS });
    const document = { issuer: ISSUER, token_endpoint: ADDRESS, mtls_endpoint_aliases: { token_endpoint: alias } };
    discovery.answer = () => Response.json(document);
    await request();
    expect(sent.map(({ url }) => url)).toEqual([alias]);
  });

  it('is timed by when it was sent and answered', async () => {
    const { clock, request, answers, sends } = setUp();
    let answer!: (response: Response) => void;
    answers.push(() => new Promise((resolve) => (answer = resolve)));
    const result = request();
    await clock.advance(700);
    answer(Response.json({ access_token: 'some-token', token_type: 'Bearer' }));
    const { requestedAt, receivedAt } = await result;
    expect([requestedAt.monotonicMs, receivedAt.monotonicMs, sends]).toEqual([0, 700, [0]]);
  });

  it('has a proof with the time of the server', async () => {
    const times: Date[] = [];
    const { clock, request } = setUp({}, { authenticate: (now) => (times.push(now), ClientSecretPost(SECRET)) });
    await clock.advance(100);
    await request({ serverAheadMs: 5000 });
    expect(times).toEqual([new Date(clock.now().wallMs + 5000)]);
  });

  test.each([
    { secrets: ['seven-7'], isWarned: true },
    { secrets: ['eightone'], isWarned: false },
    { secrets: ['eightone', 'short'], isWarned: true },
    { secrets: [], isWarned: false },
  ])('with the secrets $secrets is warned of: $isWarned', async ({ secrets, isWarned }) => {
    const { request, warnings } = setUp({}, { secrets: secrets.map((text) => new ClientSecret(text)) });
    await request();
    const warning =
      "secret_too_short: its client secret has fewer than 8 characters: it can be guessed, and is not removed from the server's error texts";
    expect(warnings).toEqual(isWarned ? [warning] : []);
  });
});

describe('a request for a token that is bound to a key', () => {
  const dpopOf = (request: SentRequest | undefined) => decodeJwt(request?.init.headers?.dpop ?? '');
  const nonceRequired = (nonce?: string, status = 400, error = 'use_dpop_nonce') =>
    refusal({ error }, status, nonce === undefined ? {} : { 'dpop-nonce': nonce });
  const bound = (headers = {}) => grant({ token_type: 'DPoP' }, headers);

  it('proves the key', async () => {
    const { request, sent, answers } = setUp({ withDpop: true });
    answers.push(bound());
    const result = await request();
    expect(result).toMatchObject({ ok: true, granted: { accessToken: { tokenType: 'DPoP' } } });
    const claims = dpopOf(sent[0]);
    expect([claims.htm, claims.htu, claims.nonce]).toEqual(['POST', ADDRESS, undefined]);
  });

  test.each([400, 401])('is repeated once with the nonce that the server requires by %s', async (status) => {
    const { clock, request, sent, sends, answers } = setUp({ withDpop: true });
    const later = async () => {
      await clock.advance(50);
      return nonceRequired('n1', status)({ url: '', init: {} });
    };
    answers.push(later, bound());
    const result = await request();
    expect(result.ok).toBe(true);
    expect(sent.map((request) => dpopOf(request).nonce)).toEqual([undefined, 'n1']);
    expect(sends).toEqual([0, 50]);
    expect(result.requestedAt.monotonicMs).toBe(50);
  });

  test.each([
    ['a nonce with another status', nonceRequired('n1', 403)],
    ['a nonce with a grant', grant({ token_type: 'DPoP', error_note: 'use_dpop_nonce' }, { 'dpop-nonce': 'n1' })],
    ['no nonce', nonceRequired()],
    ['another error', nonceRequired('n1', 400, 'invalid_dpop_proof')],
  ])('is not repeated for %s', async (_, answer) => {
    const { request, sent, answers } = setUp({ withDpop: true });
    answers.push(answer);
    await request();
    expect(sent).toHaveLength(1);
  });

  it('is not repeated twice', async () => {
    const { request, sent, answers } = setUp({ withDpop: true });
    answers.push(nonceRequired('n1'), nonceRequired('n2'));
    expect(failureOf(await request())).toMatchObject({ kind: 'configuration', oauthError: 'use_dpop_nonce' });
    expect(sent).toHaveLength(2);
    answers.push(bound());
    await request();
    expect(dpopOf(sent[2]).nonce).toBe('n2');
  });

  it('has the nonce of the last response', async () => {
    const { request, sent, answers } = setUp({ withDpop: true });
    answers.push(bound({ 'dpop-nonce': 'n1' }), bound());
    await request();
    await request();
    expect(dpopOf(sent[1]).nonce).toBe('n1');
  });

  it('is not repeated by a client without a key', async () => {
    const { request, sent, answers } = setUp();
    answers.push(nonceRequired('n1'));
    expect(failureOf(await request()).oauthError).toBe('use_dpop_nonce');
    expect(sent).toHaveLength(1);
  });

  it('fails with a bearer token', async () => {
    const failure = failureOf(await setUp({ withDpop: true }).request());
    expect(failure).toEqual({
      kind: 'configuration',
      detail: 'the client requested a token that is bound to its key (DPoP), and the server granted a bearer token',
      advice: 'Have the server bind the tokens of this client to its key, or remove the option dpop.',
    });
  });

  it('is the only one that may get a bound token', async () => {
    const { request, answers } = setUp();
    answers.push(bound());
    expect(failureOf(await request())).toEqual({
      kind: 'configuration',
      detail: 'the server granted a token that is bound to a key (DPoP), and this client has none',
      advice: 'Set the option dpop, or have the server grant bearer tokens to this client.',
    });
  });
});

describe('a stale connection', () => {
  it('has the request repeated once, with a new proof', async () => {
    const { request, sent, sends, answers } = setUp({ withDpop: true });
    answers.push(broken('stale_connection'), grant({ token_type: 'DPoP' }));
    expect((await request()).ok).toBe(true);
    expect(sends).toHaveLength(2);
    const [first, second] = sent.map(({ init }) => decodeJwt(init.headers?.dpop ?? '').jti);
    expect(first).not.toBe(second);
  });

  it('has it repeated only once', async () => {
    const { request, sent, answers } = setUp();
    answers.push(broken('stale_connection'), broken('stale_connection'));
    expect(failureOf(await request())).toMatchObject({ kind: 'transient', detail: 'fault: stale_connection' });
    expect(sent).toHaveLength(2);
  });

  it('has it repeated only once, also where a nonce needs another request', async () => {
    const { request, sent, answers } = setUp({ withDpop: true });
    const nonce = refusal({ error: 'use_dpop_nonce' }, 400, { 'dpop-nonce': 'n1' });
    answers.push(broken('stale_connection'), nonce, broken('stale_connection'));
    expect(failureOf(await request()).kind).toBe('transient');
    expect(sent).toHaveLength(3);
  });

  it('has it repeated after a nonce, if it was not repeated before', async () => {
    const { request, sent, answers } = setUp({ withDpop: true });
    const nonce = refusal({ error: 'use_dpop_nonce' }, 400, { 'dpop-nonce': 'n1' });
    answers.push(nonce, broken('stale_connection'), grant({ token_type: 'DPoP' }));
    expect((await request()).ok).toBe(true);
    expect(sent).toHaveLength(3);
  });
});

describe('a failed token request', () => {
  test.each([
    { fault: 'network', kind: 'transient' },
    { fault: 'timeout', kind: 'transient' },
    { fault: 'proxy_authentication', kind: 'proxy' },
    { fault: 'certificate', kind: 'certificate' },
    { fault: 'too_large', kind: 'malformed' },
    { fault: 'compressed', kind: 'malformed' },
    { fault: 'not_http', kind: 'malformed' },
  ] as const)('by the fault $fault is of the kind $kind', async ({ fault, kind }) => {
    const { request, sent, answers } = setUp();
    answers.push(broken(fault, 'what to do'));
    const failure = failureOf(await request());
    expect(failure).toMatchObject({ kind, detail: `fault: ${fault}`, advice: 'what to do' });
    expect(failure.cause).toBeInstanceOf(HttpExchangeError);
    expect(sent).toHaveLength(1);
  });

  it('by another exception does not show its message', async () => {
    const { request, answers } = setUp();
    const error = new Error(`of ${SECRET}`);
    answers.push(() => Promise.reject(error));
    const detail = 'the token request failed (see the cause)';
    expect(failureOf(await request())).toEqual({ kind: 'transient', detail, cause: error });
  });

  test.each([
    {
      found: 'HTTP 503',
      answer: () => new Response('', { status: 503, headers: { 'retry-after': '7' } }),
      kind: 'transient',
      retryAfterMs: 7000,
    },
    { found: 'HTTP 404', answer: () => new Response('', { status: 404 }), kind: 'unexplained' },
    {
      found: 'another issuer',
      answer: () => Response.json({ issuer: 'https://other.example.com' }),
      kind: 'configuration',
    },
    { found: 'a certificate', answer: broken('certificate', 'what to do'), kind: 'certificate', advice: 'what to do' },
  ] as const)('by a discovery that finds $found is of the kind $kind', async ({ answer, kind, ...expected }) => {
    const { request, sent, discovery } = setUp({ location: { issuer: ISSUER } });
    discovery.answer = answer as () => Response;
    const failure = failureOf(await request());
    expect(failure.kind).toBe(kind);
    expect(failure.advice).toBe('advice' in expected ? expected.advice : undefined);
    expect(failure.retryAfterMs).toBe('retryAfterMs' in expected ? expected.retryAfterMs : undefined);
    expect(failure.cause).toMatchObject({ code: 'M2M_DISCOVERY_FAILED', message: failure.detail });
    expect(sent).toEqual([]);
  });

  const unexplained: Answer = () => new Response('', { status: 404 });
  test.each([
    { kind: 'configuration', answer: refusal({ error: 'invalid_scope' }), discoveries: 2 },
    { kind: 'unexplained', answer: unexplained, discoveries: 2 },
    { kind: 'transient by a network fault', answer: broken('network'), discoveries: 2 },
    { kind: 'transient by its status', answer: () => new Response('', { status: 503 }), discoveries: 1 },
    { kind: 'credential', answer: refusal({ error: 'invalid_client' }, 401), discoveries: 1 },
    { kind: 'malformed', answer: () => new Response('<html>'), discoveries: 1 },
    { kind: 'none', answer: grant(), discoveries: 1 },
  ])('of the kind $kind leads to $discoveries discoveries in two requests', async ({ answer, discoveries }) => {
    const parts = setUp({ location: { issuer: ISSUER } });
    parts.answers.push(answer);
    await parts.request();
    await parts.request();
    expect(parts.discoveries).toHaveLength(discoveries);
  });

  it('shows no credential and no token that the server repeats', async () => {
    const { request, answers } = setUp({ requestHeaders: () => ({ 'x-api-key': 'value-of-the-header' }) });
    answers.push(
      refusal({
        error: `wrong-${SECRET}`,
        error_description: `not ${SECRET}, not value-of-the-header, not the-token-of-another, not the-client`,
        access_token: 'the-token-of-another',
      }),
    );
    expect(failureOf(await request())).toMatchObject({
      oauthError: 'wrong-[credential]',
      detail: 'wrong-[credential]: not [credential], not [credential], not [credential], not the-client',
    });
  });

  it('shows no proof of possession that the server repeats, also of the request before', async () => {
    const { request, answers } = setUp({ withDpop: true });
    const proofs: string[] = [];
    answers.push(
      ({ init }) => {
        proofs.push(init.headers?.dpop ?? '');
        return Response.json({ error: 'use_dpop_nonce' }, { status: 400, headers: { 'dpop-nonce': 'n1' } });
      },
      () => Response.json({ error: 'invalid_request', error_description: `<${proofs[0]}>` }, { status: 400 }),
    );
    expect(failureOf(await request()).detail).toBe('invalid_request: <[credential]>');
  });

  it('has no code where the server sent none', async () => {
    const { request, answers } = setUp();
    answers.push(unexplained);
    expect(failureOf(await request())).toMatchObject({
      detail: 'HTTP 404 without an OAuth error',
      oauthError: undefined,
    });
  });

  const refused = refusal({ error: 'invalid_client' }, 401);
  const blocked: Answer = () => new Response('', { status: 403 });
  const timed =
    "The audience of its assertion is the issuer; if the server expects the endpoint, set assertionAudience: 'endpoint' of the identity provider.";
  test.each([
    { answer: refused, more: { remark: 'own' }, remark: 'own' },
    { answer: refused, more: { remark: 'own', isTimed: true }, remark: 'own' },
    { answer: refused, more: { isTimed: true }, remark: timed },
    { answer: refused, more: {}, remark: undefined },
    { answer: blocked, more: { remark: 'own' }, remark: 'own' },
    { answer: blocked, more: { isTimed: true }, remark: timed },
    { answer: refusal({ error: 'invalid_scope' }), more: { remark: 'own', isTimed: true }, remark: undefined },
    { answer: unexplained, more: { remark: 'own', isTimed: true }, remark: undefined },
  ])('has the remark $remark on a credential with $more (%#)', async ({ answer, more, remark }) => {
    const { request, answers } = setUp({ location: { issuer: ISSUER } }, more);
    answers.push(answer);
    expect(failureOf(await request()).remark).toBe(remark);
  });

  it('has the times of its request', async () => {
    const { clock, request, answers } = setUp();
    answers.push(async () => {
      await clock.advance(300);
      return broken('network')({ url: '', init: {} });
    });
    const { requestedAt, receivedAt } = await request();
    expect([requestedAt.monotonicMs, receivedAt.monotonicMs]).toEqual([0, 300]);
  });
});

import { describe, expect, it, test } from '@jest/globals';
import { ClientSecretPost } from 'oauth4webapi';
import type { ClientCredential } from '../credentials/client-authentication.js';
import { CredentialQuarantine } from '../credentials/credential-quarantine.js';
import { clientCredentials } from '../credentials/token-grant.js';
import {
  type BoundedFetch,
  type BoundedFetchInit,
  createBoundedFetch,
  HttpExchangeError,
} from '../foundation/bounded-fetch.js';
import { EventStream } from '../foundation/event-stream.js';
import { ManualClock } from '../testing/manual-clock.js';
import { AccessToken } from './access-token.js';
import { clientWarnings, type OutboundEvent } from './outbound-events.js';
import { type ServerLocation, ServerMetadata } from './server-metadata.js';
import { TokenEndpoint } from './token-endpoint.js';
import { TokenRequester } from './token-requester.js';
import { TokenRevocation } from './token-revocation.js';
import { TestServer } from '../../../../test/support/http-server.js';

const ADDRESS = 'https://id.example.com/revoke';
const TLS = { cert: 'certificate', key: 'key' };

type Answer = (init: BoundedFetchInit) => Promise<Response>;

const revoked: Answer = async () => new Response();

interface SetUp extends ServerLocation {
  readonly readCredential?: () => Promise<ClientCredential>;
}

function setUp({ readCredential, ...location }: SetUp = {}) {
  const clock = new ManualClock();
  const events = new EventStream<OutboundEvent>();
  const emitted: OutboundEvent[] = [];
  events.subscribe((event) => emitted.push(event));
  const sent: { readonly url: string; readonly init: BoundedFetchInit }[] = [];
  const server: { answer: Answer } = { answer: revoked };
  const times: Date[] = [];
  const fetch: BoundedFetch = async (url, init = {}) => {
    sent.push({ url, init });
    return server.answer(init);
  };
  const metadata = new ServerMetadata(
    { tokenEndpoint: 'https://id.example.com/token', revocationEndpoint: ADDRESS, ...location },
    'loopback',
    fetch,
  );
  const credential: ClientCredential = {
    fingerprint: 'one',
    secrets: [],
    isTimed: false,
    tls: TLS,
    authenticate: (now) => {
      times.push(now);
      return ClientSecretPost('some-secret');
    },
  };
  const requestHeaders = () => ({ 'x-own': 'header' });
  const requester = new TokenRequester({
    clientId: 'the-client',
    serverName: 'https://id.example.com/token',
    endpoint: new TokenEndpoint({
      server: metadata,
      clientId: 'the-client',
      requestFormat: 'form',
      requestHeaders,
      dpop: undefined,
      response: {},
      warnings: clientWarnings('main', events),
      fetch,
      clock,
    }),
    grant: clientCredentials,
    authentication: {
      method: 'client_secret_post',
      fault: () => undefined,
      credentials: [readCredential ?? (async () => credential)],
    },
    quarantine: new CredentialQuarantine(clock, () => 0),
    quarantinePolicy: { maxRefusals: 5, probeIntervalMs: 3600_000 },
    clock,
    random: () => 0,
  });
  const revocation = new TokenRevocation({
    client: 'main',
    clientId: 'the-client',
    server: metadata,
    requester,
    requestHeaders,
    events,
    fetch,
    clock,
  });
  /** Revokes tokens, and tells whether that has ended. */
  const revoke = (count: number) => {
    const state = { isDone: false };
    const tokens = Array.from({ length: count }, (_, index) => new AccessToken(`token-${index}`));
    void revocation.revoke(tokens).then(() => (state.isDone = true));
    return state;
  };
  const revokedTokens = () => sent.map(({ init }) => (init.body as URLSearchParams).get('token'));
  return { clock, emitted, sent, server, times, revoke, revokedTokens };
}

const failed = (count: number, problem: string): OutboundEvent => ({
  type: 'token.revocation_failed',
  client: 'main',
  fingerprints: tokens(count).map((text) => new AccessToken(text).fingerprint),
  problem,
});

const tokens = (count: number) => Array.from({ length: count }, (_, index) => `token-${index}`);

describe('the revocation of tokens', () => {
  it('is a request of RFC 7009 with the proof of the client', async () => {
    const { clock, emitted, sent, times, revoke } = setUp();
    const state = revoke(1);
    await clock.advance(0);
    await clock.advance(0);
    expect([state.isDone, emitted]).toEqual([true, []]);
    expect(sent).toHaveLength(1);
    const { url, init } = sent[0]!;
    expect([url, init.method, init.tls]).toEqual([ADDRESS, 'POST', TLS]);
    expect(Object.fromEntries(init.body as URLSearchParams)).toEqual({
      client_id: 'the-client',
      client_secret: 'some-secret',
      token: 'token-0',
      token_type_hint: 'access_token',
    });
    expect(times).toEqual([new Date(clock.now().wallMs)]);
    expect(clock.pendingTimers).toBe(0);
  });

  it('goes to the endpoint for clients with a certificate, if the client has one', async () => {
    const issuer = 'https://id.example.com';
    const alias = 'https://mtls.example.com/revoke';
    const { clock, server, sent, revoke } = setUp({ issuer, tokenEndpoint: undefined });
    server.answer = async () =>
      Response.json({
        issuer,
        token_endpoint: 'https://id.example.com/token',
        revocation_endpoint: ADDRESS,
        mtls_endpoint_aliases: { revocation_endpoint: alias },
      });
    revoke(1);
    for (let turn = 0; turn < 5; turn++) await clock.advance(0);
    expect(sent.map(({ url }) => url)).toEqual([`${issuer}/.well-known/openid-configuration`, alias]);
  });

  it('reads no credential where there are no tokens', async () => {
    let reads = 0;
    const { clock, sent, revoke } = setUp({
      readCredential: async () => {
        reads++;
        throw new Error('unreadable');
      },
    });
    const state = revoke(0);
    await clock.advance(0);
    expect([state.isDone, reads, sent]).toEqual([true, 0, []]);
  });

  it('sends nothing where the server has no endpoint for it', async () => {
    const { clock, emitted, sent, times, revoke } = setUp({ revocationEndpoint: undefined });
    const state = revoke(2);
    await clock.advance(0);
    expect([state.isDone, sent, times]).toEqual([true, [], []]);
    expect(emitted).toEqual([failed(2, 'the server has no revocation endpoint')]);
  });

  it('sends nothing where no credential can be read', async () => {
    const { clock, emitted, sent, revoke } = setUp({ readCredential: () => Promise.reject(new Error('unreadable')) });
    const state = revoke(2);
    await clock.advance(0);
    expect([state.isDone, sent]).toEqual([true, []]);
    expect(emitted).toEqual([failed(2, 'no credential can be read, or the server rejected it')]);
  });

  it('sends at most 8 requests at a time, and every token once', async () => {
    const { clock, server, revoke, revokedTokens } = setUp();
    const answers: ((response: Response) => void)[] = [];
    server.answer = () => new Promise((resolve) => answers.push(resolve));
    const state = revoke(10);
    await clock.advance(0);
    expect(revokedTokens()).toEqual(tokens(8));
    answers[3]?.(new Response());
    await clock.advance(0);
    expect(revokedTokens()).toEqual(tokens(9));
    for (let answered = 0; answered < answers.length; answered++) {
      answers[answered]?.(new Response());
      await clock.advance(0);
    }
    expect(revokedTokens()).toEqual(tokens(10));
    expect(state.isDone).toBe(true);
  });

  test.each<[string, Answer, string]>([
    ['a status', async () => new Response('', { status: 503 }), 'HTTP 503'],
    ['a redirect', async () => new Response('', { status: 302 }), 'HTTP 302'],
    ['no response', () => Promise.reject(new HttpExchangeError('network', 'no response')), 'no response'],
    ['an unknown error', () => Promise.reject(new Error('with a secret')), 'the request failed'],
  ])('continues with the next token after a failure, and reports it: %s', async (_, answer, problem) => {
    const { clock, emitted, server, revoke, revokedTokens } = setUp();
    server.answer = answer;
    const state = revoke(20);
    for (let turn = 0; turn < 5; turn++) await clock.advance(0);
    expect(revokedTokens()).toEqual(tokens(20));
    expect(state.isDone).toBe(true);
    expect(emitted).toEqual([failed(20, problem)]);
  });

  it('is reported for the tokens that are left', async () => {
    const { clock, emitted, server, revoke } = setUp();
    let answered = 0;
    server.answer = async () => new Response('', { status: answered++ === 0 ? 400 : 200 });
    revoke(3);
    await clock.advance(0);
    await clock.advance(0);
    expect(emitted).toEqual([failed(1, 'HTTP 400')]);
  });

  it('sends the headers of the options and the user agent of the library, over plain http to loopback as well', async () => {
    const server = await TestServer.start((_request, response) => response.end());
    try {
      const { clock, emitted, server: answering, revoke } = setUp({ revocationEndpoint: `${server.url}/revoke` });
      const send = createBoundedFetch();
      answering.answer = (init) => send(`${server.url}/revoke`, { ...init, tls: undefined });
      const state = revoke(1);
      while (!state.isDone) await new Promise(setImmediate);
      expect(server.requests.map(({ headers }) => [headers['user-agent'], headers['x-own']])).toEqual([
        ['nestjs-identity-m2m', 'header'],
      ]);
      expect([emitted, clock.pendingTimers]).toEqual([[], 0]);
    } finally {
      await server.close();
    }
  });

  it('is repeated once after a stale connection', async () => {
    const { clock, server, revoke, revokedTokens } = setUp();
    server.answer = () => Promise.reject(new HttpExchangeError('stale_connection', 'stale'));
    const state = revoke(1);
    await clock.advance(0);
    expect(revokedTokens()).toEqual(['token-0', 'token-0']);
    expect(state.isDone).toBe(true);
  });

  it('ends after 5 s in all, and aborts what is under way', async () => {
    const { clock, emitted, server, sent, revoke, revokedTokens } = setUp();
    const answers: (() => void)[] = [];
    server.answer = () => new Promise((resolve) => answers.push(() => resolve(new Response())));
    const state = revoke(10);
    await clock.advance(4999);
    expect([state.isDone, sent[0]?.init.signal?.aborted]).toEqual([false, false]);
    await clock.advance(1);
    expect([state.isDone, sent[0]?.init.signal?.aborted]).toEqual([true, true]);
    for (const answer of answers) answer();
    await clock.advance(1000);
    expect(revokedTokens()).toEqual(tokens(8));
    expect(emitted).toEqual([failed(10, 'no response within 5000 ms')]);
  });

  it('ends after 5 s while the credential is read', async () => {
    const { clock, sent, revoke } = setUp({ readCredential: () => new Promise(() => {}) });
    const state = revoke(1);
    await clock.advance(4999);
    expect(state.isDone).toBe(false);
    await clock.advance(1);
    expect([state.isDone, sent]).toEqual([true, []]);
  });
});

import { createHash } from 'node:crypto';
import { afterEach, beforeEach, describe, expect, it, test } from '@jest/globals';
import { decodeJwt } from 'jose';
import { clientSecretAuthentication } from '../credentials/client-secret-authentication.js';
import { CredentialQuarantine } from '../credentials/credential-quarantine.js';
import { DpopProver } from '../credentials/dpop-prover.js';
import { clientCredentials } from '../credentials/token-grant.js';
import { createBoundedFetch } from '../foundation/bounded-fetch.js';
import { EventStream } from '../foundation/event-stream.js';
import { toSecretSource } from '../foundation/secret-source.js';
import { ManualClock } from '../testing/manual-clock.js';
import { AccessToken } from './access-token.js';
import { ManagedTokenProvider, type ManagedTokenProviderOptions } from './managed-token-provider.js';
import { clientWarnings, type OutboundEvent } from './outbound-events.js';
import { ServerMetadata } from './server-metadata.js';
import { TokenEndpoint } from './token-endpoint.js';
import type { TokenParametersError, TokenUnavailableError } from './token-errors.js';
import type { GetTokenOptions } from './token-provider.js';
import { TokenRequester } from './token-requester.js';
import { CertificateAuthority } from '../../../../test/support/certificates.js';
import { type Answer, json, type ReceivedRequest, TestServer } from '../../../../test/support/http-server.js';
import { until } from '../../../../test/support/socket-clock.js';
import { TestTokenServer } from '../../../../test/support/token-server.js';

const seconds = (s: number) => s * 1000;
const UNKNOWN = { freshness: 'none', refreshing: false, dormant: false };

let server: TestTokenServer;
const closing: (() => unknown)[] = [];

beforeEach(async () => {
  server = await TestTokenServer.start();
  closing.push(() => server.close());
});

afterEach(async () => {
  for (const close of closing.splice(0).toReversed()) await close();
});

function setUp(options: Partial<ManagedTokenProviderOptions> = {}, tokenEndpoint = server.url) {
  const clock = new ManualClock();
  const events = new EventStream<OutboundEvent>();
  const emitted: OutboundEvent[] = [];
  events.subscribe((event) => emitted.push(event));
  const fetch = createBoundedFetch();
  const requester = new TokenRequester({
    clientId: 'the-client',
    serverName: tokenEndpoint,
    endpoint: new TokenEndpoint({
      server: new ServerMetadata({ tokenEndpoint }, 'loopback', fetch),
      clientId: 'the-client',
      requestFormat: 'form',
      requestHeaders: () => ({}),
      dpop: options.dpop,
      response: {},
      warnings: clientWarnings('main', events),
      fetch,
      clock,
    }),
    grant: clientCredentials,
    authentication: clientSecretAuthentication('client_secret_post', toSecretSource('some-secret')),
    quarantine: new CredentialQuarantine(clock, () => 0),
    quarantinePolicy: { maxRefusals: 5, probeIntervalMs: seconds(3600) },
    clock,
    random: () => 0,
  });
  const provider = new ManagedTokenProvider({
    requester: () => requester,
    parameters: { scope: 'users' },
    allowedOrigins: ['https://api.example.com'],
    dpop: undefined,
    maxTokens: 3,
    start: 'lazy',
    startTimeoutMs: seconds(120),
    startSpreadMs: 0,
    policy: { skewMs: seconds(30), outageBudgetMs: seconds(300) },
    keepWarm: false,
    acquireTimeoutMs: seconds(5),
    requestTimeoutMs: seconds(10),
    unsafeExpiredTokenGraceMs: 0,
    context: { client: 'main', server: 'https://id.example.com/token' },
    events,
    clock,
    random: () => 0,
    ...options,
  });
  closing.push(() => provider.close());
  const token = async (given?: GetTokenOptions) => (await provider.getToken(given)).reveal();
  /** Starts the provider, and tells how that ended, once it has. */
  const start = () => {
    const state: { isDone: boolean; error?: TokenUnavailableError } = { isDone: false };
    void provider.start().then(
      () => (state.isDone = true),
      (error: TokenUnavailableError) => Object.assign(state, { isDone: true, error }),
    );
    return state;
  };
  return { clock, events, emitted, provider, token, start };
}

const bodyOf = ({ body }: ReceivedRequest) => new URLSearchParams(body);
const sentScopes = () => server.requests.map((request) => bodyOf(request).get('scope'));
const silence: Answer = () => {};
const refusal = json(401, { error: 'invalid_client' });
const outage = json(503, {}, { 'retry-after': '60' });

describe('the tokens of a client', () => {
  it('are one for each set of parameters', async () => {
    const { token } = setUp();
    const other = { scope: 'audit' };
    expect([await token(), await token(other), await token(), await token(other)]).toEqual([
      'token-1',
      'token-2',
      'token-1',
      'token-2',
    ]);
    expect(sentScopes()).toEqual(['users', 'audit']);
  });

  test.each<GetTokenOptions>([
    {},
    { scope: undefined, audience: undefined, resource: undefined, parameters: undefined },
    { scope: 'users' },
    { scope: ['users'] },
    { parameters: {} },
    { minTtlSeconds: 10 },
  ])('are the same with the parameters of the options: %j', async (options) => {
    const { provider, token } = setUp();
    await token();
    expect(await token(options)).toBe('token-1');
    expect(provider.peek(options)?.reveal()).toBe('token-1');
    expect(provider.status(options)).toMatchObject({ freshness: 'fresh' });
    expect(server.requests).toHaveLength(1);
  });

  test.each<[GetTokenOptions, Record<string, string>]>([
    [{ scope: 's2' }, { scope: 's2', audience: 'a1', resource: 'urn:r1', one: '1', two: '2' }],
    [{ audience: 'a2' }, { scope: 's1', audience: 'a2', resource: 'urn:r1', one: '1', two: '2' }],
    [{ resource: 'urn:r2' }, { scope: 's1', audience: 'a1', resource: 'urn:r2', one: '1', two: '2' }],
    [{ parameters: { two: '3' } }, { scope: 's1', audience: 'a1', resource: 'urn:r1', one: '1', two: '3' }],
  ])('have the parameters of the options besides those of the call: %j', async (options, body) => {
    const parameters = { scope: 's1', audience: 'a1', resource: 'urn:r1', parameters: { one: '1', two: '2' } };
    const { emitted, token } = setUp({ parameters });
    await token(options);
    const {
      grant_type: _grant,
      client_id: _id,
      client_secret: _secret,
      ...sent
    } = Object.fromEntries(bodyOf(server.requests[0]!));
    expect(sent).toEqual(body);
    const { scope, audience, resource } = body;
    expect(emitted).toMatchObject([{ type: 'token.acquired', scope, audience, resource: [resource] }]);
  });

  it('have a state of their own, and none before the first call', async () => {
    const { provider, token } = setUp();
    expect([provider.status(), provider.status({ scope: 'audit' })]).toEqual([UNKNOWN, UNKNOWN]);
    await token({ scope: 'audit' });
    expect(provider.status()).toEqual(UNKNOWN);
    expect(provider.status({ scope: 'audit' })).toMatchObject({ freshness: 'fresh', refreshing: false });
    expect(provider.status({ scope: 'another' })).toEqual(UNKNOWN);
  });

  it('are requested by getToken alone', async () => {
    const { provider, token } = setUp();
    await token();
    const options = { scope: 'audit' };
    const unknown = new AccessToken('unknown');
    expect(provider.peek(options)).toBeUndefined();
    expect(await provider.renewToken(unknown, options)).toBeUndefined();
    expect(provider.previousToken(unknown, options)).toBeUndefined();
    expect(provider.status(options)).toEqual(UNKNOWN);
    expect(sentScopes()).toEqual(['users']);
  });

  it('need no access to the identity provider before the first request', async () => {
    let asked = 0;
    const requester = () => {
      asked++;
      throw new Error('not expected');
    };
    const { provider } = setUp({ requester });
    await provider.start();
    provider.peek();
    provider.status();
    provider.stopRefreshing();
    provider.close();
    expect([asked, provider.heldTokens()]).toEqual([0, []]);
  });

  it('are renewed one by one', async () => {
    const { provider, token } = setUp();
    const own = await provider.getToken();
    const other = await provider.getToken({ scope: 'audit' });
    expect((await provider.renewToken(other, { scope: 'audit' }))?.reveal()).toBe('token-3');
    expect([await token(), await token({ scope: 'audit' })]).toEqual(['token-1', 'token-3']);
    expect((await provider.renewToken(own))?.reveal()).toBe('token-4');
    expect(sentScopes()).toEqual(['users', 'audit', 'audit', 'users']);
  });

  it('are held until they expire', async () => {
    const { clock, provider, token } = setUp();
    await token();
    server.lifetimeSeconds = 7200;
    await token({ scope: 'audit' });
    expect(provider.heldTokens().map((held) => held.reveal())).toEqual(['token-1', 'token-2']);
    provider.close();
    await clock.advance(seconds(3600));
    expect(provider.heldTokens().map((held) => held.reveal())).toEqual(['token-2']);
  });

  it('are at most as many as maxTokens, and the one used longest ago is evicted', async () => {
    const { provider, token } = setUp({ maxTokens: 3 });
    for (const scope of ['users', 'a', 'b', 'a', 'c']) await token({ scope });
    const known = ['users', 'a', 'b', 'c'].filter((scope) => provider.peek({ scope }));
    expect(known).toEqual(['users', 'a', 'c']);
  });

  it('are no more than maxTokens if all are being fetched', async () => {
    const { clock, provider } = setUp({ maxTokens: 2 });
    server.fault = silence;
    const first = provider.getToken({ scope: 'a' }).catch((error: unknown) => error);
    await expect(provider.getToken({ scope: 'b' })).rejects.toMatchObject({
      code: 'M2M_TOKEN_UNAVAILABLE',
      reason: 'overloaded',
      client: 'main',
      message:
        'No access token for client "main": 2 tokens with different parameters are being fetched already. Retry later, or raise maxTokens.',
    });
    provider.close();
    expect(await first).toMatchObject({ reason: 'shut_down' });
    expect(clock.pendingTimers).toBe(0);
  });
});

describe('a call', () => {
  const prefix = 'Invalid token parameters for client "main": ';

  test.each<[string, unknown]>([
    ['scope must be one or more scopes.', { scope: '' }],
    ['audience must be a string.', { audience: 5 }],
    ['resource must be one or more absolute URIs without fragment.', { resource: '/users' }],
    [
      'parameters.scope: expected no parameter scope, because the option scope sets it.',
      { parameters: { scope: 'a' } },
    ],
  ])('has valid parameters: %s', async (fault, invalid) => {
    const { provider } = setUp();
    const options = invalid as GetTokenOptions;
    const error = { code: 'M2M_TOKEN_PARAMETERS_INVALID', message: prefix + fault } as TokenParametersError;
    const unknown = new AccessToken('unknown');
    await expect(provider.getToken(options)).rejects.toMatchObject(error);
    await expect(provider.renewToken(unknown, options)).rejects.toMatchObject(error);
    for (const ask of [
      () => provider.peek(options),
      () => provider.status(options),
      () => provider.previousToken(unknown, options),
    ]) {
      expect(ask).toThrow(error.message);
    }
    expect(server.requests).toEqual([]);
  });

  test.each([-1, NaN, Infinity, '5'])('needs a token for a number of seconds: %p', async (value) => {
    const { provider, token } = setUp();
    const held = await provider.getToken();
    const options = { minTtlSeconds: value as number };
    const message = `${prefix}minTtlSeconds must be a number of seconds, 0 or above.`;
    await expect(token(options)).rejects.toThrow(message);
    expect(() => provider.peek(options)).toThrow(message);
    expect(() => provider.previousToken(held, options)).toThrow(message);
  });

  it('gets a token that lives for as long as it needs', async () => {
    const { clock, provider, token } = setUp();
    await token();
    await clock.advance(seconds(1000));
    const peeked = [0, 2600, 2601].map((minTtlSeconds) => provider.peek({ minTtlSeconds })?.reveal());
    expect(peeked).toEqual(['token-1', 'token-1', undefined]);
    expect(await token({ minTtlSeconds: 2600 })).toBe('token-1');
    expect(await token({ minTtlSeconds: 2601 })).toBe('token-2');
  });

  it('may stop waiting', async () => {
    const { provider } = setUp();
    server.fault = silence;
    const controller = new AbortController();
    const waiting = provider.getToken({ signal: controller.signal });
    const renewing = provider.renewToken(new AccessToken('unknown'), { signal: controller.signal });
    controller.abort(new Error('enough'));
    await expect(waiting).rejects.toThrow('enough');
    await expect(renewing).rejects.toThrow('enough');
  });

  it('finds the token before, for the same parameters and for as long as it needs', async () => {
    const { clock, provider } = setUp();
    server.lifetimeSeconds = 60;
    const first = await provider.getToken();
    await clock.advance(seconds(30));
    await until(() => provider.peek()?.reveal() === 'token-2');
    const second = await provider.getToken();
    expect(provider.previousToken(second)).toBe(first);
    expect(provider.previousToken(second, { minTtlSeconds: 29 })).toBe(first);
    expect(provider.previousToken(second, { minTtlSeconds: 30 })).toBeUndefined();
    expect(provider.previousToken(second, { scope: 'audit' })).toBeUndefined();
  });

  it('may carry the token to the allowed origins', () => {
    const { provider } = setUp();
    expect(provider.explain('https://api.example.com/users')).toEqual({
      isAllowed: true,
      reason: 'allowed',
      rule: 'https://api.example.com',
    });
    expect(provider.explain('https://api.example.org/users')).toMatchObject({ isAllowed: false });
  });
});

describe('the proof of a call', () => {
  const url = 'https://api.example.com/users';

  it('is made for a token that is bound to the key, with the nonce of the server', async () => {
    const { provider } = setUp({ dpop: new DpopProver('ES256', new ManualClock()) });
    const bound = new AccessToken('bound', 'DPoP');
    const ath = createHash('sha256').update('bound').digest('base64url');
    const claims = async () => decodeJwt((await provider.proof(bound, 'PUT', url))!);
    expect(await claims()).toMatchObject({ htm: 'PUT', htu: url, ath });
    expect([provider.learnNonce(url, 'n1'), provider.learnNonce(url, 'n1')]).toEqual([true, false]);
    expect(await claims()).toMatchObject({ nonce: 'n1' });
  });

  it('is not made for a bearer token, or without a key', async () => {
    const { provider } = setUp({ dpop: new DpopProver('ES256', new ManualClock()) });
    expect(await provider.proof(new AccessToken('bearer'), 'GET', url)).toBeUndefined();
    const { provider: keyless } = setUp();
    expect(await keyless.proof(new AccessToken('bound', 'DPoP'), 'GET', url)).toBeUndefined();
    expect(keyless.learnNonce(url, 'n1')).toBe(false);
  });
});

describe('retryNow()', () => {
  it.each([
    ['the quarantine of the credential', refusal],
    ['the back-off', outage],
  ])('ends %s, for all tokens', async (_, answer) => {
    const { clock, emitted, provider, token } = setUp();
    server.fault = answer;
    for (const scope of ['users', 'audit']) {
      await expect(token({ scope })).rejects.toMatchObject({ client: 'main' });
    }
    const before = server.requests.length;
    server.fault = undefined;
    await clock.advance(seconds(1));
    for (const scope of ['users', 'audit']) {
      await expect(token({ scope })).rejects.toMatchObject({ client: 'main' });
    }
    expect(server.requests).toHaveLength(before);
    emitted.length = 0;
    provider.retryNow();
    expect(emitted).toEqual([{ type: 'client.retry_now', client: 'main' }]);
    expect([await token({ scope: 'audit' }), await token()]).toEqual(['token-1', 'token-2']);
  });

  it('is allowed before the first call', async () => {
    const { provider, token } = setUp();
    provider.retryNow();
    expect(await token()).toBe('token-1');
  });
});

describe('the end of a client', () => {
  it('first stops refreshes of all tokens, and calls are still served', async () => {
    const { clock, provider, token } = setUp();
    await token();
    await token({ scope: 'audit' });
    expect(clock.pendingTimers).toBe(2);
    provider.stopRefreshing();
    expect(clock.pendingTimers).toBe(0);
    expect([await token(), await token({ scope: 'another' })]).toEqual(['token-1', 'token-3']);
    expect(clock.pendingTimers).toBe(0);
  });

  it('then ends all waits, and held tokens are still returned', async () => {
    const { clock, provider, token } = setUp();
    await token();
    server.fault = silence;
    const waiting = token({ scope: 'audit' }).catch((error: unknown) => error);
    await until(() => server.requests.length === 2);
    provider.close();
    expect(await waiting).toMatchObject({ reason: 'shut_down' });
    expect(await token()).toBe('token-1');
    await expect(token({ scope: 'another' })).rejects.toMatchObject({ reason: 'shut_down' });
    expect([server.requests.length, clock.pendingTimers]).toEqual([2, 0]);
  });
});

describe('a start in the mode lazy', () => {
  it('does nothing', async () => {
    const { clock, provider } = setUp({ start: 'lazy', startSpreadMs: seconds(10), random: () => 0.5 });
    await provider.start();
    expect([provider.status(), clock.pendingTimers]).toEqual([UNKNOWN, 0]);
  });
});

describe('a start in the mode warm', () => {
  it('requests the token at once and does not wait for it', async () => {
    const { provider } = setUp({ start: 'warm' });
    await provider.start();
    expect(provider.status()).toMatchObject({ freshness: 'none', refreshing: true });
    await until(() => provider.peek() !== undefined);
    expect(sentScopes()).toEqual(['users']);
  });

  it('requests the token after its part of the spread', async () => {
    const { clock, provider } = setUp({ start: 'warm', startSpreadMs: seconds(10), random: () => 0.5 });
    await provider.start();
    await clock.advance(seconds(5) - 1);
    expect(provider.status()).toEqual(UNKNOWN);
    await clock.advance(1);
    expect(provider.status().refreshing).toBe(true);
    await until(() => provider.peek() !== undefined);
  });

  test.each(['stopRefreshing', 'close'] as const)('requests nothing after %s() within the spread', async (end) => {
    const { clock, provider } = setUp({ start: 'warm', startSpreadMs: seconds(10), random: () => 0.5 });
    await provider.start();
    expect(clock.pendingTimers).toBe(1);
    provider[end]();
    expect(clock.pendingTimers).toBe(0);
    await clock.advance(seconds(10));
    expect(provider.status()).toEqual(UNKNOWN);
  });
});

describe('a start in the mode require', () => {
  it('waits for the token, and leaves no timer but that of its refresh', async () => {
    const { clock, provider } = setUp({ start: 'require' });
    await provider.start();
    expect(provider.peek()?.reveal()).toBe('token-1');
    expect(clock.pendingTimers).toBe(1);
    provider.stopRefreshing();
    expect(clock.pendingTimers).toBe(0);
  });

  it('first waits for its part of the spread, which does not count as time of the start', async () => {
    const spread = { startSpreadMs: seconds(10), random: () => 0.5 };
    const { clock, provider, start } = setUp({ start: 'require', startTimeoutMs: seconds(3), ...spread });
    server.fault = silence;
    const state = start();
    await clock.advance(seconds(5) - 1);
    expect(provider.status()).toEqual(UNKNOWN);
    await clock.advance(1);
    expect(provider.status().refreshing).toBe(true);
    await clock.advance(seconds(3) - 1);
    expect(state.isDone).toBe(false);
    await clock.advance(1);
    expect(state.error).toMatchObject({ reason: 'wait_timeout' });
  });

  test.each<[string, Answer, Partial<TokenUnavailableError>]>([
    ['the client', refusal, { code: 'M2M_CLIENT_REJECTED' }],
    ['the request', json(400, { error: 'invalid_scope' }), { code: 'M2M_TOKEN_REQUEST_REJECTED' }],
  ])('fails at once if the server rejects %s', async (_, answer, error) => {
    const { clock, provider } = setUp({ start: 'require' });
    server.fault = answer;
    await expect(provider.start()).rejects.toMatchObject(error);
    expect(server.requests).toHaveLength(1);
    provider.stopRefreshing();
    expect(clock.pendingTimers).toBe(0);
  });

  it('fails at once if the certificate of the server is not trusted', async () => {
    const authority = await CertificateAuthority.create('Unknown authority');
    const untrusted = await TestServer.start(json(200, {}), await authority.issueForLoopback());
    closing.push(() => untrusted.close());
    const { provider } = setUp({ start: 'require' }, `${untrusted.url}/token`);
    await expect(provider.start()).rejects.toMatchObject({ reason: 'certificate_rejected' });
  });

  it('retries after a refusal that may be that of a gateway', async () => {
    const { clock, provider, start } = setUp({ start: 'require', acquireTimeoutMs: 300 });
    server.fault = json(401, {});
    const state = start();
    await until(() => provider.status().lastError !== undefined);
    server.fault = undefined;
    await clock.advance(499);
    expect([state.isDone, provider.status().refreshing]).toEqual([false, false]);
    await clock.advance(1);
    await until(() => state.isDone);
    expect([state.error, server.requests.length]).toEqual([undefined, 2]);
  });

  it('waits until the next attempt is due', async () => {
    const { clock, provider, start } = setUp({ start: 'require' });
    server.fault = outage;
    const state = start();
    await until(() => provider.status().lastError !== undefined);
    server.fault = undefined;
    await clock.advance(seconds(60) - 1);
    expect([state.isDone, provider.status().refreshing]).toEqual([false, false]);
    await clock.advance(1);
    expect(provider.status().refreshing).toBe(true);
    await until(() => state.isDone);
    expect([state.error, server.requests.length, provider.peek()?.reveal()]).toEqual([undefined, 2, 'token-1']);
  });

  test.each<[string, (clock: ManualClock) => unknown]>([
    ['that goes on', (clock) => clock.advance(seconds(20))],
    ['that stood still while the machine slept', (clock) => clock.suspend(seconds(20))],
  ])('waits for the rest of a back-off by a clock %s', async (_, pass) => {
    const { clock, provider, start, token } = setUp({ start: 'require' });
    server.fault = outage;
    await expect(token()).rejects.toMatchObject({ reason: 'outage' });
    server.fault = undefined;
    await pass(clock);
    const state = start();
    await clock.advance(seconds(40) - 1);
    expect([state.isDone, provider.status().refreshing]).toEqual([false, false]);
    await clock.advance(1);
    expect(provider.status().refreshing).toBe(true);
    await until(() => state.isDone);
    expect([state.error, server.requests.length]).toEqual([undefined, 2]);
  });

  it('ends that wait by retryNow(), each time', async () => {
    const { clock, provider, start } = setUp({ start: 'require' });
    server.fault = outage;
    const state = start();
    for (const failures of [1, 2]) {
      await until(() => provider.status().lastError !== undefined && !provider.status().refreshing);
      await clock.advance(seconds(1));
      expect([state.isDone, server.requests.length]).toEqual([false, failures]);
      provider.retryNow();
      await until(() => server.requests.length === failures + 1);
      server.fault = undefined;
    }
    await until(() => state.isDone);
    expect(state.error).toBeUndefined();
  });

  it('fails after its timeout with the last failure as the cause', async () => {
    const { clock, provider, start } = setUp({ start: 'require', startTimeoutMs: seconds(12) });
    server.fault = outage;
    const state = start();
    await until(() => provider.status().lastError !== undefined);
    await clock.advance(seconds(12) - 1);
    expect(state.isDone).toBe(false);
    await clock.advance(1);
    expect(state.error).toMatchObject({
      code: 'M2M_TOKEN_UNAVAILABLE',
      reason: 'wait_timeout',
      client: 'main',
      message: 'No access token for client "main" within 12000 ms, which start: "require" needs. See the cause.',
      cause: { reason: 'outage' },
    });
    expect(server.requests).toHaveLength(1);
  });

  it('waits for a silent server longer than a call does', async () => {
    const timeouts = { startTimeoutMs: seconds(12), requestTimeoutMs: seconds(60) };
    const { clock, start } = setUp({ start: 'require', ...timeouts });
    server.fault = silence;
    const state = start();
    await clock.advance(seconds(12) - 1);
    expect(state.isDone).toBe(false);
    await clock.advance(1);
    expect(state.error).toMatchObject({ reason: 'wait_timeout', cause: { reason: 'wait_timeout' } });
  });
});

describe.each(['stopRefreshing', 'close'] as const)('a start in the mode require, ended by %s()', (end) => {
  const stopped = {
    code: 'M2M_TOKEN_UNAVAILABLE',
    reason: 'shut_down',
    client: 'main',
    message: 'No access token for client "main": the application stopped during its start.',
  };

  it('before it, requests nothing', async () => {
    const { clock, provider } = setUp({ start: 'require' });
    provider[end]();
    await expect(provider.start()).rejects.toMatchObject(stopped);
    expect([provider.status(), clock.pendingTimers]).toEqual([UNKNOWN, 0]);
  });

  it('within the spread, requests nothing', async () => {
    const { clock, provider, start } = setUp({ start: 'require', startSpreadMs: seconds(10), random: () => 0.5 });
    const state = start();
    await clock.advance(seconds(1));
    provider[end]();
    await clock.advance(0);
    expect(state.error).toMatchObject(stopped);
    expect([provider.status(), clock.pendingTimers]).toEqual([UNKNOWN, 0]);
  });

  it('during a request, does not wait for the response', async () => {
    const { clock, provider, start } = setUp({ start: 'require' });
    server.fault = silence;
    const state = start();
    await until(() => server.requests.length === 1);
    provider[end]();
    await clock.advance(0);
    expect(state.error).toMatchObject(stopped);
    expect(state.error?.cause).toBeUndefined();
  });

  it('between two attempts, has the last failure as the cause', async () => {
    const { clock, provider, start } = setUp({ start: 'require' });
    server.fault = outage;
    const state = start();
    await until(() => provider.status().lastError !== undefined);
    await clock.advance(seconds(10));
    provider[end]();
    await clock.advance(0);
    expect(state.error).toMatchObject({ ...stopped, cause: { reason: 'outage' } });
    expect([server.requests.length, clock.pendingTimers]).toEqual([1, 0]);
  });
});

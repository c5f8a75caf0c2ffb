import { afterEach, describe, expect, it, test } from '@jest/globals';
import fc from 'fast-check';
import {
  type ClientOptions,
  genericOAuth2,
  type OutboundEvent,
  type TokenProvider,
  TokenUnavailableError,
} from 'nestjs-identity-m2m';
// From inside: processes of a fleet are clients without a Nest application.
import { ConfiguredClients } from '../libs/identity-m2m/src/clients/configured-clients.js';
import { startApplication } from './support/application.js';
import { fleetFigures, loginsPerHour } from './support/fleet-model.js';
import { type Answer, json, TestServer } from './support/http-server.js';
import { grant, oauthError, type SimulatedAnswer, SimulatedNetwork } from './support/simulated-network.js';
import { ManualClock } from 'nestjs-identity-m2m/testing';

const closing: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  await Promise.all(closing.splice(0).map((close) => close()));
});

let tokens = 0;
const granted =
  (lifetimeSeconds = 3600): Answer =>
  (...args) =>
    json(200, { access_token: `token-${++tokens}`, token_type: 'Bearer', expires_in: lifetimeSeconds })(...args);
const status =
  (code: number): Answer =>
  (_request, response) =>
    response.writeHead(code, { 'content-type': 'text/html' }).end('<html></html>');
const reset: Answer = (_request, response) => response.socket!.resetAndDestroy();

/** A client of a real token endpoint, by a clock that the test moves and that waits for the request under way. */
async function client(options: Partial<ClientOptions> = {}) {
  const server = await TestServer.start(granted());
  closing.push(() => server.close());
  const clock: ManualClock = new ManualClock(undefined, async () => {
    do await new Promise(setImmediate);
    while (application.provider.status().refreshing);
  });
  const application = await startApplication(
    {
      client: {
        identityProvider: genericOAuth2({ tokenEndpoint: `${server.url}/token` }),
        clientId: 'id',
        clientSecret: 'a-secret',
        ...options,
      },
    },
    clock,
  );
  closing.push(() => application.module.close());
  return { server, clock, ...application };
}

/** The same over a simulated network, where nothing takes real time: for answers that never come. */
async function simulatedClient(options: Partial<ClientOptions> = {}) {
  const network = new SimulatedNetwork();
  const { clock } = network;
  const application = await startApplication(
    {
      client: {
        identityProvider: genericOAuth2({ tokenEndpoint: 'http://127.0.0.1/token' }),
        clientId: 'id',
        clientSecret: 'a-secret',
        agent: network,
        ...options,
      },
    },
    clock,
  );
  closing.push(() => application.module.close());
  return { network, clock, ...application };
}

interface Call {
  readonly at: number;
  token?: string;
  error?: TokenUnavailableError;
  endedAt?: number;
}

/** Begins a call, and keeps what comes of it. */
function call(provider: TokenProvider, clock: ManualClock | SimulatedNetwork['clock']): Call {
  const one: Call = { at: clock.now().monotonicMs };
  void provider.getToken().then(
    (token) => Object.assign(one, { token: token.reveal(), endedAt: clock.now().monotonicMs }),
    (error: unknown) => Object.assign(one, { error, endedAt: clock.now().monotonicMs }),
  );
  return one;
}

const ofType = <Type extends OutboundEvent['type']>(events: readonly OutboundEvent[], type: Type) =>
  events.filter((event): event is Extract<OutboundEvent, { type: Type }> => event.type === type);

describe('a token endpoint that restarts', () => {
  /** What its callers see: four resets, one answer of what stands in front of it, and then the server itself. */
  const restart = (inBetween: Answer) => {
    const answers = [reset, reset, reset, reset, inBetween];
    return ((...args) => (answers.shift() ?? granted())(...args)) as Answer;
  };

  test.each([404, 403, 401, 405, 400, 410, 418, 502, 503])(
    'srv-2: gets a new request within seconds after four resets and one HTTP %i',
    async (code) => {
      const { server, clock, provider } = await client();
      const times: number[] = [];
      const answer = restart(status(code));
      server.answer = (...args) => (times.push(clock.now().monotonicMs), answer(...args));
      const first = call(provider, clock);
      for (let tenths = 0; tenths < 300 && provider.status().freshness === 'none'; tenths++) await clock.advance(100);
      expect(times).toHaveLength(6);
      expect(times[5]! - times[4]!).toBeLessThanOrEqual(times[4]! < 10_000 ? 5000 : times[4]!);
      expect(first.error).toBeInstanceOf(TokenUnavailableError);
    },
  );

  test.each([404, 403])('srv-2: affects no call while a token is valid: HTTP %i', async (code) => {
    const { server, clock, provider } = await client();
    server.answer = granted(300);
    await provider.getToken();
    server.answer = restart(status(code));
    let failed = 0;
    for (let second = 0; second < 320; second++) {
      provider.getToken().catch(() => failed++);
      await clock.advance(1000);
    }
    expect({ failed, requests: server.requests.length }).toEqual({ failed: 0, requests: 7 });
  });

  it('srv-2: gets a new request right after retryNow(), whatever it had responded', async () => {
    for (const answer of [
      status(404),
      status(403),
      json(401, { error: 'invalid_client' }),
      json(400, { error: 'invalid_scope' }),
      (_request, response) => response.writeHead(503, { 'retry-after': '3000' }).end(),
    ] satisfies Answer[]) {
      const { server, clock, provider, events } = await client();
      server.answer = answer;
      for (let second = 0; second < 400; second++) {
        call(provider, clock);
        await clock.advance(1000);
      }
      await clock.advance(5000);
      const { length } = server.requests;
      await expect(provider.getToken()).rejects.toBeInstanceOf(TokenUnavailableError);
      expect(server.requests).toHaveLength(length);
      server.answer = granted();
      provider.retryNow();
      await expect(provider.getToken()).resolves.toBeDefined();
      expect(server.requests).toHaveLength(length + 1);
      expect(ofType(events, 'client.retry_now')).toEqual([{ type: 'client.retry_now', client: 'default' }]);
    }
  });
});

describe('a boot that waits for its token', () => {
  it('srv-2: continues right after retryNow()', async () => {
    const network = new SimulatedNetwork();
    const { clock } = network;
    network.answer = () => ({ status: 503, headers: { 'retry-after': '40' } });
    const clients = new ConfiguredClients({ clock, random: () => 0.5, production: false, onClient: () => {} });
    const { provider } = clients.addByOptions('client', {
      identityProvider: genericOAuth2({ tokenEndpoint: 'http://127.0.0.1/token' }),
      clientId: 'id',
      clientSecret: 'a-secret',
      agent: network,
      start: 'require',
      startTimeoutMs: 60_000,
    });
    let bootedAt: number | undefined;
    const boot = clients.start().then(() => (bootedAt = clock.ms));
    await clock.advance(10_000);
    network.answer = () => grant('a-token', 3600);
    provider.retryNow();
    await clock.advance(1000);
    expect(bootedAt).toBe(10_000 + network.latencyMs);
    await boot;
    await clients.close();
  });
});

describe('an outage of a token endpoint', () => {
  const html = (code: number): SimulatedAnswer => ({
    status: code,
    headers: { 'content-type': 'text/html' },
    body: '<p>',
  });

  /** Time from the recovery of the server to the first token, in milliseconds, with a call each second. */
  async function recoveryMs(outage: readonly { readonly answer: SimulatedAnswer; readonly ms: number }[]) {
    const { network, clock, module, provider } = await simulatedClient();
    const ends = outage.map((_, index) => outage.slice(0, index + 1).reduce((sum, { ms }) => sum + ms, 0));
    network.answer = ({ at }) => outage[ends.findIndex((end) => at < end)]?.answer ?? grant('a-token', 3600);
    let ms = 0;
    for (; !provider.peek() && ms < 1000_000; ms += 100) {
      if (ms % 1000 === 0) call(provider, clock);
      await clock.advance(100);
    }
    await module.close();
    return ms - (ends.at(-1) ?? 0);
  }

  test.each<[string, SimulatedAnswer]>([
    ['404', html(404)],
    ['403', html(403)],
    ['401', html(401)],
    ['400', html(400)],
    ['405', html(405)],
    ['418', html(418)],
    ['503', html(503)],
    ['200 with a page', html(200)],
    ['a reset', 'reset'],
  ])('srv-3: delays calls by a few seconds at most after 3 s of %s', async (_name, answer) => {
    const times = await Promise.all(Array.from({ length: 5 }, () => recoveryMs([{ answer, ms: 3000 }])));
    expect(Math.max(...times)).toBeLessThanOrEqual(5200);
  });

  it('srv-2: ends within 5 s of the recovery if it took up to 10 s, whatever the responses were', async () => {
    const answers: SimulatedAnswer[] = ['reset', ...[400, 401, 403, 404, 405, 429, 500, 502, 503, 200].map(html)];
    const phase = fc.record({ answer: fc.constantFrom(...answers), ms: fc.integer({ min: 1, max: 10_000 }) });
    await fc.assert(
      fc.asyncProperty(fc.array(phase, { minLength: 1, maxLength: 4 }), async (phases) => {
        let left = 10_000;
        const outage = phases.map(({ answer, ms }) => {
          const cut = Math.min(ms, left);
          left -= cut;
          return { answer, ms: cut };
        });
        expect(await recoveryMs(outage)).toBeLessThanOrEqual(5200);
      }),
      { numRuns: 40, examples: answers.map((answer) => [[{ answer, ms: 10_000 }]]) },
    );
  });

  it('srv-2: ends within one step of the back-off if it was longer', async () => {
    for (const [ms, mostMs] of [
      [30_000, 30_000],
      [60_000, 38_000],
      [110_000, 38_000],
      [200_000, 145_000],
    ] as const) {
      expect(await recoveryMs([{ answer: html(404), ms }])).toBeLessThanOrEqual(mostMs);
    }
  });

  it('srv-2: leads to an error with the response and what to check, first as an outage and then as a wrong request', async () => {
    const { network, clock, provider } = await simulatedClient();
    network.answer = () => html(404);
    const first = call(provider, clock);
    for (let second = 0; second < 200; second++) {
      call(provider, clock);
      await clock.advance(1000);
    }
    expect(first.error).toMatchObject({
      code: 'M2M_TOKEN_UNAVAILABLE',
      reason: 'outage',
      message: expect.stringMatching(/HTTP 404 .*check the address/i),
    });
    expect(provider.status().lastError).toMatchObject({
      code: 'M2M_TOKEN_REQUEST_REJECTED',
      message: expect.stringMatching(/HTTP 404 .*check the address/i),
    });
  });

  it('srv-2: is the same for the issuer’s metadata, which locates the token endpoint', async () => {
    for (const code of [401, 403, 404, 405, 418, 503]) {
      const issuer = 'http://127.0.0.1';
      const { network, clock, module, provider } = await simulatedClient({
        identityProvider: genericOAuth2({ issuer }),
      });
      const metadata = {
        status: 200,
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ issuer, token_endpoint: `${issuer}/token` }),
      };
      network.answer = ({ at, url }) => {
        if (at < 9000) return html(code);
        return url === '/token' ? grant('a-token', 3600) : metadata;
      };
      const first = call(provider, clock);
      await clock.advance(14_200);
      expect(provider.peek()?.reveal()).toBe('a-token');
      expect(provider.status().lastError).toBeUndefined();
      const error = first.error?.reason === 'wait_timeout' ? first.error.cause : first.error;
      expect(error).toMatchObject({ reason: 'outage', message: expect.stringContaining(`HTTP ${code}`) });
      await module.close();
    }
  });

  it('out-B6: causes no error at a cold start if one connection is reset', async () => {
    const { server, clock, provider } = await client();
    server.answer = (...args) => (server.requests.length === 1 ? reset : granted())(...args);
    const token = provider.getToken();
    await clock.advance(1000);
    await expect(token).resolves.toBeDefined();
  });

  it('out-B6: causes no error if it is shorter than callers wait', async () => {
    const { network, clock, provider } = await simulatedClient();
    network.answer = ({ at }) => (at < 1400 ? 'reset' : grant('a-token', 3600));
    const calls: Call[] = [];
    for (let tenths = 0; tenths < 60; tenths++) {
      calls.push(call(provider, clock));
      await clock.advance(100);
    }
    expect(calls.filter(({ error }) => error)).toEqual([]);
    expect(network.received.length).toBeLessThanOrEqual(4);
  });

  it('delays no caller beyond its signal or acquireTimeoutMs', async () => {
    const { network, clock, provider } = await simulatedClient({ acquireTimeoutMs: 60_000 });
    network.answer = () => 'reset';
    const leaving = new AbortController();
    const gone = provider.getToken({ signal: leaving.signal }).catch((error: unknown) => error);
    const patient = call(provider, clock);
    await clock.advance(3000);
    leaving.abort('gone');
    expect(await gone).toBe('gone');
    await clock.advance(58_000);
    expect(patient.error).toMatchObject({ reason: 'outage' });
    // It failed as soon as the next attempt was due later than it could wait.
    expect(patient.endedAt).toBeLessThanOrEqual(60_000);
    expect(patient.endedAt).toBe(network.received.filter(({ at }) => at < 60_000).at(-1)!.at + network.latencyMs);
  });
});

describe('a changed secret', () => {
  it('out-B1: is found by a second read right after the refusal', async () => {
    let reads = 0;
    const { server, clock, provider } = await client({ clientSecret: () => `secret-number-${++reads}` });
    server.answer = (...args) => {
      if (server.requests.length > 1) return granted()(...args);
      const [, response] = args;
      return response
        .writeHead(400, { 'content-type': 'text/plain; charset=utf-8' })
        .end(JSON.stringify({ error: 'invalid_client' }));
    };
    const token = provider.getToken();
    await clock.advance(5000);
    await expect(token).resolves.toBeDefined();
  });

  const refusals: readonly [string, SimulatedAnswer][] = [
    ['400 invalid_client', oauthError(400, 'invalid_client')],
    [
      '400 invalid_client as plain text',
      { status: 400, headers: { 'content-type': 'text/plain; charset=utf-8' }, body: '{"error":"invalid_client"}' },
    ],
    ['401 without a body', { status: 401 }],
    ['403 without a body', { status: 403 }],
  ];
  const cases = refusals.flatMap(([name, refusal]) => [5, 30, 4000].map((after) => [name, after, refusal] as const));
  test.each(cases)(
    'out-B1: is in use within 5 s after %s refused the old one for %i s',
    async (_name, after, refusal) => {
      let secret = 'the-old-secret';
      const { network, clock, provider } = await simulatedClient({
        clientAuthentication: 'client_secret_post',
        clientSecret: () => secret,
      });
      network.answer = ({ body }) => (body.includes('the-new-secret') ? grant('a-token', 3600) : refusal);
      for (let second = 0; second < after; second += 5) {
        call(provider, clock);
        await clock.advance(5000);
      }
      secret = 'the-new-secret';
      for (let tenths = 0; tenths < 51; tenths++) {
        call(provider, clock);
        await clock.advance(100);
      }
      expect(provider.peek()?.reveal()).toBe('a-token');
    },
  );
});

describe('a token request without a response', () => {
  /** The first connection hangs, all others are answered. */
  const firstHangs = (network: SimulatedNetwork) => {
    const { length } = network.received;
    network.answer = () =>
      network.received.length === length + 1 ? 'hang' : grant(`token-${network.received.length}`, 60);
  };

  it('call-4: causes no error: a second one replaces it after 1.7 s', async () => {
    const { network, clock, provider, events } = await simulatedClient();
    firstHangs(network);
    const calls: Call[] = [];
    for (let tenths = 0; tenths < 75; tenths++) {
      calls.push(call(provider, clock));
      await clock.advance(100);
    }
    expect(calls.filter(({ error }) => error)).toEqual([]);
    expect(calls[0]).toMatchObject({ token: 'token-2', endedAt: 1667 + network.latencyMs });
    expect(network.received.map(({ at }) => at)).toEqual([0, 1667]);
    expect(ofType(events, 'token.second_attempt')).toMatchObject([{ client: 'default', isFirstAborted: true }]);
    // Of a credential that was never accepted, one request at a time is under way.
    expect(network.mostOpen).toBe(1);
  });

  it('call-4: is followed by a parallel one if the credential was accepted before', async () => {
    const { network, clock, provider, events } = await simulatedClient();
    network.answer = () => grant('token-0', 60);
    const first = call(provider, clock);
    await clock.advance(200_000);
    expect(first.token).toBe('token-0');
    network.mostOpen = 0;
    firstHangs(network);
    const late = call(provider, clock);
    await clock.advance(2000);
    expect(late.token).toMatch(/^token-\d+$/);
    expect(late.endedAt! - late.at).toBe(1667 + network.latencyMs);
    expect(network.mostOpen).toBe(2);
    expect(network.open).toBe(0);
    expect(ofType(events, 'token.second_attempt')).toMatchObject([{ isFirstAborted: false }]);
  });

  it.each([true, false])(
    'call-4: is followed by another over real sockets, on a new connection, with a new assertion: accepted before: %s',
    async (wasAccepted) => {
      const hung: string[] = [];
      const server = await TestServer.start((request, ...rest) => {
        const form = new URLSearchParams(request.body);
        if (form.get('scope') === 'hung') hung.push(form.get('client_assertion')!);
        return hung.length === 1 ? undefined : granted()(request, ...rest);
      });
      closing.push(() => server.close());
      const { provider, module } = await startApplication({
        client: {
          identityProvider: genericOAuth2({ tokenEndpoint: `${server.url}/token` }),
          clientId: 'id',
          clientAuthentication: 'client_secret_jwt',
          clientSecret: 'a-client-secret-of-32-characters',
          acquireTimeoutMs: 600,
        },
      });
      closing.push(() => module.close());
      if (wasAccepted) await provider.getToken();
      const begin = performance.now();
      await expect(provider.getToken({ scope: 'hung' })).resolves.toBeDefined();
      expect(performance.now() - begin).toBeGreaterThanOrEqual(199);
      const ids = hung.map((jwt) => JSON.parse(Buffer.from(jwt.split('.')[1]!, 'base64url').toString()).jti as string);
      expect(new Set(ids).size).toBe(2);
    },
  );

  it('call-4: is followed by another if it hangs before the credential is sent: in its source, or in discovery', async () => {
    const issuer = 'http://127.0.0.1';
    let reads = 0;
    for (const options of [
      { identityProvider: genericOAuth2({ issuer }) },
      { clientSecret: () => (++reads === 1 ? new Promise<string>(() => {}) : 'a-secret') },
    ]) {
      const { network, clock, module, provider } = await simulatedClient(options);
      const metadata = JSON.stringify({ issuer, token_endpoint: `${issuer}/token` });
      let questions = 0;
      network.answer = ({ url }) => {
        if (url === '/token') return grant('a-token', 3600);
        return ++questions === 1 ? 'hang' : { status: 200, body: metadata };
      };
      const calls = [undefined, 'a', 'b'].map((scope) => provider.getToken({ scope }));
      await clock.advance(2000);
      for (const token of await Promise.all(calls)) expect(token.reveal()).toBe('a-token');
      await module.close();
    }
  });

  it('call-4: is followed by another for each of many tokens, one after the other', async () => {
    const { network, clock, provider } = await simulatedClient();
    network.answer = () => grant('warm', 60);
    const scopes = Array.from({ length: 5 }, (_, n) => `scope-${n}`);
    await Promise.all([...scopes.map((scope) => provider.getToken({ scope })), clock.advance(1000)]);
    await clock.advance(300_000);
    const hung = new Set<string>();
    network.answer = ({ body }) => (hung.has(body) ? grant('again', 60) : (hung.add(body), 'hang'));
    network.mostOpen = 0;
    const calls = scopes.map((scope) => provider.getToken({ scope }));
    await clock.advance(4000);
    for (const token of await Promise.all(calls)) expect(token.reveal()).toBe('again');
    expect(network.mostOpen).toBeLessThanOrEqual(scopes.length + 1);
  });

  it('call-4: is followed by no other if a token can be served, or no caller waits', async () => {
    const { network, clock, provider, events } = await simulatedClient();
    network.answer = () => grant('a-token', 60);
    const first = call(provider, clock);
    await clock.advance(100);
    expect(first.token).toBe('a-token');
    network.answer = () => 'hang';
    for (let tenths = 0; tenths < 595; tenths++) {
      call(provider, clock);
      await clock.advance(100);
    }
    expect(ofType(events, 'token.second_attempt')).toEqual([]);
    // The token is over, and nobody calls.
    await clock.advance(60_000);
    expect(ofType(events, 'token.second_attempt')).toEqual([]);
    expect(network.mostOpen).toBe(1);
  });

  it('call-4: is followed by one other, and by no more before there is a token: a slow server does not get twice its load', async () => {
    const { network, clock, provider, events } = await simulatedClient();
    network.answer = () => 'hang';
    for (let second = 0; second < 600; second++) {
      call(provider, clock);
      await clock.advance(1000);
    }
    expect(ofType(events, 'token.second_attempt')).toHaveLength(1);
    network.answer = () => grant(`token-${network.received.length}`, 60);
    await clock.advance(60_000);
    expect(provider.peek()).toBeDefined();
    await clock.advance(300_000);
    firstHangs(network);
    const late = call(provider, clock);
    await clock.advance(2000);
    expect(late.token).toBeDefined();
    expect(ofType(events, 'token.second_attempt')).toHaveLength(2);
  });

  it('call-4: is followed by one other if the server is slow, and by no more while it stays slow', async () => {
    const { network, clock, provider, events } = await simulatedClient();
    network.latencyMs = 3000;
    network.answer = () => grant('a-token', 20);
    for (let minute = 0; minute < 8; minute++) {
      const late = call(provider, clock);
      await clock.advance(60_000);
      expect(late.token).toBe('a-token');
    }
    expect(ofType(events, 'token.second_attempt')).toHaveLength(1);
  });

  it('uses the first of two grants, and ignores the other', async () => {
    for (const winner of ['first', 'second'] as const) {
      const { network, clock, module, provider } = await simulatedClient();
      network.answer = () => grant('warm', 60);
      const warm = call(provider, clock);
      await clock.advance(200_000);
      expect(warm.token).toBe('warm');
      const { length } = network.received;
      network.answer = () => {
        const nth = network.received.length - length;
        network.latencyMs = nth === 1 ? 2500 : winner === 'first' ? 2000 : 100;
        return grant(nth === 1 ? 'first' : 'second', 600);
      };
      const late = call(provider, clock);
      await clock.advance(10_000);
      expect(late.token).toBe(winner);
      expect(provider.peek()?.reveal()).toBe(winner);
      expect(network.received).toHaveLength(length + 2);
      expect(network.open).toBe(0);
      await module.close();
    }
  });
});

describe('a token that no call uses', () => {
  const DAY = 24 * 3600_000;

  /** A client of 12 s tokens that makes one call, and then none for a while. */
  async function unused(options: Partial<ClientOptions>) {
    const system = await simulatedClient(options);
    const { network, clock, provider } = system;
    network.answer = () => grant(`token-${network.received.length}`, 12);
    call(provider, clock);
    // The third refresh, which is not made, is due after 18 s to 22 s.
    await clock.advance(23_000);
    return system;
  }

  it('call-5: becomes dormant with an event, and its next call has to wait', async () => {
    const { network, clock, provider, events } = await unused({});
    expect(ofType(events, 'token.dormant')).toEqual([{ type: 'token.dormant', client: 'default' }]);
    expect(provider.status().dormant).toBe(true);
    const { length } = network.received;
    await clock.advance(DAY);
    expect(network.received).toHaveLength(length);
    expect(provider.peek()).toBeUndefined();
  });

  it('call-5: is valid for a nightly job with keepWarm, despite an earlier outage', async () => {
    const { network, clock, provider, events } = await unused({ keepWarm: true });
    const grants = network.answer;
    await clock.advance(600_000);
    network.answer = () => ({ status: 503 });
    await clock.advance(300_000);
    expect(provider.peek()).toBeUndefined();
    network.answer = grants;
    await clock.advance(300_000);
    expect(provider.peek()).toBeDefined();
    expect(ofType(events, 'token.dormant')).toEqual([]);
    // Half of each life, and every 5 s in the outage at the most.
    expect(network.received.length).toBeLessThan(1200 / 5);
  });
});

describe('a wrong secret', () => {
  const refusals = {
    '401 invalid_client': oauthError(401, 'invalid_client'),
    '401 without a body': { status: 401 },
    '403 without a body': { status: 403 },
  };
  const cases = Object.entries(refusals).flatMap(([name, refusal]) => [
    { name, refusal, scopes: 1, wasAccepted: false, hours: 2 },
    { name, refusal, scopes: 5, wasAccepted: true, hours: 1 },
  ]);
  const library = { ConfiguredClients, genericOAuth2 };

  test.each(cases)(
    'is sent five times, and then once an hour: $name, scopes: $scopes, accepted before: $wasAccepted',
    async (options) => {
      const logins = await loginsPerHour(library, { ...options, callsPerSecond: 0.2, seed: 1 });
      expect(logins).toEqual([5, 1].slice(0, options.hours));
    },
  );

  it.each([
    { scopes: 1, wasAccepted: true, refusalMs: 3000 },
    { scopes: 1, wasAccepted: false, refusalMs: 3000 },
    { scopes: 20, wasAccepted: false, refusalMs: 9000 },
  ])('call-4: is not sent more often by second attempts: $scopes, $wasAccepted, $refusalMs', async (slow) => {
    const options = { ...slow, refusal: refusals['401 invalid_client'], callsPerSecond: 0.2, hours: 1, seed: 1 };
    expect(await loginsPerHour(library, options)).toEqual([5]);
  });

  it('is sent as often as an outage allows if there is never a response, and once more', async () => {
    const client = { refusal: 'hang', scopes: 1, callsPerSecond: 1, hours: 1 } as const;
    const [logins] = await loginsPerHour(library, { ...client, seed: 1 });
    // 10 s for each, 28 s between them on the average: 98 and a second attempt, and some at the beginning.
    expect(logins).toBeLessThanOrEqual(105);
  });
});

describe('a fleet of 40 processes', () => {
  const library = { ConfiguredClients, genericOAuth2 };
  const restart = (seconds: number) => (ms: number) => (ms < seconds * 700 ? ('reset' as const) : { status: 404 });

  it('srv-2: keeps working with its tokens through a 10 s restart of the server', async () => {
    const outage = { lifetimeSeconds: 60, outageSeconds: 10, outage: restart(10) };
    const { worstFail, peakOutage, worstTries } = await fleetFigures(library, { ...outage, phases: 1, seed: 1 });
    expect(worstFail).toBe(0);
    expect(peakOutage).toBeLessThanOrEqual(40);
    expect(worstTries).toBeLessThanOrEqual(6);
  });

  it('srv-2: works within 5 s of the recovery if it boots during that restart', async () => {
    const outage = { lifetimeSeconds: 300, outageSeconds: 10, outage: restart(10), isColdStart: true };
    const { worstRecovery, peakOutage, worstTries } = await fleetFigures(library, { ...outage, phases: 1, seed: 1 });
    expect(worstRecovery).toBeLessThanOrEqual(5.2);
    expect(peakOutage).toBeLessThanOrEqual(90);
    expect(worstTries).toBeLessThanOrEqual(7);
  });
});

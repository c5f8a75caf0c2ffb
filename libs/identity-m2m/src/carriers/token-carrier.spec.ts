import { describe, expect, it, test } from '@jest/globals';
import { EventStream } from '../foundation/event-stream.js';
import { ManualClock } from '../testing/manual-clock.js';
import { AccessToken, AUTHORIZATION_HEADER, TokenHeader } from '../token/access-token.js';
import { AllowedOrigins } from '../token/allowed-origins.js';
import type { OutboundEvent } from '../token/outbound-events.js';
import { type GetTokenOptions, TokenProvider } from '../token/token-provider.js';
import type { TokenRejection } from '../token/token-rejection.js';
import type { CallAuthorization, OutgoingCall } from './outgoing-call.js';
import { carrierOf, TokenCarrier } from './token-carrier.js';

const API = 'https://api.example';

const settled = () => new Promise(setImmediate);

/** A provider that does what the test says. */
class TestProvider extends TokenProvider {
  readonly clientName = 'billing';
  readonly events = new EventStream<OutboundEvent>();
  readonly told: OutboundEvent[] = [];
  current: AccessToken | undefined = new AccessToken('first');
  previous: AccessToken | undefined;
  /** Tokens whose renewal was requested. */
  readonly renewed: string[] = [];
  renewal: () => Promise<AccessToken | undefined> = async () => (this.current = new AccessToken('second'));
  readonly requested: (GetTokenOptions | undefined)[] = [];
  readonly proofs: string[] = [];
  nonces: (string | null | undefined)[] = [];
  readonly #origins: AllowedOrigins;

  constructor(allowedOrigins: string[] = [API]) {
    super();
    this.#origins = new AllowedOrigins(allowedOrigins);
    this.events.subscribe((event) => this.told.push(event));
  }

  explain(url: string) {
    return this.#origins.explain(url);
  }

  peek() {
    return this.current;
  }

  async getToken(options?: GetTokenOptions) {
    this.requested.push(options);
    return new AccessToken('requested');
  }

  renewToken(rejected: AccessToken) {
    this.renewed.push(rejected.reveal());
    return this.renewal();
  }

  override previousToken(token: AccessToken) {
    return this.previous?.equals(token) ? undefined : this.previous;
  }

  override async proof(_token: AccessToken, method: string, url: string) {
    this.proofs.push(`${method} ${url}`);
    return `proof-${this.proofs.length}`;
  }

  override learnNonce(_url: string, nonce: string | null | undefined) {
    this.nonces.push(nonce);
    return nonce === 'new';
  }

  status() {
    return { freshness: 'fresh', refreshing: false, dormant: false } as const;
  }
}

interface TestResponse {
  readonly status?: number | undefined;
  readonly headers?: Record<string, string>;
  readonly body?: string;
}

const ok: TestResponse = { status: 200 };
const rejected: TestResponse = { status: 401 };

/** A call whose responses come in turn; the last one is repeated. */
function callOf(
  responses: (TestResponse | ((authorization: CallAuthorization) => TestResponse))[],
  options: Partial<OutgoingCall<TestResponse>> = {},
) {
  const abort = new AbortController();
  const sent: CallAuthorization[] = [];
  const log: string[] = [];
  const call: OutgoingCall<TestResponse> = {
    method: 'GET',
    url: `${API}/users`,
    token: undefined,
    send: async (authorization) => {
      sent.push(authorization);
      log.push(`sent ${authorization.authorization}`);
      const response = responses[Math.min(sent.length, responses.length) - 1]!;
      return typeof response === 'function' ? response(authorization) : response;
    },
    status: ({ status }) => status,
    headers: ({ headers = {} }) => headers,
    bodyStart: ({ body = '' }) => {
      log.push('body read');
      return body;
    },
    keepFlowing: () => {
      log.push('flowing');
      return () => log.push('stopped');
    },
    isReplayable: () => true,
    discard: ({ status }) => void log.push(`discarded ${status}`),
    signal: () => abort.signal,
    ...options,
  };
  const tokens = () => sent.map(({ token }) => token.reveal());
  return { call, sent, tokens, log, abort };
}

function setUp(isTokenRejected: TokenRejection = [401], provider = new TestProvider()) {
  const clock = new ManualClock();
  const carrier = new TokenCarrier(provider, clock, { maxBytes: 100, isTokenRejected });
  const told = (type: OutboundEvent['type']) => provider.told.filter((event) => event.type === type);
  return { clock, provider, carrier, told };
}

describe('the carrier of a provider', () => {
  it('is the only one, with the configuration of its first caller', () => {
    const [provider, other] = [new TestProvider(), new TestProvider()];
    const header = new TokenHeader('X-Token');
    const carrier = carrierOf(provider, new ManualClock(), { maxBytes: 5, isTokenRejected: [403] }, header);
    expect(carrierOf(provider)).toBe(carrier);
    expect(carrierOf(other)).not.toBe(carrier);
    expect([carrier.client, carrier.maxReplayBytes, carrier.header]).toEqual(['billing', 5, header]);
    expect([carrier.mayReject(401), carrier.mayReject(403)]).toEqual([false, true]);
  });

  it('has defaults', () => {
    const carrier = carrierOf(new TestProvider());
    expect([carrier.maxReplayBytes, carrier.header]).toEqual([1_048_576, AUTHORIZATION_HEADER]);
    expect([carrier.mayReject(401), carrier.mayReject(403)]).toEqual([true, false]);
  });
});

describe('an address', () => {
  test.each<[string, string | null | undefined, boolean]>([
    [`${API}/v2/x`, undefined, true],
    [`${API}/v2/x`, null, true],
    [`${API}/v2/x`, 'api.example', true],
    [`${API}/v2/x`, 'API.example', true],
    [`${API}/v2/x`, 'api.example:443', true],
    [`${API}/v2/x`, 'second.example', true],
    [`${API}/x`, 'second.example', false],
    [`${API}/v2/x`, 'api.example:8443', false],
    [`${API}/v2/x`, 'other.example', false],
    [`${API}/v2/x`, '', false],
    [`${API}/v2/x`, 'user@api.example', false],
    [`${API}/v2/x`, 'api.example/', false],
    [`${API}/v2/x`, '/api.example', false],
    [`${API}/v2/x`, 'api.example\\', false],
    [`${API}/v2/x`, 'api.example?', false],
    [`${API}/v2/x`, 'api.example#', false],
    [`${API}/v2/x`, 'api.example ', false],
    [`${API}/v2/x`, 'api.example, other.example', false],
    ['https://other.example/v2', 'api.example', false],
    ['https://other.example/v2', undefined, false],
    ['/v2', undefined, false],
    ['', 'api.example', false],
  ])('may get the token only if its Host header may too: %s, %s', (url, host, isAllowed) => {
    const { carrier } = setUp([401], new TestProvider([API, 'https://second.example/v2']));
    expect(carrier.allows(url, host)).toBe(isAllowed);
  });

  it('that may not is reported once for each origin, up to a hundred', () => {
    const { carrier, told } = setUp();
    for (const url of ['https://a.example/1', 'https://a.example/2', 'https://b.example', 'no URL', 'none either']) {
      carrier.allows(url);
    }
    carrier.allows(API);
    carrier.allows(API, 'c.example');
    const reason = 'origin_not_allowed';
    expect(told('call.refused_origin')).toEqual([
      { type: 'call.refused_origin', client: 'billing', origin: 'https://a.example', reason },
      { type: 'call.refused_origin', client: 'billing', origin: 'https://b.example', reason },
      {
        type: 'call.refused_origin',
        client: 'billing',
        origin: 'an address that is not a URL',
        reason: expect.any(String),
      },
      { type: 'call.refused_origin', client: 'billing', origin: 'https://c.example', reason },
    ]);
    for (let origin = 0; origin < 200; origin++) carrier.allows(`https://${origin}.example`);
    expect(told('call.refused_origin')).toHaveLength(100);
  });
});

test.each<[string, TokenRejection, number | undefined, boolean, boolean]>([
  ['its status', [401], 401, true, true],
  ['its status', [401], 403, false, false],
  ['its status', [401], undefined, false, false],
  ['its status', [401], 200, false, false],
  ['a predicate', () => true, 400, true, false],
  ['a predicate', () => true, 401, true, true],
  ['a predicate', () => true, 399, false, false],
  ['a predicate', () => true, undefined, false, false],
])('a response may reject the token by %s: %p, %s', (_by, rule, status, mayReject, isLikely) => {
  const { carrier } = setUp(rule);
  expect([carrier.mayReject(status), carrier.isLikelyRejection(status)]).toEqual([mayReject, isLikely]);
});

describe('a call', () => {
  it('carries the cached token', async () => {
    const { carrier, provider } = setUp();
    const { call, sent, log } = callOf([ok]);
    expect(await carrier.call(call)).toBe(ok);
    expect(sent).toEqual([{ token: provider.current, header: AUTHORIZATION_HEADER, authorization: 'Bearer first' }]);
    expect([log, provider.requested]).toEqual([['sent Bearer first'], []]);
  });

  it('waits for the token that it wants if there is none, with its signal', async () => {
    const { carrier, provider } = setUp();
    provider.current = undefined;
    const { call, tokens, abort } = callOf([ok], { token: { scope: 'a' } });
    await carrier.call(call);
    expect(tokens()).toEqual(['requested']);
    expect(provider.requested).toEqual([{ scope: 'a', signal: abort.signal }]);
  });

  it('can go at once with a bearer token only', () => {
    const { carrier, provider } = setUp();
    expect(carrier.peekBearer(undefined)?.reveal()).toBe('first');
    provider.current = new AccessToken('bound', 'DPoP');
    expect(carrier.peekBearer(undefined)).toBeUndefined();
    provider.current = undefined;
    expect(carrier.peekBearer(undefined)).toBeUndefined();
  });
});

describe('the calls under way', () => {
  it('are waited for until the last one has ended, however it does', async () => {
    const { carrier } = setUp();
    const ends: ((error?: Error) => void)[] = [];
    const send = () =>
      new Promise<TestResponse>((resolve, reject) => {
        ends.push((error) => (error ? reject(error) : resolve(ok)));
      });
    const calls = [0, 1].map(() => carrier.call(callOf([], { send }).call).catch(() => {}));
    let idle = 0;
    for (let listeners = 0; listeners < 2; listeners++) void carrier.whenIdle().then(() => (idle += 1));
    await settled();
    ends[0]!();
    await calls[0];
    await settled();
    expect(idle).toBe(0);
    ends[1]!(new Error('no'));
    await calls[1];
    await settled();
    expect(idle).toBe(2);
    await carrier.whenIdle();
    // Each end is told once.
    carrier.callBegins();
    carrier.callEnds();
    await settled();
    expect(idle).toBe(2);
  });

  it('include those that wait for a token', async () => {
    const { carrier, provider } = setUp();
    provider.current = undefined;
    let fail!: (error: Error) => void;
    provider.getToken = () => new Promise((_resolve, reject) => (fail = reject));
    const call = carrier.call(callOf([ok]).call);
    let isIdle = false;
    void carrier.whenIdle().then(() => (isIdle = true));
    await settled();
    expect(isIdle).toBe(false);
    fail(new Error('no token'));
    await expect(call).rejects.toThrow('no token');
    await settled();
    expect(isIdle).toBe(true);
  });
});

describe('a token that is rejected', () => {
  it('is renewed, and the call is sent once more', async () => {
    const { carrier, provider, told } = setUp();
    const { call, log } = callOf([rejected, ok]);
    expect(await carrier.call(call)).toBe(ok);
    expect(log).toEqual(['sent Bearer first', 'flowing', 'stopped', 'discarded 401', 'sent Bearer second']);
    expect(provider.renewed).toEqual(['first']);
    expect(told('call.replayed')).toEqual([
      { type: 'call.replayed', client: 'billing', origin: API, fingerprint: provider.current!.fingerprint },
    ]);
  });

  it('is renewed for a call that cannot be sent again', async () => {
    const { carrier, provider } = setUp();
    const { call, log } = callOf([rejected], { isReplayable: () => false });
    expect(await carrier.call(call)).toBe(rejected);
    expect(log).toEqual(['sent Bearer first', 'flowing', 'stopped']);
    expect(provider.renewed).toEqual(['first']);
  });

  it('is renewed for a carrier that keeps nothing flowing', async () => {
    const { carrier } = setUp();
    const { call } = callOf([rejected, ok]);
    delete call.keepFlowing;
    expect(await carrier.call(call)).toBe(ok);
  });

  test.each<[string, () => Promise<AccessToken | undefined>]>([
    ['brings none', async () => undefined],
    ['fails', () => Promise.reject(new Error('no'))],
    [
      'throws',
      () => {
        throw new Error('no');
      },
    ],
    ['of a mock returns nothing', (() => undefined) as never],
  ])('gets the response to the caller if its renewal %s', async (_how, renewal) => {
    const { carrier, provider, clock } = setUp();
    provider.renewal = renewal;
    const { call, log } = callOf([rejected]);
    expect(await carrier.call(call)).toBe(rejected);
    expect(log).toEqual(['sent Bearer first', 'flowing', 'stopped']);
    // It did not help, so the next one is due after 20 s.
    await clock.advance(19_999);
    await carrier.call(callOf([rejected]).call);
    expect(provider.renewed).toHaveLength(1);
    await clock.advance(1);
    await carrier.call(callOf([rejected]).call);
    expect(provider.renewed).toHaveLength(2);
  });

  it('gets the response to a caller that cancels, and is renewed for the others', async () => {
    const { carrier, provider } = setUp();
    let finish!: (token: AccessToken) => void;
    provider.renewal = () => new Promise((resolve) => (finish = resolve));
    const [first, second] = [callOf([rejected]), callOf([rejected, ok])];
    const results = [carrier.call(first.call), carrier.call(second.call)];
    await settled();
    first.abort.abort();
    expect(await results[0]).toBe(rejected);
    expect(first.log.at(-1)).toBe('stopped');
    finish(new AccessToken('second'));
    expect(await results[1]).toBe(ok);
    expect([first.tokens(), second.tokens()]).toEqual([['first'], ['first', 'second']]);
    expect(provider.renewed).toEqual(['first']);
  });

  it('is not followed by another call if the caller cancels in the moment of its renewal', async () => {
    const { carrier } = setUp();
    const { call, abort, tokens } = callOf([rejected, ok], { keepFlowing: () => () => abort.abort() });
    expect(await carrier.call(call)).toBe(rejected);
    expect(tokens()).toEqual(['first']);
  });

  it('is not renewed if there is another one already', async () => {
    const { carrier, provider } = setUp();
    const { call, tokens } = callOf([
      () => {
        provider.current = new AccessToken('newer');
        return rejected;
      },
      ok,
    ]);
    expect(await carrier.call(call)).toBe(ok);
    expect([tokens(), provider.renewed]).toEqual([['first', 'newer'], []]);
  });

  it('is renewed if the cache holds the same value in another object', async () => {
    const { carrier, provider } = setUp();
    const { call } = callOf([
      () => {
        provider.current = new AccessToken('first');
        return rejected;
      },
      ok,
    ]);
    expect(await carrier.call(call)).toBe(ok);
    expect(provider.renewed).toEqual(['first']);
  });

  it('is renewed if the cache is empty by then', async () => {
    const { carrier, provider } = setUp();
    const { call, tokens } = callOf([
      () => {
        provider.current = undefined;
        return rejected;
      },
      ok,
    ]);
    expect(await carrier.call(call)).toBe(ok);
    expect(tokens()).toEqual(['first', 'second']);
  });

  it('is renewed again after 10 s if that helped, and after 20 s if the new one was rejected too', async () => {
    for (const [second, waitMs] of [
      [ok, 10_000],
      [rejected, 20_000],
    ] as const) {
      const { carrier, provider, clock } = setUp();
      await carrier.call(callOf([rejected, second]).call);
      await clock.advance(waitMs - 1);
      await carrier.call(callOf([rejected]).call);
      expect(provider.renewed).toHaveLength(1);
      await clock.advance(1);
      await carrier.call(callOf([rejected]).call);
      expect(provider.renewed).toHaveLength(2);
    }
  });

  it('is renewed less often while renewals fail, and not if they only cannot be tried', async () => {
    for (const [isFailing, times] of [
      [true, 2],
      [false, 3],
    ] as const) {
      const { carrier, provider, clock } = setUp();
      provider.renewal = async () => (isFailing ? undefined : new AccessToken('second'));
      for (let calls = 0; calls < 3; calls++) {
        await carrier.call(callOf([rejected], { isReplayable: () => false }).call);
        await clock.advance(35_000);
      }
      expect(provider.renewed).toHaveLength(times);
    }
  });

  it('is renewed separately for each receiver and each kind of token', async () => {
    const { carrier, provider } = setUp();
    provider.renewal = async () => undefined;
    const calls: Partial<OutgoingCall<TestResponse>>[] = [
      {},
      { url: `${API}/other` },
      { url: 'https://second.example' },
      { token: { scope: 'a' } },
      { token: {} },
      { url: 'amqp://broker' },
      { url: 'amqp://second' },
    ];
    for (const options of calls) await carrier.call(callOf([rejected], options).call);
    expect(provider.renewed).toHaveLength(5);
  });

  it('is reported with the name of the receiver if that has no origin', async () => {
    const { carrier, told } = setUp();
    await carrier.call(callOf([rejected, ok], { url: 'amqp://broker/queue' }).call);
    expect(told('call.replayed')).toMatchObject([{ origin: 'amqp://broker/queue' }]);
  });

  it('is known by a predicate on status, headers and the start of the body', async () => {
    const seen: unknown[] = [];
    const { carrier } = setUp((response) => seen.push(response) > 0 && response.body === 'expired');
    const fault = { status: 400, headers: { 'x-a': '1' }, body: 'expired' };
    const { call, log } = callOf([fault, { ...ok, body: 'expired' }]);
    await carrier.call(call);
    expect(seen).toEqual([fault]);
    expect(log.filter((entry) => entry === 'body read')).toHaveLength(1);
    const other = callOf([{ status: 500 }]);
    await carrier.call(other.call);
    expect(other.tokens()).toHaveLength(1);
  });

  it('is known without the body if the status is enough', async () => {
    const { carrier } = setUp();
    const { call, log } = callOf([rejected, rejected]);
    await carrier.call(call);
    expect(log).not.toContain('body read');
  });

  test.each<[unknown, string]>([
    [new RangeError('first'), 'threw a RangeError'],
    ['first', 'threw a string'],
    [undefined, 'threw a undefined'],
  ])('is not recognised by a predicate that throws, which is reported once: %p', async (error, problem) => {
    const { carrier, told } = setUp(() => {
      throw error;
    });
    for (let calls = 0; calls < 2; calls++) {
      const { call, tokens } = callOf([rejected]);
      await carrier.call(call);
      expect(tokens()).toHaveLength(1);
    }
    expect(told('option.failed')).toEqual([
      { type: 'option.failed', client: 'billing', option: 'isTokenRejected', problem },
    ]);
  });

  it('is not known by a response from an address that did not get it', async () => {
    const { carrier, provider } = setUp();
    await carrier.call(callOf([{ status: undefined }]).call);
    expect(provider.renewed).toEqual([]);
  });
});

describe('a token that is ahead of the clock of its receiver', () => {
  /** A client whose token has just taken the place of another one. */
  const setUpPair = () => {
    const parts = setUp();
    parts.provider.previous = new AccessToken('before');
    return parts;
  };

  it('is replaced by the previous one: for the call, and for others for two seconds', async () => {
    const { carrier, provider, clock, told } = setUpPair();
    const { call, tokens, log } = callOf([rejected, ok]);
    expect(await carrier.call(call)).toBe(ok);
    expect(tokens()).toEqual(['first', 'before']);
    expect(log).toEqual(['sent Bearer first', 'discarded 401', 'sent Bearer before']);
    expect(told('call.clock_behind')).toEqual([
      {
        type: 'call.clock_behind',
        client: 'billing',
        origin: API,
        fingerprint: provider.current!.fingerprint,
        previousFingerprint: provider.previous!.fingerprint,
      },
    ]);
    await clock.advance(1999);
    const next = callOf([ok]);
    await carrier.call(next.call);
    expect([next.tokens(), carrier.peekBearer(undefined)?.reveal()]).toEqual([['before'], 'before']);
    await clock.advance(1);
    expect(carrier.peekBearer(undefined)?.reveal()).toBe('first');
    expect(provider.renewed).toEqual([]);
  });

  it('is tried every two seconds, and reported again only after it was in use', async () => {
    const { carrier, provider, clock, told } = setUpPair();
    await carrier.call(callOf([rejected, ok]).call);
    await clock.advance(1000);
    // The response to a call that was sent earlier.
    await carrier.finish(callOf([ok]).call, provider.current!, rejected);
    expect(told('call.clock_behind')).toHaveLength(1);
    await clock.advance(1999);
    expect(carrier.peekBearer(undefined)?.reveal()).toBe('before');
    await clock.advance(1);
    await carrier.call(callOf([rejected, ok]).call);
    expect(told('call.clock_behind')).toHaveLength(2);
  });

  it('stays replaced while another one is replaced too', async () => {
    const { carrier, provider } = setUpPair();
    const first = provider.current;
    await carrier.call(callOf([rejected, ok]).call);
    provider.current = new AccessToken('of-another-scope');
    await carrier.call(callOf([rejected, ok]).call);
    provider.current = first;
    expect(carrier.peekBearer(undefined)?.reveal()).toBe('before');
  });

  test.each([
    [1999, 2],
    [2000, 3],
  ])('is forgotten when another one is replaced, but not before two seconds: %i ms', async (waitMs, reports) => {
    const { carrier, provider, clock, told } = setUpPair();
    const first = provider.current!;
    await carrier.call(callOf([rejected, ok]).call);
    await clock.advance(waitMs);
    provider.current = new AccessToken('of-another-scope');
    await carrier.call(callOf([rejected, ok]).call);
    // The response to a call that was sent earlier.
    await carrier.finish(callOf([ok]).call, first, rejected);
    expect(told('call.clock_behind')).toHaveLength(reports);
  });

  it('is in use again once there is no previous one', async () => {
    const { carrier, provider } = setUpPair();
    await carrier.call(callOf([rejected, ok]).call);
    provider.previous = undefined;
    expect(carrier.peekBearer(undefined)?.reveal()).toBe('first');
    // And stays so.
    provider.previous = new AccessToken('before');
    expect(carrier.peekBearer(undefined)?.reveal()).toBe('first');
  });

  it('is not replaced for a call that cannot be sent again, or was cancelled, but for the next one', async () => {
    for (const isCancelled of [true, false]) {
      const { carrier } = setUpPair();
      const { call, abort, log } = callOf([rejected], { isReplayable: () => isCancelled });
      if (isCancelled) abort.abort();
      expect(await carrier.call(call)).toBe(rejected);
      expect(log).toEqual(['sent Bearer first']);
      expect(carrier.peekBearer(undefined)?.reveal()).toBe('before');
    }
  });

  it('is renewed after all if the previous one is rejected too, which is not used again', async () => {
    const { carrier, provider } = setUpPair();
    const { call, tokens } = callOf([rejected, rejected]);
    expect(await carrier.call(call)).toBe(rejected);
    expect(tokens()).toEqual(['first', 'before']);
    await settled();
    expect(provider.renewed).toEqual(['first']);
    expect(carrier.peekBearer(undefined)?.reveal()).toBe('second');
    const next = callOf([rejected, ok]);
    await carrier.call(next.call);
    expect(next.tokens()).not.toContain('before');
  });

  it('is not replaced by a previous one that was rejected', async () => {
    const { carrier, provider, clock } = setUp();
    const first = provider.current!;
    await carrier.call(callOf([rejected, ok]).call);
    provider.previous = first;
    await clock.advance(60_000);
    const { call, tokens } = callOf([rejected, ok]);
    provider.renewal = async () => new AccessToken('third');
    await carrier.call(call);
    expect(tokens()).toEqual(['second', 'third']);
  });
});

describe('a call with a proof', () => {
  const setUpBound = () => {
    const parts = setUp();
    parts.provider.current = new AccessToken('bound', 'DPoP');
    return parts;
  };
  const challenge = { 'dpop-nonce': 'new', 'www-authenticate': 'DPoP error="use_dpop_nonce"' };

  it('proves its method and address, and its response may bring a nonce', async () => {
    const { carrier, provider } = setUpBound();
    const { call, sent } = callOf([{ status: 200, headers: { 'dpop-nonce': 'new' } }], { method: 'POST' });
    await carrier.call(call);
    expect(sent.map(({ authorization, dpop }) => [authorization, dpop])).toEqual([['DPoP bound', 'proof-1']]);
    expect([provider.proofs, provider.nonces]).toEqual([[`POST ${API}/users`], ['new']]);
  });

  it('is sent once more with the nonce that the receiver demands', async () => {
    const { carrier, provider } = setUpBound();
    const again = { status: 401, headers: challenge };
    const { call, log, sent } = callOf([again, again]);
    await carrier.call(call);
    expect(log).toEqual(['sent DPoP bound', 'discarded 401', 'sent DPoP bound']);
    expect(sent.map(({ dpop }) => dpop)).toEqual(['proof-1', 'proof-2']);
    expect([provider.nonces, provider.renewed]).toEqual([['new', 'new'], []]);
  });

  test.each<[string, TestResponse, boolean]>([
    ['the nonce is known already', { status: 401, headers: { ...challenge, 'dpop-nonce': 'known' } }, true],
    ['there is no nonce', { status: 401, headers: { 'www-authenticate': challenge['www-authenticate'] } }, true],
    ['the status is another one', { status: 400, headers: challenge }, true],
    ['nothing is demanded', { status: 401, headers: { 'dpop-nonce': 'new', 'www-authenticate': 'DPoP' } }, true],
    ['there is no challenge', { status: 403, headers: { 'dpop-nonce': 'new' } }, true],
    ['it cannot be sent again', { status: 401, headers: challenge }, false],
    ['the response is from elsewhere', { status: undefined, headers: challenge }, true],
  ])('is not sent once more for a nonce if %s', async (_name, response, isReplayable) => {
    const { carrier, provider } = setUpBound();
    provider.renewal = async () => undefined;
    const { call, log } = callOf([response], { isReplayable: () => isReplayable });
    expect(await carrier.call(call)).toBe(response);
    expect(log.filter((entry) => entry !== 'flowing' && entry !== 'stopped')).toEqual(['sent DPoP bound']);
    expect(provider.nonces).toEqual(response.status === undefined ? [] : [response.headers?.['dpop-nonce']]);
  });
});

import { describe, expect, it, jest } from '@jest/globals';
import type { ExecutionContext } from '@nestjs/common';
import { tokenFingerprint } from '../foundation/sensitive-value.js';
import { refuse } from '../verification/refusal.js';
import type { Verdict } from '../verification/route-policy.js';
import { AccessDecisions, type TokenVerifier } from './access-decisions.js';
import type { InboundEvent } from './inbound-events.js';

const TOKEN = 'eyJh.e30.c2ln';
const credential = { ok: true, token: TOKEN } as const;
const accepted = {
  ok: true,
  caller: { clientId: 'svc', issuer: 'https://login.example', tokenFingerprint: 'abc' },
} as unknown as Verdict;

function setUp(verify: TokenVerifier['verify'] | undefined) {
  const decisions = new AccessDecisions(verify && { verify });
  const events: InboundEvent[] = [];
  decisions.events.subscribe((event) => events.push(event));
  return { decisions, events };
}

/** A call as Nest describes it. */
const call = (type: string, request?: unknown) =>
  ({
    getType: () => type,
    getArgByIndex: (index: number) => (index === 0 ? request : undefined),
    getClass: () => class Users {},
    getHandler: () => function list() {},
  }) as unknown as ExecutionContext;

const refusedEvent = {
  type: 'caller.refused',
  transport: 'http',
  route: undefined,
  reason: 'token_expired',
  claim: undefined,
  found: undefined,
  expected: undefined,
  clientId: undefined,
  issuer: undefined,
  tokenFingerprint: tokenFingerprint(TOKEN),
};

describe('a decision', () => {
  it('that is known at once has no promise; it is counted and emitted', () => {
    const { decisions, events } = setUp(() => accepted);
    expect(decisions.decide(credential, {}, 'http')).toBe(accepted);
    expect(events).toEqual([
      { type: 'caller.accepted', transport: 'http', clientId: 'svc', issuer: 'https://login.example', tokenFingerprint: 'abc' },
    ]); // prettier-ignore
  });

  it('that takes a while is the same', async () => {
    const { decisions, events } = setUp(async () => accepted);
    await expect(decisions.decide(credential, {}, 'http')).resolves.toBe(accepted);
    expect(events.map(({ type }) => type)).toEqual(['caller.accepted']);
  });

  it('gets the token and the policy of the handler', () => {
    const asked: unknown[] = [];
    const policy = { scopes: ['a'] };
    const { decisions } = setUp((...question) => {
      asked.push(question);
      return accepted;
    });
    void decisions.decide(credential, policy, 'http');
    expect(asked).toEqual([[TOKEN, policy]]);
  });

  it('about a refused token emits what was found, and the fingerprint of the token', async () => {
    const refusal = refuse('audience_mismatch', { claim: 'aud', found: '"a"', expected: '"b"' });
    for (const verify of [() => refusal, async () => refusal]) {
      const { decisions, events } = setUp(verify);
      expect(await decisions.decide(credential, {}, 'http')).toEqual(refusal);
      const detail = { reason: 'audience_mismatch', claim: 'aud', found: '"a"', expected: '"b"' };
      expect(events).toEqual([{ ...refusedEvent, ...detail }]);
    }
  });

  it('about a caller that lacks rights names the client', () => {
    const caller = { clientId: 'svc', issuer: 'https://login.example', tokenFingerprint: 'abc' };
    const { decisions, events } = setUp(() => ({ ...refuse('scope_insufficient'), caller }) as Verdict);
    void decisions.decide(credential, {}, 'nats');
    expect(events).toEqual([{ ...refusedEvent, transport: 'nats', reason: 'scope_insufficient', ...caller }]);
  });

  it('about a call without a credential needs no verifier', () => {
    const { decisions, events } = setUp(() => accepted);
    expect(decisions.decide(refuse('credential_missing'), {}, 'http')).toEqual(refuse('credential_missing'));
    expect(events).toEqual([{ ...refusedEvent, reason: 'credential_missing', tokenFingerprint: undefined }]);
  });

  it('without a guard in the options refuses every token, with the reason', () => {
    const { decisions, events } = setUp(undefined);
    expect(decisions.isConfigured).toBe(false);
    expect(decisions.decide(credential, {}, 'http')).toMatchObject({ ok: false, reason: 'issuer_unknown' });
    const expected = 'an issuer in the options of the guard, which are missing';
    expect(events).toEqual([{ ...refusedEvent, reason: 'issuer_unknown', expected }]);
    expect(setUp(() => accepted).decisions.isConfigured).toBe(true);
  });

  it.each([
    [TOKEN, 'token_malformed'],
    ['a|b', 'credential_malformed'],
    ['a!b', 'credential_malformed'],
  ])('about the token %s that is no JWT: %s', (token, reason) => {
    const { decisions, events } = setUp(() => refuse('token_malformed'));
    expect(decisions.decide({ ok: true, token }, {}, 'http')).toMatchObject({ reason });
    expect(events).toMatchObject([{ reason }]);
  });

  it('about a token with such characters that is wrong in another way keeps the reason', () => {
    const { decisions } = setUp(() => refuse('token_inactive'));
    expect(decisions.decide({ ok: true, token: 'a|b' }, {}, 'http')).toMatchObject({ reason: 'token_inactive' });
  });
});

describe('a verifier that fails', () => {
  class StrangeError extends Error {}
  const throwing = (error: unknown) => () => {
    throw error;
  };

  /** Collects the warnings of the process while it runs. */
  async function warningsOf(run: () => Promise<void>): Promise<unknown[][]> {
    const warn = jest.spyOn(process, 'emitWarning').mockImplementation(() => {});
    try {
      await run();
      return warn.mock.calls;
    } finally {
      warn.mockRestore();
    }
  }

  it.each<[string, TokenVerifier['verify'], string]>([
    ['throws', throwing(new StrangeError(TOKEN)), 'StrangeError'],
    ['rejects', () => Promise.reject(new StrangeError(TOKEN)), 'StrangeError'],
    ['throws no error', throwing(TOKEN), 'string'],
  ])(
    'if it %s: the call is refused, and the process is warned once, without the message',
    async (_how, verify, name) => {
      const { decisions, events } = setUp(verify);
      const warnings = await warningsOf(async () => {
        for (let call = 0; call < 3; call++) {
          expect(await decisions.decide(credential, {}, 'http')).toEqual(refuse('verification_failed'));
        }
      });
      expect(events).toEqual(Array.from({ length: 3 }, () => ({ ...refusedEvent, reason: 'verification_failed' })));
      expect(warnings).toEqual([[`an access token could not be verified: ${name}`, 'IdentityM2MWarning']]);
    },
  );

  it('in another way is another warning', async () => {
    const errors = [new StrangeError(), new TypeError()];
    const { decisions } = setUp(() => {
      throw errors.shift();
    });
    const warnings = await warningsOf(async () => {
      for (let call = 0; call < 2; call++) await decisions.decide(credential, {}, 'http');
    });
    expect(warnings).toHaveLength(2);
  });
});

describe('the route of a refused call', () => {
  it.each<[string, ExecutionContext, string]>([
    ['Express', call('http', { method: 'GET', route: { path: '/users/:id' } }), 'GET /users/:id'],
    ['Express in a router', call('http', { method: 'GET', baseUrl: '/v1', route: { path: '/:id' } }), 'GET /v1/:id'],
    ['Fastify', call('http', { method: 'PUT', routeOptions: { url: '/users/:id' } }), 'PUT /users/:id'],
    ['a path that is a pattern', call('http', { method: 'GET', route: { path: /a/ } }), 'Users.list'],
    ['a request without a method', call('http', { route: { path: '/' } }), 'Users.list'],
    ['no request', call('http'), 'Users.list'],
    ['a message with such members', call('rpc', { method: 'GET', route: { path: '/' } }), 'Users.list'],
    ['text of the request', call('http', { method: 'GET', route: { path: '/a\nb' } }), 'GET /a?b'],
  ])('of %s', (_what, context, route) => {
    const { decisions, events } = setUp(() => refuse('token_expired'));
    void decisions.decide(credential, {}, 'http', context);
    expect(events).toEqual([{ ...refusedEvent, route }]);
  });
});

describe('the counts', () => {
  it('are by transport and reason, and a copy', () => {
    const verdicts = [accepted, accepted, refuse('token_expired'), refuse('token_expired'), refuse('key_unknown')];
    const { decisions } = setUp(() => verdicts.shift()!);
    expect(decisions.counts()).toEqual({});
    for (const transport of ['http', 'nats', 'http', 'http', 'nats']) void decisions.decide(credential, {}, transport);
    const counts = decisions.counts();
    expect(counts).toEqual({
      http: { accepted: 1, refused: { token_expired: 2 } },
      nats: { accepted: 1, refused: { key_unknown: 1 } },
    });
    (counts.http!.refused as Record<string, number>).token_expired = 7;
    expect(decisions.counts().http!.refused).toEqual({ token_expired: 2 });
  });
});

describe('a handler whose rules are unknown', () => {
  it('is reported once by its name, however often Nest creates it', () => {
    const { decisions, events } = setUp(() => accepted);
    decisions.unknownHandler(call('http'), ['nestjs-identity-m2m:rate']);
    decisions.unknownHandler(call('http'), []);
    expect(events).toEqual([
      { type: 'handler.unknown', handler: 'Users.list', unknownRules: ['nestjs-identity-m2m:rate'] },
    ]);
    const other = { getClass: () => null, getHandler: () => null } as unknown as ExecutionContext;
    decisions.unknownHandler(other, []);
    expect(events[1]).toMatchObject({ handler: 'undefined.undefined' });
  });
});

describe('how a refused message was settled', () => {
  it('is an event', () => {
    const { decisions, events } = setUp(undefined);
    const event = { type: 'message.skipped', transport: 'kafka', reason: 'token_expired' } as const;
    decisions.settled(event);
    expect(events).toEqual([event]);
  });
});

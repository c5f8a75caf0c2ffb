import { connect } from 'node:net';
import { text } from 'node:stream/consumers';
import { afterAll, beforeAll, describe, expect, it, test } from '@jest/globals';
import { Controller, Get, type INestApplication, Post, UseGuards } from '@nestjs/common';
import { FastifyAdapter } from '@nestjs/platform-fastify';
import { Test } from '@nestjs/testing';
import {
  AllowClients,
  Caller,
  genericOAuth2,
  type GuardOptions,
  IdentityM2MModule,
  AccessDecisions,
  type InboundEvent,
  M2M_CLOCK,
  M2MAuthGuard,
  type MachineCaller,
  Public,
  RequireScopes,
} from 'nestjs-identity-m2m';
import { ManualClock, TestIssuer } from 'nestjs-identity-m2m/testing';

@Controller()
class Routes {
  @Get('any')
  any(@Caller() caller: MachineCaller) {
    return { clientId: caller.clientId, scopes: caller.scopes, subject: caller.subject };
  }

  @Get('read')
  @RequireScopes('users.read')
  read() {
    return 'read';
  }

  @Post('both')
  @RequireScopes('users.read', 'users.write')
  both() {
    return 'both';
  }

  @Get('narrow')
  @AllowClients('billing')
  narrow() {
    return 'narrow';
  }

  @Get('public')
  @Public()
  public(@Caller() caller: MachineCaller | undefined) {
    return { caller: caller ?? null };
  }
}

@Public()
@Controller('open')
class OpenRoutes {
  @Get('a')
  a() {
    return 'a';
  }

  @Get('b')
  @RequireScopes('users.read')
  b() {
    return 'b';
  }
}

@Controller('contradictory')
class ContradictoryRoutes {
  @Get('method')
  @Public()
  @RequireScopes('admin')
  method() {
    return 'method';
  }
}

@Public()
@RequireScopes('admin')
@Controller('contradictory-class')
class ContradictoryClass {
  @Get()
  get() {
    return 'class';
  }
}

@Public()
class OpenBase {}

@Controller('derived')
class DerivedRoutes extends OpenBase {
  @Get()
  get() {
    return 'derived';
  }
}

@RequireScopes('admin')
class RestrictedBase {}

@Controller('restricted')
class RestrictedRoutes extends RestrictedBase {
  @Get()
  get() {
    return 'restricted';
  }
}

@Controller('unguarded')
class UnguardedRoutes {
  @Get('plain')
  plain() {
    return 'plain';
  }

  @Get('guarded')
  @UseGuards(M2MAuthGuard)
  guarded(@Caller() caller: MachineCaller) {
    return caller.clientId;
  }
}

const NOW = new Date('2030-01-01T00:00:00Z').getTime() / 1000;

describe.each(['Express', 'Fastify'])('the guard on %s', (platform) => {
  let issuer: TestIssuer;
  let app: INestApplication;
  let url: string;
  let clock: ManualClock;
  const events: InboundEvent[] = [];

  const claims = (more: object = {}) => ({
    iss: issuer.url,
    aud: 'users-api',
    sub: 'provisioning',
    client_id: 'provisioning',
    scope: 'users.read',
    iat: NOW,
    exp: NOW + 300,
    ...more,
  });
  const get = (
    path: string,
    token?: string,
    init: { method?: string; body?: string; headers?: Record<string, string> } = {},
  ) =>
    fetch(`${url}${path}`, {
      ...init,
      headers: { ...(token && { authorization: `Bearer ${token}` }), ...init.headers },
    });
  const lastReason = () => {
    const event = events.at(-1);
    return event?.type === 'caller.refused' ? event.reason : event?.type;
  };

  async function start(
    guard: Partial<GuardOptions> = {},
    globalGuard = true,
    middleware?: Parameters<INestApplication['use']>[0],
  ): Promise<INestApplication> {
    clock = new ManualClock(new Date(NOW * 1000));
    const module = await Test.createTestingModule({
      imports: [
        IdentityM2MModule.forRoot({
          guard: {
            issuers: [genericOAuth2({ issuer: issuer.url })],
            audience: 'users-api',
            clients: ['provisioning', 'billing'],
            ...guard,
          },
          globalGuard,
        }),
      ],
      controllers: [
        Routes,
        OpenRoutes,
        UnguardedRoutes,
        ContradictoryRoutes,
        ContradictoryClass,
        DerivedRoutes,
        RestrictedRoutes,
      ],
    })
      .overrideProvider(M2M_CLOCK)
      .useValue(clock)
      .compile();
    const created =
      platform === 'Fastify' ? module.createNestApplication(new FastifyAdapter()) : module.createNestApplication();
    created.useLogger(false);
    if (middleware) created.use(middleware);
    await created.listen(0, '127.0.0.1');
    url = await created.getUrl();
    module.get(AccessDecisions).events.subscribe((event) => events.push(event));
    return created;
  }

  /** Makes the calls of a test go to another application, with other options and a clock of its own. */
  async function withOther(
    guard: Partial<GuardOptions>,
    test: () => Promise<void>,
    globalGuard = true,
    middleware?: Parameters<INestApplication['use']>[0],
  ): Promise<void> {
    const usual = { url, clock };
    const other = await start(guard, globalGuard, middleware);
    try {
      await test();
    } finally {
      await other.close();
      ({ url, clock } = usual);
    }
  }

  beforeAll(async () => {
    issuer = await TestIssuer.start();
    app = await start();
  });
  afterAll(async () => {
    await app.close();
    await issuer.close();
  });

  it('allows a named machine with a valid token, and the handler knows the caller', async () => {
    const response = await get('/any', await issuer.sign(claims()));
    expect(response.status).toBe(200);
    expect(await response.json()).toEqual({
      clientId: 'provisioning',
      subject: 'provisioning',
      scopes: ['users.read'],
    });
    expect(events.at(-1)).toMatchObject({ type: 'caller.accepted', clientId: 'provisioning', issuer: issuer.url });
  });

  it('accepts the scheme in any case', async () => {
    const token = await issuer.sign(claims());
    for (const scheme of ['Bearer', 'bearer', 'BEARER']) {
      expect((await get('/any', undefined, { headers: { authorization: `${scheme} ${token}` } })).status).toBe(200);
    }
  });

  it('requires a token, without an error code, if there is none', async () => {
    const response = await get('/any');
    expect(response.status).toBe(401);
    expect(response.headers.get('www-authenticate')).toBe('Bearer');
    expect(response.headers.get('cache-control')).toBe('no-store');
    expect(await response.json()).toEqual({
      statusCode: 401,
      error: 'unauthorized',
      message: 'An access token is required.',
    });
  });

  it('names the missing scopes', async () => {
    const response = await get('/both', await issuer.sign(claims()), { method: 'POST' });
    expect(response.status).toBe(403);
    expect(response.headers.get('www-authenticate')).toBe(
      'Bearer error="insufficient_scope", scope="users.read users.write"',
    );
    const enough = await issuer.sign(claims({ scope: 'users.write x users.read' }));
    expect((await get('/both', enough, { method: 'POST' })).status).toBe(201);
  });

  it('allows only the clients that a route names', async () => {
    const token = await issuer.sign(claims());
    const response = await get('/narrow', token);
    expect([response.status, response.headers.get('www-authenticate')]).toEqual([403, null]);
    const billing = await issuer.sign(claims({ sub: 'billing', client_id: 'billing' }));
    expect((await get('/narrow', billing)).status).toBe(200);
  });

  it('refuses clients that its options do not name, even with a valid token', async () => {
    const intruder = await issuer.sign(claims({ sub: 'intruder', client_id: 'intruder' }));
    expect((await get('/any', intruder)).status).toBe(403);
    expect(lastReason()).toBe('client_not_allowed');
  });

  it('allows every caller on a public route, and no other on a restricted method of a public class', async () => {
    const token = await issuer.sign(claims());
    expect(await (await get('/public', token)).json()).toEqual({ caller: null });
    expect((await get('/open/a')).status).toBe(200);
    expect((await get('/open/b')).status).toBe(401);
    expect((await get('/open/b', token)).status).toBe(200);
  });

  it('applies the stricter of contradictory rules, and does not inherit @Public()', async () => {
    for (const path of ['/contradictory/method', '/contradictory-class', '/derived']) {
      expect((await get(path)).status).toBe(401);
    }
    const token = await issuer.sign(claims());
    expect((await get('/contradictory/method', token)).status).toBe(403);
    expect((await get('/derived', token)).status).toBe(200);
    expect((await get('/restricted', token)).status).toBe(403);
  });

  it('does not confuse equal clients of two issuers', async () => {
    const second = await TestIssuer.start();
    await withOther(
      {
        issuers: [genericOAuth2({ issuer: issuer.url }), genericOAuth2({ issuer: second.url })],
        clients: [
          { clientId: 'provisioning', issuer: issuer.url },
          { clientId: 'billing', issuer: second.url },
        ],
      },
      async () => {
        const ofFirst = (id: string) => issuer.sign(claims({ sub: id, client_id: id }));
        const ofSecond = (id: string) => second.sign(claims({ iss: second.url, sub: id, client_id: id }));
        expect((await get('/any', await ofFirst('provisioning'))).status).toBe(200);
        expect((await get('/any', await ofSecond('provisioning'))).status).toBe(403);
        expect((await get('/narrow', await ofSecond('billing'))).status).toBe(200);
        expect((await get('/narrow', await ofFirst('billing'))).status).toBe(403);
      },
    );
    await second.close();
  });

  it('does not let a route name a client without its issuer if several issuers are trusted', async () => {
    const second = await TestIssuer.start();
    const issuers = [genericOAuth2({ issuer: issuer.url }), genericOAuth2({ issuer: second.url })];
    await withOther({ issuers, clients: undefined }, async () => {
      const token = await second.sign(claims({ iss: second.url, sub: 'billing', client_id: 'billing' }));
      expect((await get('/any', token)).status).toBe(200);
      expect((await get('/narrow', token)).status).toBe(403);
    });
    await second.close();
  });

  test.each<[string, () => Promise<string> | string, string]>([
    ['that has expired', () => issuer.sign(claims({ exp: NOW - 31 })), 'token_expired'],
    ['without exp', () => issuer.sign(claims({ exp: undefined })), 'time_claim_malformed'],
    ['with exp as text', () => issuer.sign(claims({ exp: String(NOW + 300) as unknown })), 'time_claim_malformed'],
    ['with exp beyond all time', () => issuer.sign(claims({ exp: 1e20 })), 'time_claim_malformed'],
    ['from the future', () => issuer.sign(claims({ iat: NOW + 31 })), 'token_not_yet_valid'],
    ['not yet valid', () => issuer.sign(claims({ nbf: NOW + 31 })), 'token_not_yet_valid'],
    ['for another API', () => issuer.sign(claims({ aud: 'other-api' })), 'audience_mismatch'],
    ['for an API of a similar name', () => issuer.sign(claims({ aud: 'users-api/' })), 'audience_mismatch'],
    ['for no API', () => issuer.sign(claims({ aud: undefined })), 'audience_mismatch'],
    ['of another issuer', () => issuer.sign(claims({ iss: 'https://evil.example' })), 'issuer_unknown'],
    ['of an issuer with a slash too many', () => issuer.sign(claims({ iss: `${issuer.url}/` })), 'issuer_unknown'],
    ['that is an ID token', () => issuer.sign(claims({ nonce: 'n' })), 'foreign_token'],
    ['of a person', () => issuer.sign(claims({ sub: 'jane' })), 'not_a_machine'],
    ['of the wrong type', () => issuer.sign(claims(), { typ: 'logout+jwt' }), 'token_type_refused'],
    ['with an extension', () => issuer.sign(claims(), { crit: ['exp'], exp: 1 }), 'token_header_refused'],
    ['bound to a key', () => issuer.sign(claims({ cnf: { jkt: 'x' } })), 'confirmation_unsupported'],
    ['with a scope of the wrong form', () => issuer.sign(claims({ scope: 'a\tb' })), 'scope_malformed'],
    ['with two scopes that differ', () => issuer.sign(claims({ scp: ['admin'] })), 'scope_malformed'],
    ['with an unknown key', () => issuer.sign(claims(), { kid: 'nobody' }), 'key_unknown'],
    [
      'with a signature of another token',
      async () => {
        const [a, b] = [await issuer.sign(claims()), await issuer.sign(claims({ scope: 'users.write' }))];
        return [...b.split('.').slice(0, 2), a.split('.')[2]].join('.');
      },
      'signature_invalid',
    ],
    [
      'without signature',
      async () => `${(await issuer.sign(claims())).split('.').slice(0, 2).join('.')}.`,
      'token_malformed',
    ],
    [
      'of algorithm none',
      async () => {
        const [, body] = (await issuer.sign(claims())).split('.');
        return `${Buffer.from('{"alg":"none","typ":"at+jwt"}').toString('base64url')}.${body}.AAAA`;
      },
      'algorithm_refused',
    ],
    [
      'with claims said twice',
      async () => {
        const [header, , signature] = (await issuer.sign(claims())).split('.');
        const body = JSON.stringify(claims()).replace('{', '{"aud":"x",');
        return `${header}.${Buffer.from(body).toString('base64url')}.${signature}`;
      },
      'token_malformed',
    ],
    ['that is no token', () => 'abc', 'token_malformed'],
    ['of 10,000 dots', () => `a${'.'.repeat(10_000)}`, 'token_malformed'],
  ])('refuses a token %s', async (_name, make, reason) => {
    const response = await get('/any', await make());
    expect(lastReason()).toBe(reason);
    expect(response.status).toBe(reason === 'not_a_machine' ? 403 : 401);
    const challenge = 'Bearer error="invalid_token", error_description="The access token is not valid here"';
    expect(response.headers.get('www-authenticate')).toBe(reason === 'not_a_machine' ? null : challenge);
  });

  it('tolerates a clock difference, to the second', async () => {
    for (const [exp, status] of [
      [NOW - 29, 200],
      [NOW - 30, 401],
    ] as const) {
      expect((await get('/any', await issuer.sign(claims({ iat: NOW - 300, exp })))).status).toBe(status);
    }
  });

  it('responds with 400 to two credentials, wherever the second one is', async () => {
    const token = await issuer.sign(claims());
    expect((await get(`/any?access_token=${token}`, token)).status).toBe(400);
    const form = { method: 'POST', body: `access_token=${token}` };
    const formHeaders = { 'content-type': 'application/x-www-form-urlencoded' };
    const both = await get('/both', token, { ...form, headers: formHeaders });
    // Fastify without a form parser refuses the body itself.
    expect([400, 415]).toContain(both.status);
    const repeated = connect(Number(new URL(url).port), '127.0.0.1');
    const header = `Authorization: Bearer ${token}\r\n`;
    repeated.write(`GET /any HTTP/1.1\r\nHost: x\r\nConnection: close\r\n${header}${header}\r\n`);
    expect(await text(repeated)).toMatch(/^HTTP\/1.1 400 /);
    expect(lastReason()).toBe('credential_repeated');
  });

  test.each(['Bearer', 'Bearer ', 'Bearer a b', 'Bearer a,b', 'Bearer a, Bearer b', 'Bearer =a', 'Bearer tökén'])(
    'responds with 400 to %j',
    async (authorization) => {
      const response = await get('/any', undefined, { headers: { authorization } }).catch(() => undefined);
      if (!response) return; // fetch itself will not send it
      expect(response.status).toBe(400);
      expect(response.headers.get('www-authenticate')).toBe('Bearer error="invalid_request"');
    },
  );

  it('does not look for tokens in other places', async () => {
    const token = await issuer.sign(claims());
    expect((await get(`/any?access_token=${token}`)).status).toBe(401);
    expect((await get('/any', undefined, { headers: { cookie: `access_token=${token}` } })).status).toBe(401);
    expect((await get('/any', undefined, { headers: { 'x-forwarded-authorization': `Bearer ${token}` } })).status).toBe(
      401,
    );
    const basic = Buffer.from(`x:${token}`).toString('base64');
    expect((await get('/any', undefined, { headers: { authorization: `Basic ${basic}` } })).status).toBe(401);
  });

  it('accepts tokens of a new key after a rotation, and limits requests for made-up keys', async () => {
    await clock.advance(30_000);
    await issuer.rotateKeys();
    const before = issuer.keySetRequests;
    const token = await issuer.sign(claims());
    expect((await get('/any', token)).status).toBe(200);
    for (let flood = 0; flood < 200; flood++) {
      const response = await get('/any', await issuer.sign(claims(), { kid: `made-up-${flood}` }));
      expect([response.status, Number(response.headers.get('retry-after')) > 0]).toEqual([503, true]);
    }
    expect((await get('/any', token)).status).toBe(200);
    expect(issuer.keySetRequests).toBe(before + 1);
  });

  it('uses cached keys while the issuer is down, and then responds with 503', async () => {
    const token = () => issuer.sign(claims({ exp: NOW + 100_000 }));
    await clock.advance(30_000);
    await get('/any', await issuer.sign(claims(), { kid: 'made-up' }));
    issuer.outage = 500;
    await clock.advance(60 * 60_000);
    expect((await get('/any', await token())).status).toBe(200);
    await clock.advance(11 * 60_000);
    const response = await get('/any', await token());
    expect(response.status).toBe(503);
    expect(Number(response.headers.get('retry-after'))).toBeGreaterThan(0);
    expect(response.headers.get('www-authenticate')).toBeNull();
    issuer.outage = undefined;
    await clock.advance(30_000);
    expect((await get('/any', await token())).status).toBe(200);
  });

  it('recovers within a second or two when the first fetch of the keys failed', async () => {
    issuer.outage = 500;
    await withOther({}, async () => {
      const token = await issuer.sign(claims());
      const response = await get('/any', token);
      expect([response.status, response.headers.get('retry-after')]).toEqual([503, '1']);
      issuer.outage = undefined;
      await clock.advance(1000);
      expect((await get('/any', token)).status).toBe(200);
    });
    issuer.outage = undefined;
  });

  it('is not affected by what an application keeps on its requests', async () => {
    const rawBody = (request: { raw?: unknown }, _response: unknown, next: () => void) => {
      if (platform === 'Express') request.raw = Buffer.from('the body as it came');
      next();
    };
    await withOther(
      {},
      async () => {
        expect((await get('/any', await issuer.sign(claims()))).status).toBe(200);
      },
      true,
      rawBody,
    );
  });

  it('guards where it is placed, if it is not global', async () => {
    await withOther(
      { realm: 'users' },
      async () => {
        expect((await get('/unguarded/plain')).status).toBe(200);
        const refused = await get('/unguarded/guarded');
        expect([refused.status, refused.headers.get('www-authenticate')]).toEqual([401, 'Bearer realm="users"']);
        const accepted = await get('/unguarded/guarded', await issuer.sign(claims()));
        expect(await accepted.text()).toBe('provisioning');
      },
      false,
    );
  });
});

test('a global guard without options fails the boot', async () => {
  const client = {
    identityProvider: genericOAuth2({ tokenEndpoint: 'https://id.example/token' }),
    clientId: 'billing',
    clientSecret: 'a secret',
  };
  const boot = Test.createTestingModule({
    imports: [IdentityM2MModule.forRoot({ client, globalGuard: true })],
  }).compile();
  await expect(boot).rejects.toMatchObject({ code: 'M2M_CONFIGURATION_INVALID', faults: [{ path: 'guard' }] });
});

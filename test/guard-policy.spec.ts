import { afterAll, beforeAll, describe, expect, it, test } from '@jest/globals';
import { Controller, Get, type INestApplication } from '@nestjs/common';
import { Test } from '@nestjs/testing';
import {
  AllowClients,
  Caller,
  genericOAuth2,
  IdentityM2MModule,
  M2M_CLOCK,
  type MachineCaller,
  RequireClaims,
  RequireScopes,
  Sensitive,
} from 'nestjs-identity-m2m';
import { forge, ForgeableIssuer, forgingKey } from './support/forgeable-issuer.js';
import { json } from './support/http-server.js';
import { ManualClock } from 'nestjs-identity-m2m/testing';

@Controller('any')
@RequireScopes({ any: ['read', 'admin'] })
class AnyScope {
  @Get()
  ofClass() {}

  @Get('all')
  @RequireScopes('read', 'admin')
  all() {}
}

@Controller('all')
@RequireScopes('read', 'admin')
class AllScopes {
  @Get()
  ofClass() {}

  @Get('any')
  @RequireScopes({ any: ['read', 'admin'] })
  any() {}
}

@Controller('claims')
@RequireClaims({ tenant: ['acme', 'umbrella'], realm_access: { roles: 'billing' } })
class Claims {
  @Get()
  ofClass() {}

  @Get('own')
  @RequireClaims({ tenant: 'umbrella' })
  own() {}

  @Get('scopes')
  @RequireScopes('read')
  scopes() {}
}

@Controller('clients')
@AllowClients('x', 'y')
class Clients {
  @Get()
  ofClass() {}

  @Get('own')
  @AllowClients('z')
  own() {}

  @Get('scopes')
  @RequireScopes('admin')
  scopes() {}
}

@Controller('sensitive')
@Sensitive()
class SensitiveRoutes {
  @Get()
  ofClass(@Caller() caller: MachineCaller) {
    return { isIntrospected: caller.isIntrospected };
  }

  @Get('not')
  @Sensitive(false)
  not(@Caller() caller: MachineCaller) {
    return { isIntrospected: caller.isIntrospected };
  }
}

const NOW = new Date('2030-01-01T00:00:00Z').getTime() / 1000;
const key = forgingKey('ES256', 'k');

describe('the requirements of a route', () => {
  let issuer: ForgeableIssuer;
  let app: INestApplication;
  let url: string;
  const get = async (path: string, claims: object = {}) => {
    const base = { iss: issuer.url, aud: 'a', sub: 'x', client_id: 'x', scope: 'read', iat: NOW, exp: NOW + 300 };
    const response = await fetch(`${url}${path}`, {
      headers: { authorization: `Bearer ${forge(key, { ...base, ...claims })}` },
    });
    return { status: response.status, headers: response.headers, body: await response.text() };
  };
  const status = async (path: string, claims?: object) => (await get(path, claims)).status;

  beforeAll(async () => {
    issuer = await ForgeableIssuer.start();
    issuer.keys = [key.jwk];
    const module = await Test.createTestingModule({
      imports: [
        IdentityM2MModule.forRoot({
          guard: {
            issuers: [genericOAuth2({ issuer: issuer.url })],
            audience: 'a',
            introspection: [{ clientId: 'a', clientSecret: 's' }],
          },
          globalGuard: true,
        }),
      ],
      controllers: [AnyScope, AllScopes, Claims, Clients, SensitiveRoutes],
    })
      .overrideProvider(M2M_CLOCK)
      .useValue(new ManualClock(new Date(NOW * 1000)))
      .compile();
    app = module.createNestApplication();
    app.useLogger(false);
    await app.listen(0, '127.0.0.1');
    url = await app.getUrl();
  });
  afterAll(async () => {
    await app.close();
    await issuer.close();
  });

  it('can be any scope of several, and a method replaces the scopes and the mode of its class', async () => {
    expect(await status('/any')).toBe(200);
    expect(await status('/any', { scope: 'write' })).toBe(403);
    expect(await status('/any/all')).toBe(403);
    expect(await status('/all')).toBe(403);
    expect(await status('/all/any')).toBe(200);
    expect(await status('/all', { scope: 'admin read' })).toBe(200);
    expect((await get('/any', { scope: 'write' })).headers.get('www-authenticate')).toBe(
      'Bearer error="insufficient_scope", error_description="The access token needs one of the scopes", scope="read admin"',
    );
  });

  it('can be claims, together with other rules', async () => {
    const billing = { realm_access: { roles: ['reader', 'billing'] } };
    expect(await status('/claims', { tenant: 'acme', ...billing })).toBe(200);
    expect(await status('/claims', { tenant: 'acme' })).toBe(403);
    expect(await status('/claims', { tenant: 'other', ...billing })).toBe(403);
    expect(await status('/claims/own', { tenant: 'umbrella' })).toBe(200);
    expect(await status('/claims/own', { tenant: 'acme', ...billing })).toBe(403);
    expect(await status('/claims/scopes', { tenant: 'acme', ...billing })).toBe(200);
    expect(await status('/claims/scopes', { tenant: 'acme', scope: 'x', ...billing })).toBe(403);
    expect(await status('/claims/scopes', { tenant: 'other', ...billing })).toBe(403);
    const refused = await get('/claims', { tenant: 'other' });
    expect([refused.headers.get('www-authenticate'), refused.body]).toEqual([
      null,
      expect.not.stringMatching('tenant'),
    ]);
  });

  it('can be one of some clients, and a method replaces the list of its class', async () => {
    const client = (id: string) => ({ sub: id, client_id: id });
    expect([await status('/clients', client('x')), await status('/clients', client('y'))]).toEqual([200, 200]);
    expect(await status('/clients', client('z'))).toBe(403);
    expect([await status('/clients/own', client('x')), await status('/clients/own', client('z'))]).toEqual([403, 200]);
    expect(await status('/clients/scopes', { ...client('z'), scope: 'admin' })).toBe(403);
    expect(await status('/clients/scopes', { ...client('x'), scope: 'admin' })).toBe(200);
  });

  it('can be a confirmation by the issuer', async () => {
    issuer.introspectionAnswer = json(200, { active: true });
    expect(await get('/sensitive', { jti: '1' })).toMatchObject({ status: 200, body: '{"isIntrospected":true}' });
    expect(await get('/sensitive/not', { jti: '1' })).toMatchObject({ status: 200, body: '{"isIntrospected":false}' });
    issuer.introspectionAnswer = json(200, { active: false });
    expect(await status('/sensitive', { jti: '2' })).toBe(401);
    issuer.introspectionAnswer = json(500, {});
    const undecided = await get('/sensitive', { jti: '3' });
    expect([undecided.status, undecided.headers.get('retry-after')]).toEqual([503, '1']);
  });

  test.each<readonly [string, () => unknown]>([
    ['no scope', () => RequireScopes(...([] as unknown as [string]))],
    ['no scope out of any', () => RequireScopes({ any: [] })],
    ['any of a text', () => RequireScopes({ any: 'read' } as never)],
    ['two lists of any', () => RequireScopes(...([{ any: ['a'] }, { any: ['b'] }] as never))],
    ['two scopes in one', () => RequireScopes('read write')],
    ['no client', () => AllowClients(...([] as unknown as [string]))],
    ['a client without a name', () => AllowClients('x', '')],
    ['no claims', () => RequireClaims({})],
    ['a claim that is nothing', () => RequireClaims({ tenant: undefined as never })],
    ['a claim with no values', () => RequireClaims({ tenant: [] })],
    ['a claim with no members', () => RequireClaims({ realm_access: {} })],
    ['a list of claims', () => RequireClaims(['tenant'] as never)],
  ])('C7 can’t be %s', (_name, decorate) => expect(decorate).toThrow(TypeError));
});

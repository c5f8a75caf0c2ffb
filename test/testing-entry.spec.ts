import { X509Certificate } from 'node:crypto';
import { createServer, type RequestListener, type Server } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import { afterEach, describe, expect, it } from '@jest/globals';
import { HttpService } from '@nestjs/axios';
import { Controller, Get, type INestApplication } from '@nestjs/common';
import { FastifyAdapter } from '@nestjs/platform-fastify';
import { Test } from '@nestjs/testing';
import { createRemoteJWKSet, decodeJwt, decodeProtectedHeader, jwtVerify, type JWTVerifyGetKey } from 'jose';
import {
  genericOAuth2,
  IdentityM2MModule,
  m2mHttpToken,
  RequireScopes,
  TokenProvider,
  tokenProviderToken,
} from 'nestjs-identity-m2m';
import { attackSuite, FixedTokenProvider, forgedTokens, ManualClock, TestIssuer } from 'nestjs-identity-m2m/testing';

const closing: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0)) await close();
});

const ACCEPTED = { clientId: 'billing', audience: 'my-api', scopes: ['read'] };

async function startIssuer(algorithm?: string, clock?: ManualClock): Promise<TestIssuer> {
  const issuer = await TestIssuer.start(algorithm, clock);
  closing.push(() => issuer.close());
  return issuer;
}

@Controller()
class Routes {
  @Get('things')
  @RequireScopes('read')
  things() {
    return ['a thing'];
  }
}

async function startApplication(issuer: TestIssuer, adapter?: FastifyAdapter): Promise<INestApplication> {
  const module = await Test.createTestingModule({
    imports: [
      IdentityM2MModule.forRoot({
        guard: {
          issuers: [genericOAuth2({ issuer: issuer.url, jwksUri: issuer.jwksUri })],
          audience: 'my-api',
          clients: ['billing'],
        },
        globalGuard: true,
      }),
    ],
    controllers: [Routes],
  }).compile();
  const app = adapter ? module.createNestApplication(adapter) : module.createNestApplication();
  app.useLogger(false);
  await app.listen(0, '127.0.0.1');
  closing.push(() => app.close());
  return app;
}

async function startServer(listener: RequestListener): Promise<string> {
  const server: Server = createServer(listener);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  closing.push(() => {
    server.closeAllConnections();
    server.close();
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

type Check = (
  token: string,
  by: {
    readonly keys: JWTVerifyGetKey;
    readonly rules: { readonly issuer: string; readonly audience: string; readonly typ: string };
  },
) => Promise<unknown>;

/** A server that lets in whose token passes a check. */
const startGuard = (check: (token: string) => unknown) =>
  startServer((request, response) => {
    const token = request.headers.authorization?.replace(/^Bearer /i, '') ?? '';
    void Promise.resolve()
      .then(() => check(token))
      .then(
        () => response.writeHead(200).end(),
        () => response.writeHead(401).end(),
      );
  });

describe('the attack suite', () => {
  it.each(['RS256', 'PS256', 'ES256', 'EdDSA'])(
    'gets no forged token past the guard, with keys for %s',
    async (algorithm) => {
      const issuer = await startIssuer(algorithm);
      const app = await startApplication(issuer);
      const report = await attackSuite(app, { issuer, accepted: ACCEPTED, path: '/things' });
      expect(report).toMatchObject({ accepted: [], crashed: [], echoed: [], lured: [] });
      expect(report.made).toBeGreaterThan(150);
    },
  );

  it('gets no forged token past the guard on Fastify', async () => {
    const issuer = await startIssuer();
    const app = await startApplication(issuer, new FastifyAdapter());
    const report = await attackSuite(app, { issuer, accepted: ACCEPTED, path: '/things' });
    expect(report).toMatchObject({ accepted: [], crashed: [], echoed: [], lured: [] });
  });

  it('finds the forged tokens that a guard accepts if it checks only the signature', async () => {
    const issuer = await startIssuer();
    const keys = createRemoteJWKSet(new URL(issuer.jwksUri));
    const url = await startGuard((token) => jwtVerify(token, keys));
    const { accepted } = await attackSuite(url, { issuer, accepted: ACCEPTED });
    const found = new Set(accepted.map(({ id }) => id));
    for (const id of ['C4', 'C6', 'C9', 'C11', 'C13', 'H1', 'P4']) expect(found).toContain(id);
    for (const id of ['S1', 'S2', 'S8']) expect(found).not.toContain(id);
  });

  it('makes its forged tokens from the accepted one, with its header', async () => {
    const issuer = await startIssuer();
    const keys = createRemoteJWKSet(new URL(issuer.jwksUri));
    const url = await startGuard((token) => jwtVerify(token, keys, { typ: 'JWT' }));
    const { accepted } = await attackSuite(url, { issuer, accepted: { ...ACCEPTED, header: { typ: 'JWT' } } });
    const found = new Set(accepted.map(({ id }) => id));
    for (const id of ['C4', 'C6', 'C9', 'C12', 'C13', 'H6', 'P4']) expect(found).toContain(id);
  });

  it.each<readonly [string, string, readonly string[], Check]>([
    [
      'takes the keys that the token names',
      'S10 names its own key set in jku',
      ['/attacker/keys'],
      async (token, { keys, rules }) => {
        const { jku } = decodeProtectedHeader(token);
        return jwtVerify(token, jku ? createRemoteJWKSet(new URL(jku)) : keys, rules);
      },
    ],
    [
      'takes the certificate that the token names',
      'S10 names its own certificate in x5u',
      ['/attacker/certificate'],
      async (token, { keys, rules }) => {
        const { x5u } = decodeProtectedHeader(token);
        if (!x5u) return jwtVerify(token, keys, rules);
        const pem = await (await fetch(x5u)).text();
        return jwtVerify(token, new X509Certificate(pem).publicKey, rules);
      },
    ],
    [
      'takes the certificate that the token brings',
      'S10 brings its own certificate in x5c',
      [],
      async (token, { keys, rules }) => {
        const [der] = decodeProtectedHeader(token).x5c ?? [];
        if (!der) return jwtVerify(token, keys, rules);
        return jwtVerify(token, new X509Certificate(Buffer.from(der, 'base64')).publicKey, rules);
      },
    ],
    [
      'trusts any issuer with keys',
      'C4 an issuer of the attacker, with discoverable keys',
      ['/attacker/.well-known/openid-configuration', '/attacker/keys'],
      async (token, { rules: { audience, typ } }) => {
        const metadata = await fetch(`${decodeJwt(token).iss}/.well-known/openid-configuration`);
        const { jwks_uri: address } = (await metadata.json()) as { jwks_uri: string };
        return jwtVerify(token, createRemoteJWKSet(new URL(address)), { audience, typ });
      },
    ],
    ['does not ask for scopes', 'H6 no scope', [], (token, { keys, rules }) => jwtVerify(token, keys, rules)],
    [
      'accepts the token of a person',
      'C12 the token of a user',
      [],
      (token, { keys, rules }) => jwtVerify(token, keys, rules),
    ],
  ])('finds the hole of a guard that %s', async (_name, hole, lured, check) => {
    const issuer = await startIssuer();
    const keys = createRemoteJWKSet(new URL(issuer.jwksUri));
    const rules = { issuer: issuer.url, audience: 'my-api', typ: 'at+jwt' };
    const url = await startGuard((token) => check(token, { keys, rules }));
    const report = await attackSuite(url, { issuer, accepted: ACCEPTED });
    expect(report.accepted.map(({ id, attack }) => `${id} ${attack}`)).toContain(hole);
    expect(report.lured.toSorted()).toEqual(lured);
  });

  it('finds a guard that accepts any token, echoes it, and crashes on malformed ones', async () => {
    const issuer = await startIssuer();
    const url = await startServer((request, response) => {
      const token = request.headers.authorization?.replace(/^Bearer /i, '');
      try {
        response.writeHead(decodeJwt(token ?? '').aud === 'my-api' ? 200 : 401).end(token);
      } catch {
        response.writeHead(500).end();
      }
    });
    const report = await attackSuite(url, { issuer, accepted: ACCEPTED });
    expect(report.accepted.map(({ id }) => id)).toEqual(expect.arrayContaining(['S1', 'S2', 'S8', 'S9', 'S10']));
    expect(report.crashed).not.toEqual([]);
    expect(report.echoed).not.toEqual([]);
  });

  it('throws if a valid token is refused', async () => {
    const issuer = await startIssuer();
    const url = await startServer((_request, response) => response.writeHead(401).end());
    await expect(attackSuite(url, { issuer, accepted: ACCEPTED })).rejects.toThrow(
      /no working route.*answered a valid token with 401/,
    );
  });
});

describe('a forged token', () => {
  it('has a name of its own, and differs from the accepted one', async () => {
    const issuer = await startIssuer('ES256');
    const forged = await forgedTokens(issuer, ACCEPTED);
    const names = forged.map(({ id, attack }) => `${id} ${attack}`);
    expect(new Set(names).size).toBe(names.length);
    const keys = createRemoteJWKSet(new URL(issuer.jwksUri));
    const good = await issuer.tokenFor(ACCEPTED);
    await expect(
      jwtVerify(good, keys, { audience: 'my-api', issuer: issuer.url, typ: 'at+jwt' }),
    ).resolves.toBeDefined();
  });
});

describe('the issuer in memory', () => {
  it('reports by introspection which of its tokens are active', async () => {
    const clock = new ManualClock();
    const issuer = await startIssuer('RS256', clock);
    const token = issuer.opaqueTokenFor({ ...ACCEPTED, expiresInSeconds: 60 });
    const introspect = async () => {
      const response = await fetch(issuer.introspectionEndpoint, {
        method: 'POST',
        headers: { authorization: 'Basic eDp5' },
        body: new URLSearchParams({ token }),
      });
      return (await response.json()) as Record<string, unknown>;
    };
    expect(await introspect()).toMatchObject({ active: true, client_id: 'billing', scope: 'read', aud: 'my-api' });
    await clock.advance(61_000);
    expect(await introspect()).toEqual({ active: false });
  });

  it('signs with a new key after a rotation, and keeps the old ones only by an option', async () => {
    const issuer = await startIssuer('ES256');
    const kids = async () => {
      const { keys } = (await (await fetch(issuer.jwksUri)).json()) as { keys: { kid: string; alg: string }[] };
      return keys.map(({ kid, alg }) => `${kid} ${alg}`);
    };
    expect(await kids()).toEqual(['key-1 ES256']);
    await issuer.rotateKeys({ algorithm: 'EdDSA', keep: true });
    expect(await kids()).toEqual(['key-2 EdDSA', 'key-1 ES256']);
    expect(decodeProtectedHeader(await issuer.tokenFor(ACCEPTED))).toEqual({
      alg: 'EdDSA',
      kid: 'key-2',
      typ: 'at+jwt',
    });
    await issuer.rotateKeys();
    expect(await kids()).toEqual(['key-3 EdDSA']);
    expect(issuer.keySetRequests).toBe(3);
  });

  it('can be slow, broken or silent, and revoke tokens', async () => {
    const issuer = await startIssuer();
    const token = issuer.opaqueTokenFor(ACCEPTED);
    issuer.revoke(token);
    const body = new URLSearchParams({ token });
    const authorization = 'Basic eDp5';
    const response = await fetch(issuer.introspectionEndpoint, { method: 'POST', headers: { authorization }, body });
    expect(await response.json()).toEqual({ active: false });
    expect((await fetch(issuer.introspectionEndpoint, { method: 'POST', body })).status).toBe(401);
    issuer.outage = 503;
    expect((await fetch(issuer.jwksUri)).status).toBe(503);
    issuer.outage = 'silence';
    await expect(fetch(issuer.jwksUri, { signal: AbortSignal.timeout(50) })).rejects.toThrow(/timeout/);
    issuer.outage = undefined;
    issuer.latencyMs = 1000;
    await expect(fetch(issuer.jwksUri, { signal: AbortSignal.timeout(50) })).rejects.toThrow(/timeout/);
  });
});

describe('the issuer in memory', () => {
  it('continues after a client aborts a request', async () => {
    const issuer = await startIssuer();
    const { port } = new URL(issuer.url);
    const socket = connect(Number(port), '127.0.0.1');
    socket.write('POST /introspect HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\ntoken=');
    while (issuer.introspectionRequests === 0) await new Promise(setImmediate);
    socket.destroy();
    expect((await fetch(issuer.jwksUri)).status).toBe(200);
  });
});

describe('a fixed token provider', () => {
  it('gives the HttpService its tokens as a replacement, without a token request', async () => {
    const received: (string | undefined)[] = [];
    const api = await startServer(({ headers }, response) => {
      received.push(headers.authorization);
      response.end();
    });
    const options = {
      identityProvider: genericOAuth2({ tokenEndpoint: 'https://idp.example/token' }),
      clientId: 'billing',
      clientSecret: 'never sent',
      allowedOrigins: [api],
      http: { baseURL: api },
    };
    const module = await Test.createTestingModule({
      imports: [IdentityM2MModule.forRoot({ client: options, clients: { other: options } })],
    })
      .overrideProvider(TokenProvider)
      .useValue(new FixedTokenProvider('a-token', { allowedOrigins: [api] }))
      .overrideProvider(tokenProviderToken('other'))
      .useValue(new FixedTokenProvider('another-token', { allowedOrigins: [api] }))
      .compile();
    await module.get(HttpService).axiosRef.get('/');
    await module.get<HttpService>(m2mHttpToken('other')).axiosRef.get('/');
    expect(received).toEqual(['Bearer a-token', 'Bearer another-token']);
    await module.close();
  });

  it('replaces the real one', async () => {
    const module = await Test.createTestingModule({
      imports: [
        IdentityM2MModule.forRoot({
          client: {
            identityProvider: genericOAuth2({ tokenEndpoint: 'https://idp.example/token' }),
            clientId: 'billing',
            clientSecret: 'never sent',
          },
        }),
      ],
    })
      .overrideProvider(TokenProvider)
      .useValue(new FixedTokenProvider('a-token', { allowedOrigins: ['https://api.example'] }))
      .compile();
    const provider = module.get(TokenProvider);
    expect((await provider.getToken()).reveal()).toBe('a-token');
    expect(provider.peek()?.reveal()).toBe('a-token');
    expect(provider.explain('https://api.example/x').isAllowed).toBe(true);
    expect(provider.explain('https://elsewhere.example/').isAllowed).toBe(false);
    const first = await provider.getToken();
    expect(await provider.renewToken(first)).toBeUndefined();
    (provider as FixedTokenProvider).replaceToken('another');
    expect((await provider.renewToken(first))?.reveal()).toBe('another');
    await module.close();
  });
});

import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import http, { Agent } from 'node:http';
import https from 'node:https';
import { createRequire } from 'node:module';
import { type AddressInfo, connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { inspect } from 'node:util';
import { deflateSync, gzipSync } from 'node:zlib';
import { afterEach, beforeAll, describe, expect, it, test } from '@jest/globals';
import { Test } from '@nestjs/testing';
import fc from 'fast-check';
import { HttpsProxyAgent } from 'https-proxy-agent';
import {
  AccessToken,
  ClientRejectedError,
  type Clock,
  cognito,
  createAccessTokenVerifier,
  cyberArkIdentity,
  duende,
  fromEnv,
  fromFile,
  genericOAuth2,
  type ClientOptions,
  IdentityM2MConfigurationError,
  IdentityM2MModule,
  keycloak,
  okta,
  selfSignedTlsClientAuth,
  tlsClientAuth,
  type TokenResponse,
  type TokenResponseGrant,
  type TokenResponseReader,
  type TokenProvider,
  TokenUnavailableError,
  ClientSecret,
} from 'nestjs-identity-m2m';
import { FixedTokenProvider, ManualClock } from 'nestjs-identity-m2m/testing';
import { Agent as UndiciAgent } from 'undici';
// From inside: the HTTP exchange is tried without a client.
import { basicAuthorization } from '../libs/identity-m2m/src/foundation/basic-authorization.js';
import { createBoundedFetch } from '../libs/identity-m2m/src/foundation/bounded-fetch.js';
import { startApplication } from './support/application.js';
import { CertificateAuthority, type IssuedCertificate, selfSignedCertificate } from './support/certificates.js';
import { type Answer, json, TestServer } from './support/http-server.js';
import { RawServer } from './support/raw-server.js';

const closing: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  await Promise.all(closing.splice(0).map((close) => close()));
});

const GRANT = { access_token: 't', token_type: 'Bearer', expires_in: 3600 };

async function startServer(answer: Answer, tls?: Parameters<typeof TestServer.start>[1]): Promise<TestServer> {
  const server = await TestServer.start(answer, tls);
  closing.push(() => server.close());
  return server;
}

/** An application with one client of this token endpoint. */
async function startClient(tokenEndpoint: string, options: Partial<ClientOptions> = {}, clock?: Clock) {
  const client = {
    identityProvider: genericOAuth2({ tokenEndpoint }),
    clientId: 'id',
    clientSecret: 'the-client-secret',
    ...options,
  };
  const application = await startApplication({ client }, clock);
  closing.push(() => application.module.close());
  return application;
}

/** What a client showed by HTTP Basic, request by request. */
function basicOf({ requests }: TestServer): string[] {
  return requests.map(({ headers }) => Buffer.from(headers.authorization!.slice(6), 'base64').toString());
}

/** What the first token request ends in, whatever a caller waits for beyond it. */
function firstOutcome(provider: TokenProvider): Promise<unknown> {
  return new Promise((resolve) => {
    provider.events.subscribe((event) => {
      if (event.type === 'token.refresh_failed') resolve(event.error);
    });
    void provider.getToken().then(resolve, resolve);
  });
}

async function firstFailure(provider: TokenProvider): Promise<TokenUnavailableError> {
  const outcome = await firstOutcome(provider);
  expect(outcome).toBeInstanceOf(TokenUnavailableError);
  return outcome as TokenUnavailableError;
}

/** The error that a call ends in. */
async function failure(call: Promise<unknown>): Promise<TokenUnavailableError> {
  return call.then(
    () => Promise.reject(new Error('expected a failure')),
    (error: TokenUnavailableError) => error,
  );
}

describe('a TLS certificate that is rejected', () => {
  let authority: CertificateAuthority;
  let loopback: IssuedCertificate;
  beforeAll(async () => {
    authority = await CertificateAuthority.create('Private CA');
    loopback = await authority.issueForLoopback();
  });

  const rejected = { code: 'M2M_TOKEN_UNAVAILABLE', reason: 'certificate_rejected' };

  it('srv-7: of an unknown authority is named at once with the remedy, also if the boot waits for a token', async () => {
    const server = await startServer(json(200, GRANT), loopback);
    const { provider } = await startClient(`${server.url}/token`);
    const error = await firstFailure(provider);
    expect(error).toMatchObject({ ...rejected, cause: { fault: 'certificate' } });
    expect(error.message).toMatch(/the TLS certificate of https:\/\/127\.0\.0\.1:\d+ is not trusted.*UNABLE_TO_VERIFY/);
    for (const mend of ['option ca', 'new https.Agent({ ca })', 'NODE_EXTRA_CA_CERTS']) {
      expect(error.message).toContain(mend);
    }
    const boot = await failure(startClient(`${server.url}/token`, { start: 'require' }));
    expect(boot).toMatchObject(rejected);
    expect(server.requests).toEqual([]);
  });

  test.each<[string, () => Promise<IssuedCertificate>, RegExp]>([
    [
      'of another host',
      () => selfSignedCertificate('elsewhere.example'),
      /is for another host name, DNS:elsewhere\.example .*Use an address that the certificate names/,
    ],
    ['that vouches for itself', () => selfSignedCertificate('127.0.0.1'), /is self-signed and not trusted .*option ca/],
    [
      'that has expired',
      () => selfSignedCertificate('127.0.0.1', { notAfter: new Date(Date.now() - 86_400_000) }),
      /has expired .*Renew the certificate/,
    ],
    [
      'that is not valid yet',
      () => selfSignedCertificate('127.0.0.1', { notAfter: new Date(Date.now() + 5 * 86_400_000) }),
      /is not valid yet .*check the clock/,
    ],
  ])('srv-7: %s is named with its own remedy', async (name, issue, words) => {
    const certificate = await issue();
    const server = await startServer(json(200, GRANT), certificate);
    // Trusted as an authority, so that only the fault in question is left.
    const ca = name === 'that vouches for itself' ? undefined : certificate.cert;
    const own = await selfSignedCertificate('client.example');
    const { provider } = await startClient(`${server.url}/token`, {
      clientAuthentication: selfSignedTlsClientAuth({ certificate: own.cert, key: own.key, ...(ca && { ca }) }),
      clientSecret: undefined,
    });
    const error = await firstFailure(provider);
    expect(error).toMatchObject(rejected);
    expect(error.message).toMatch(words);
  });

  it('srv-7: of the issuer is named as well, if the token endpoint is discovered', async () => {
    const server = await startServer(json(200, {}), loopback);
    const identityProvider = genericOAuth2({ issuer: server.url });
    const { provider } = await startClient('', { identityProvider });
    const error = await firstFailure(provider);
    expect(error).toMatchObject({ ...rejected, cause: { code: 'M2M_DISCOVERY_FAILED', fault: 'certificate' } });
    expect(error.message).toContain('NODE_EXTRA_CA_CERTS');
  });

  test.each([42, 45, 48, 116])('of the client is named, also if it is missing: TLS alert %i', async (alert) => {
    const server = await RawServer.start();
    closing.push(() => server.close());
    server.onConnection = (socket) => socket.write(Buffer.from([0x15, 3, 3, 0, 2, 2, alert]));
    const { provider } = await startClient(`${server.url.replace('http:', 'https:')}/token`);
    const error = await firstFailure(provider);
    expect(error.message).toMatch(/rejected the certificate of this client.*Check the certificate and the key/);
    expect(error).toMatchObject(rejected);
  });

  it('is retried as an outage is, because the server may get another one', async () => {
    const server = await startServer(json(200, GRANT), loopback);
    const { provider } = await startClient(`${server.url}/token`);
    const { retryAt } = await firstFailure(provider);
    expect(retryAt!.getTime() - Date.now()).toBeLessThanOrEqual(1000);
  });
});

describe('Basic credentials', () => {
  const address = { url: 'https://id.example', realm: 'r' };
  const presets = {
    genericOAuth2: genericOAuth2({ tokenEndpoint: 'https://id.example/token' }),
    keycloak: keycloak(address),
    okta: okta({ domain: 'acme.okta.com', authorizationServerId: 'default' }),
    cognito: cognito({ userPoolId: 'eu-west-1_AbCdEf123' }),
    duende: duende({ issuer: 'https://id.example' }),
  };

  test.each(Object.entries(presets))(
    'srv-1: a common id and secret are the same for servers that decode them and those that do not: %s',
    async (_name, preset) => {
      const server = await startServer(json(200, GRANT));
      const { provider } = await startClient('', {
        identityProvider: { ...preset, tokenEndpoint: server.url },
        clientId: 'svc-client',
        clientSecret: 'no-secret-01',
      });
      await provider.getToken();
      expect(basicOf(server)).toEqual(['svc-client:no-secret-01']);
    },
  );

  it('srv-1: the same for UUIDs, base64url and every unreserved character, in introspection as well', async () => {
    const server = await startServer((request, ...rest) =>
      json(200, request.url === '/token' ? GRANT : { active: false })(request, ...rest),
    );
    const clientId = '8e03978e-40d5-43dd-bc93-6894a57f9324';
    const clientSecret = 'AZaz09-._~*Qm9i_c2VjcmV0-';
    const { provider } = await startClient(`${server.url}/token`, { clientId, clientSecret });
    await provider.getToken();
    const issuer = 'https://id.example';
    const verifier = createAccessTokenVerifier({
      issuers: [
        genericOAuth2({ issuer, jwksUri: `${issuer}/keys`, introspectionEndpoint: `${server.url}/introspect` }),
      ],
      audience: 'api',
      introspection: [{ clientId, clientSecret }],
    });
    closing.push(async () => verifier.close());
    await verifier.verify('opaque-token');
    expect(basicOf(server)).toEqual(Array(2).fill(`${clientId}:${clientSecret}`));
  });

  it('decode to the original, whatever characters they have', () => {
    const decode = (half: string) => decodeURIComponent(half.replaceAll('+', '%20'));
    const text = fc.oneof(fc.string(), fc.constantFrom('müller', '😀', 'a b+c', '100%', '~*', ''));
    fc.assert(
      fc.property(text, text, (id, secret) => {
        const header = basicAuthorization(id, secret, 'form');
        const halves = Buffer.from(header.slice(6), 'base64').toString().split(':');
        expect(halves.map(decode)).toEqual([id, secret]);
        expect(halves.join('')).toMatch(/^[A-Za-z0-9\-._~*+%]*$/);
      }),
    );
  });
});

describe('the form of a token request', () => {
  it('out-C1: has exactly the media type application/x-www-form-urlencoded, without a charset', async () => {
    const server = await startServer((request, ...rest) =>
      request.headers['content-type'] === 'application/x-www-form-urlencoded'
        ? json(200, GRANT)(request, ...rest)
        : json(415, {})(request, ...rest),
    );
    const { provider } = await startClient(`${server.url}/token`);
    await expect(provider.getToken()).resolves.toBeDefined();
  });

  it('out-C1: the same for revocation', async () => {
    const server = await startServer(json(200, GRANT));
    const identityProvider = genericOAuth2({
      tokenEndpoint: `${server.url}/token`,
      revocationEndpoint: `${server.url}/revoke`,
    });
    const { provider, module } = await startClient('', { identityProvider, revokeOnShutdown: true });
    await provider.getToken();
    await module.close();
    expect(server.requests.map(({ url, headers }) => [url, headers['content-type']])).toEqual([
      ['/token', 'application/x-www-form-urlencoded'],
      ['/revoke', 'application/x-www-form-urlencoded'],
    ]);
  });
});

describe('a compressed answer', () => {
  const compressed =
    (body: unknown, compress = gzipSync, coding = 'gzip'): Answer =>
    (_request, response) =>
      response
        .writeHead(200, { 'content-type': 'application/json', 'content-encoding': coding })
        .end(compress(JSON.stringify(body)));

  it('out-A11: is decompressed if it is gzip', async () => {
    const server = await startServer(compressed(GRANT));
    const { provider } = await startClient(`${server.url}/token`);
    expect((await provider.getToken()).reveal()).toBe('t');
  });

  it('out-A11: is decompressed in metadata as well', async () => {
    const server = await startServer((request, ...rest) => {
      const { url } = server;
      const metadata = { issuer: url, token_endpoint: `${url}/token`, response_types_supported: [] };
      compressed(request.method === 'GET' ? metadata : GRANT, deflateSync, 'deflate')(request, ...rest);
    });
    const { provider } = await startClient('', { identityProvider: genericOAuth2({ issuer: server.url }) });
    expect((await provider.getToken()).reveal()).toBe('t');
  });
});

describe('a connection that was kept open', () => {
  /** Answers the first request of each connection, and destroys the connection at its second. */
  async function startForgetfulServer(answer: Answer = json(200, GRANT)) {
    const used = new WeakSet<Socket>();
    const server = await startServer((request, response, message) => {
      if (used.has(message.socket)) return message.socket.resetAndDestroy();
      used.add(message.socket);
      return answer(request, response, message);
    });
    const agent = new Agent({ keepAlive: true });
    closing.push(async () => agent.destroy());
    return { server, agent };
  }

  it('out-B8: and that the server has closed costs no token: the request is sent once more', async () => {
    const { server, agent } = await startForgetfulServer();
    const { provider } = await startClient(`${server.url}/token`, { agent });
    await provider.getToken({ scope: 'a' });
    await expect(provider.getToken({ scope: 'b' })).resolves.toBeDefined();
    expect(server.requests.map(({ body }) => new URLSearchParams(body).get('scope'))).toEqual(['a', 'b', 'b']);
  });

  it('out-B8: and breaks gets a request with a new client assertion', async () => {
    const { server, agent } = await startForgetfulServer();
    const options = { agent, clientAuthentication: 'client_secret_jwt', clientSecret: 's'.repeat(32) } as const;
    const { provider } = await startClient(`${server.url}/token`, { ...options, dpop: false });
    await provider.getToken({ scope: 'a' });
    await provider.getToken({ scope: 'b' });
    const assertions = server.requests.map(({ body }) => new URLSearchParams(body).get('client_assertion'));
    expect(new Set(assertions).size).toBe(3);
  });

  it('out-B8: is retried only once; a server that resets again is an outage', async () => {
    const server = await startServer((_request, _response, { socket }) => socket.resetAndDestroy());
    // Each connection looks as if it had been used before.
    class Worn extends Agent {
      addRequest(request: http.ClientRequest, options: object) {
        request.reusedSocket = true;
        Reflect.get(Agent.prototype, 'addRequest').call(this, request, options);
      }
    }
    const agent = new Worn();
    const { provider } = await startClient(`${server.url}/token`, { agent });
    expect(await firstFailure(provider)).toMatchObject({ reason: 'outage' });
    expect(server.requests).toHaveLength(2);
  });

  it('out-B8: is retried for revocation too, so that the token does not stay active', async () => {
    const { server, agent } = await startForgetfulServer();
    const identityProvider = genericOAuth2({
      tokenEndpoint: `${server.url}/token`,
      revocationEndpoint: `${server.url}/revoke`,
    });
    const { provider, module } = await startClient('', { identityProvider, agent, revokeOnShutdown: true });
    await provider.getToken();
    await module.close();
    expect(server.requests.map(({ url }) => url)).toEqual(['/token', '/revoke', '/revoke']);
  });

  it('out-B8: unlike a new one, which is not retried within an attempt', async () => {
    const server = await startServer((_request, _response, { socket }) => socket.resetAndDestroy());
    const { provider } = await startClient(`${server.url}/token`);
    expect(await firstFailure(provider)).toMatchObject({ reason: 'outage' });
    expect(server.requests).toHaveLength(1);
  });

  it('out-B8: is retried for a GET, such as for metadata or keys; a POST is left to its sender', async () => {
    const { server, agent } = await startForgetfulServer(json(200, {}));
    const fetch = createBoundedFetch({ agent });
    for (const expected of [1, 3]) {
      expect((await fetch(server.url)).status).toBe(200);
      expect(server.requests).toHaveLength(expected);
    }
    await expect(fetch(server.url, { method: 'POST' })).rejects.toMatchObject({ fault: 'stale_connection' });
  });
});

describe('a private certificate authority', () => {
  let authority: CertificateAuthority;
  let loopback: IssuedCertificate;
  beforeAll(async () => {
    authority = await CertificateAuthority.create('Private CA');
    loopback = await authority.issueForLoopback();
  });

  /** A proxy that opens tunnels, or answers with a status instead; and what it was asked for. */
  async function startProxy(refusal?: string) {
    const asked: string[] = [];
    const proxy = http.createServer().on('connect', ({ url = '' }: http.IncomingMessage, client: Socket) => {
      asked.push(url);
      client.on('error', () => {});
      if (refusal !== undefined) return void client.end(`HTTP/1.1 ${refusal}`);
      const { hostname, port } = new URL(`http://${url}`);
      const target = connect(Number(port), hostname, () => {
        client.write('HTTP/1.1 200 Connection established\r\n\r\n');
        client.pipe(target).pipe(client);
      });
      target.on('error', () => {}).on('close', () => client.destroy());
      client.on('close', () => target.destroy());
    });
    await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve));
    closing.push(() => new Promise((resolve) => proxy.close(resolve)));
    return { url: `http://127.0.0.1:${(proxy.address() as AddressInfo).port}`, asked };
  }

  test.each<[string, () => NonNullable<ClientOptions['ca']>]>([
    ['a string', () => authority.pem],
    ['a Buffer', () => Buffer.from(authority.pem)],
    ['files joined without a line break', () => loopback.cert.trim() + authority.pem],
    ['a list', () => ['# the company\n' + authority.pem, Buffer.from(authority.pem + loopback.cert)]],
  ])('out-E2: is trusted by the option ca, as %s', async (_name, ca) => {
    const server = await startServer(json(200, GRANT), loopback);
    const { provider } = await startClient(`${server.url}/token`, { ca: ca() });
    await expect(provider.getToken()).resolves.toBeDefined();
  });

  it('out-E2: is trusted by the agent, as before', async () => {
    const server = await startServer(json(200, GRANT), loopback);
    const agent = new https.Agent({ ca: authority.pem });
    const { provider } = await startClient(`${server.url}/token`, { agent });
    await expect(provider.getToken()).resolves.toBeDefined();
  });

  it('out-E2: is trusted by the option ca for discovery and revocation as well', async () => {
    const server = await startServer((request, ...rest) => {
      const { url } = server;
      const metadata = { issuer: url, token_endpoint: `${url}/token`, revocation_endpoint: `${url}/revoke` };
      json(200, request.method === 'GET' ? metadata : GRANT)(request, ...rest);
    }, loopback);
    const identityProvider = genericOAuth2({ issuer: server.url });
    const options = { identityProvider, ca: authority.pem, revokeOnShutdown: true };
    const { provider, module } = await startClient('', options);
    await provider.getToken();
    await module.close();
    expect(server.requests.map(({ url }) => url)).toEqual(['/.well-known/openid-configuration', '/token', '/revoke']);
  });

  it('out-E2: is trusted by the guard’s option ca for key sets and introspection', async () => {
    const server = await startServer((request, ...rest) => {
      json(200, request.method === 'GET' ? { keys: [] } : { active: false })(request, ...rest);
    }, loopback);
    const verifier = createAccessTokenVerifier({
      issuers: [
        genericOAuth2({
          issuer: server.url,
          jwksUri: `${server.url}/keys`,
          introspectionEndpoint: `${server.url}/introspect`,
        }),
      ],
      audience: 'api',
      introspection: [{ clientId: 'guard', clientSecret: 'guard-secret' }],
      ca: authority.pem,
    });
    closing.push(async () => verifier.close());
    const header = Buffer.from('{"alg":"RS256","typ":"at+jwt","kid":"k"}').toString('base64url');
    const claims = Buffer.from(
      JSON.stringify({ iss: server.url, aud: 'api', sub: 'c', client_id: 'c', iat: 1, exp: 9999999999 }),
    ).toString('base64url');
    await verifier.verify(`${header}.${claims}.c2ln`);
    expect(await verifier.verify('opaque')).toMatchObject({ ok: false, reason: 'token_inactive' });
    expect(server.requests.map(({ url }) => url).toSorted()).toEqual(['/introspect', '/keys']);
  });

  it('out-E6: is trusted by the option ca through a proxy, with an agent without one', async () => {
    const server = await startServer(json(200, GRANT), loopback);
    const proxy = await startProxy();
    const agent = new HttpsProxyAgent(proxy.url);
    const { provider } = await startClient(`${server.url}/token`, { agent, ca: authority.pem });
    await expect(provider.getToken()).resolves.toBeDefined();
    expect(proxy.asked).toEqual([new URL(server.url).host]);
  });

  it('out-E6: is trusted with an agent that does not extend Node’s http.Agent', async () => {
    const server = await startServer(json(200, GRANT), loopback);
    const proxy = await startProxy();
    // axios brings version 5 of https-proxy-agent along.
    const requireOfAxios = createRequire(createRequire(import.meta.url).resolve('axios'));
    const OldProxyAgent = requireOfAxios('https-proxy-agent') as new (url: string) => https.Agent;
    expect(OldProxyAgent.prototype).not.toBeInstanceOf(http.Agent);
    const agent = new OldProxyAgent(proxy.url);
    const { provider } = await startClient(`${server.url}/token`, { agent, ca: authority.pem });
    await expect(provider.getToken()).resolves.toBeDefined();
    expect(proxy.asked).toEqual([new URL(server.url).host]);
  });

  test.each<[string, unknown]>([
    ['options of an agent', { keepAlive: true }],
    ['a dispatcher of undici', new UndiciAgent()],
    ['an address', 'http://proxy.example:3128'],
  ])('out-E6: fails the boot if agent is %s', async (_name, agent) => {
    const error = await failure(startClient('https://id.example/token', { agent: agent as https.Agent }));
    expect(error.message).toMatch(/client\.agent: expected an agent of node:http or node:https/);
  });

  it('out-E6: is trusted together with a client certificate', async () => {
    const client = await authority.issue('svc');
    const tls = { ...loopback, ca: authority.pem, requestCert: true, rejectUnauthorized: true };
    const server = await startServer(json(200, GRANT), tls);
    const proxy = await startProxy();
    const { provider } = await startClient(`${server.url}/token`, {
      agent: new HttpsProxyAgent(proxy.url),
      clientAuthentication: tlsClientAuth({ certificate: client.cert, key: client.key }),
      clientSecret: undefined,
      ca: authority.pem,
    });
    await expect(provider.getToken()).resolves.toBeDefined();
    expect(proxy.asked).toHaveLength(1);
  });

  test.each<[string, unknown]>([
    ['no certificate', 'hello'],
    ['an empty list', []],
    ['a certificate that is cut short', () => `${authority.pem.slice(0, 200)}\n-----END CERTIFICATE-----`],
    ['a private key', () => authority.pem + loopback.key],
    ['a path', '/etc/ssl/certs/company.pem'],
    ['DER', Buffer.from('308201', 'hex')],
    ['a number', 1],
    ['one of two', () => [authority.pem, '']],
  ])('out-E2: fails the boot if ca is %s', async (_name, given) => {
    const ca = (typeof given === 'function' ? (given as () => unknown)() : given) as string;
    const error = await failure(startClient('https://id.example/token', { ca }));
    expect(error).toBeInstanceOf(IdentityM2MConfigurationError);
    expect(error.message).toMatch(/client\.ca: expected CA certificates in PEM/);
    expect(error.message).not.toContain('BEGIN');
    expect(() =>
      createAccessTokenVerifier({
        issuers: [keycloak({ url: 'https://id.example', realm: 'r' })],
        audience: 'a',
        clients: ['c'],
        ca,
      }),
    ).toThrow('options.ca: expected');
  });

  test.each<[string, string, object, RegExp]>([
    [
      '407 Proxy Authentication Required',
      'proxy-authenticate: Basic realm="p"\r\ncontent-length: 0',
      { reason: 'blocked', cause: { fault: 'proxy_authentication' } },
      /the proxy on the way to https:\/\/\S+ refused the request \(HTTP 407\): it requires credentials.*user name and password/,
    ],
    [
      '403 Forbidden',
      'content-length: 0',
      { reason: 'outage' },
      /the proxy .* \(HTTP 403\).*Check that the proxy allows/,
    ],
    [
      '502 Bad Gateway',
      'content-length: 0',
      { reason: 'outage' },
      /the proxy .* \(HTTP 502\).*Check that the proxy can/,
    ],
  ])(
    'out-B5: a proxy that responds with %s is named, and the identity provider is not',
    async (line, head, expected, words) => {
      const proxy = await startProxy(`${line}\r\n${head}\r\n\r\n`);
      const agent = new HttpsProxyAgent(proxy.url);
      const { provider } = await startClient('https://id.example/token', { agent });
      const error = await firstFailure(provider);
      expect(error).toMatchObject({ code: 'M2M_TOKEN_UNAVAILABLE', ...expected });
      expect(error.message).toMatch(words);
      expect(error.message).not.toMatch(/scope/);
    },
  );

  it('out-B5: the same for plain http, if the proxy answers instead of the server', async () => {
    const server = await startServer((_request, response) => response.writeHead(407).end());
    const { provider } = await startClient(`${server.url}/token`);
    expect((await firstFailure(provider)).message).toMatch(/the proxy .* \(HTTP 407\)/);
  });

  test.each<[string, () => http.Agent, string]>([
    ['https://127.0.0.1:9', () => new http.Agent(), 'node:https'],
    ['http://127.0.0.1:9', () => new https.Agent(), 'node:http'],
  ])('out-B8: an agent of the other protocol is named, with the remedy: %s', async (origin, agent, module) => {
    const { provider } = await startClient(`${origin}/token`, { agent: agent() });
    const error = await firstFailure(provider);
    expect(error).toMatchObject({ reason: 'outage' });
    expect(error.message).toContain(`the agent does not open connections to ${origin}: it is for another protocol`);
    expect(error.message).toContain(`Set the option agent to an agent of ${module}, or to one for a proxy.`);
  });

  test.each(['201 Created', '401 Unauthorized'])(
    'out-B5: a proxy’s plain answer never counts as the identity provider’s: %s with a token, or a refusal',
    async (line) => {
      const body = JSON.stringify(line.startsWith('201') ? GRANT : { error: 'invalid_client' });
      const proxy = await startProxy(
        `${line}\r\ncontent-type: application/json\r\ncontent-length: ${body.length}\r\n\r\n${body}`,
      );
      const agent = new HttpsProxyAgent(proxy.url);
      const { provider } = await startClient('https://id.example/token', { agent });
      expect(await firstFailure(provider)).toMatchObject({ reason: 'outage', oauthError: undefined });
    },
  );

  test.each([
    'Bad response: 407',
    'tunneling socket could not be established, statusCode=407',
    'Failed to establish tunnel to id.example:443 via http://user:its-password@127.0.0.1:3128/: HTTP/1.1 407 X',
  ])('out-B5: a proxy’s 407 is recognized in the error of an agent: %s', async (message) => {
    class Failing extends https.Agent {
      override createConnection(): never {
        throw new Error(message);
      }
    }
    const { provider } = await startClient('https://id.example/token', { agent: new Failing() });
    const error = await firstFailure(provider);
    expect(error).toMatchObject({ reason: 'blocked', message: expect.stringMatching(/proxy/) });
    expect(inspect(error, { depth: null })).not.toContain('its-password');
  });
});

describe('a token response', () => {
  /** What a client makes of an answer, as a call shows it: the `Authorization` header that an API gets. */
  async function carried(answer: Answer, options: Partial<ClientOptions> = {}) {
    const server = await startServer(answer);
    const api = await startServer(json(200, {}));
    const application = await startClient(`${server.url}/token`, { allowedOrigins: [api.url], ...options });
    await application.http.axiosRef.get(api.url);
    return { authorization: api.requests[0]!.headers.authorization, events: application.events };
  }

  test.each([
    ['out-A1', 'Atc|MQEBIJ4'],
    ['out-A2', '00D7F0000001I8v!ARgAQOG9W.wPt'],
    ['out-A2', String.fromCharCode(...Array.from({ length: 94 }, (_, n) => n + 0x21))],
  ])('%s: is used if its token is visible ASCII: %s', async (_id, token) => {
    const { authorization } = await carried(json(200, { ...GRANT, access_token: token }));
    expect(authorization).toBe(`Bearer ${token}`);
  });

  test.each(['00D7!AQ', 'Atc|MQEBIJ4'])('out-A1: AccessToken and FixedTokenProvider take such a token: %s', (token) => {
    expect(new AccessToken(token).revealAuthorizationHeader()).toBe(`Bearer ${token}`);
    expect(new FixedTokenProvider(token).peek().reveal()).toBe(token);
  });

  test.each(['', 'a b', 'a\tb', 'a\r\nx: y', 'a\n', 'a\0', 'tökén', '\x7f', 'a'.repeat(32_769)])(
    'is not used if its token has a space, a control character or non-ASCII: %j',
    async (token) => {
      const server = await startServer(json(200, { ...GRANT, access_token: token }));
      const { provider } = await startClient(`${server.url}/token`);
      expect(await firstFailure(provider)).toMatchObject({ reason: 'malformed_answer' });
      expect(() => new AccessToken(token)).toThrow(TypeError);
    },
  );

  it('out-A5: with status 201 is used', async () => {
    expect(await carried(json(201, GRANT))).toMatchObject({ authorization: 'Bearer t' });
  });

  it('out-A7: without token_type is used as Bearer, with one warning for the client', async () => {
    const server = await startServer(json(200, { access_token: 't', scope: 'a', expires_in: 86399 }));
    const { provider, events } = await startClient(`${server.url}/token`);
    for (const scope of ['a', 'b', 'c']) {
      expect((await provider.getToken({ scope })).revealAuthorizationHeader()).toBe('Bearer t');
    }
    const warnings = events.filter(
      (event) => event.type === 'client.warning' && event.warning === 'token_type_missing',
    );
    expect(warnings).toMatchObject([{ client: 'default', message: expect.stringContaining('no token_type') }]);
  });

  it('out-A7: with another token_type is refused, with a remedy that is not to check the scope', async () => {
    const server = await startServer(json(200, { ...GRANT, token_type: 'bearer_token' }));
    const { provider } = await startClient(`${server.url}/token`);
    const { message } = await firstFailure(provider);
    expect(message).toMatch(/token_type is neither Bearer nor DPoP \(found "bearer_token"\)\. .*readTokenResponse/);
    expect(message).not.toContain('scope');
  });

  it.each([undefined, 'text/plain; charset=utf-8', 'text/html', 'application/octet-stream'])(
    'out-A9: is used whatever its media type: %s',
    async (type) => {
      const answer: Answer = (_request, response) =>
        response.writeHead(200, type === undefined ? {} : { 'content-type': type }).end(JSON.stringify(GRANT));
      expect(await carried(answer)).toMatchObject({ authorization: 'Bearer t' });
    },
  );

  it('out-A9: with null members, a byte order mark and whitespace around it is used', async () => {
    const grant = { ...GRANT, token_type: null, scope: null, expires_in: null, refresh_in: null, error: null };
    const answer: Answer = (_request, response) => response.end(`\ufeff \r\n${JSON.stringify(grant)} \r\n`);
    expect(await carried(answer)).toMatchObject({ authorization: 'Bearer t' });
  });

  it('out-A15: in another form is read by readTokenResponse', async () => {
    const readTokenResponse: TokenResponseReader = ({ json }) =>
      (json as { tokenData: TokenResponseGrant } | undefined)?.tokenData;
    const { authorization } = await carried(json(200, { tokenData: GRANT }), { readTokenResponse });
    expect(authorization).toBe('Bearer t');
  });

  it('out-A15: in another form fails without it, with a message that names the option', async () => {
    const server = await startServer(json(200, { tokenData: GRANT }));
    const { provider } = await startClient(`${server.url}/token`);
    expect((await firstFailure(provider)).message).toMatch(/has no access_token\. .*option readTokenResponse/);
  });

  it.each(['', null, false, {}])('out-A19: with an error of %j is used', async (error) => {
    expect(await carried(json(200, { ...GRANT, error }))).toMatchObject({ authorization: 'Bearer t' });
  });

  it.each(['invalid_client', 'x', { code: 'invalid_client' }, ['x'], 1, true])(
    'out-A19: with an error of %j is a refusal',
    async (error) => {
      const server = await startServer(json(200, { ...GRANT, error }));
      const { provider } = await startClient(`${server.url}/token`);
      const { message } = await firstFailure(provider);
      expect(message).not.toMatch(/: \.|: :/);
    },
  );

  it.each(['No such client.', 'Is this a client?'])('out-A19: ends no sentence twice: %s', async (description) => {
    const server = await startServer(json(401, { error: 'invalid_client', error_description: description }));
    const { provider } = await startClient(`${server.url}/token`);
    expect((await firstFailure(provider)).message).toContain(`: invalid_client: ${description} Check the client id`);
  });

  it('out-A19: with an empty error is a refusal with a useful message', async () => {
    const server = await startServer(json(400, { error: '', error_description: '' }));
    const { provider } = await startClient(`${server.url}/token`);
    expect((await firstFailure(provider)).message).toContain(': HTTP 400 without an OAuth error. ');
  });

  it('srv-8: that takes longer to arrive than its token lives has an error of its own', async () => {
    const clock = new ManualClock();
    const server = await startServer(async (...args) => {
      // Before a second request would be sent.
      await clock.advance(1500);
      await json(200, { ...GRANT, expires_in: 1 })(...args);
    });
    const { provider } = await startClient(`${server.url}/token`, {}, clock);
    const error = await firstFailure(provider);
    expect(error.message).toMatch(
      /lives for 1000 ms and took 1500 ms to arrive, so it had expired\. Have the server issue/,
    );
    expect(error.message).not.toContain('address');
    expect(error.reason).not.toBe('malformed_answer');
  });
});

describe('readTokenResponse', () => {
  async function outcomeOf(answer: Answer, readTokenResponse: unknown, options: Partial<ClientOptions> = {}) {
    const server = await startServer(answer);
    const reader = readTokenResponse as TokenResponseReader;
    const { provider, events } = await startClient(`${server.url}/token`, { readTokenResponse: reader, ...options });
    const result = await firstOutcome(provider);
    const warnings = events.filter((event) => event.type === 'option.failed' && event.option === 'readTokenResponse');
    return { result, warnings, provider, events };
  }

  it('receives status, headers, body and the parsed JSON', async () => {
    const seen: unknown[] = [];
    await outcomeOf(json(201, GRANT, { 'x-a': 'b' }), ({ status, headers, body, json }: TokenResponse) => {
      seen.push(status, headers.get('x-a'), body, json);
    });
    expect(seen).toEqual([201, 'b', JSON.stringify(GRANT), GRANT]);
  });

  it('turns a non-standard response into an error, with any status', async () => {
    const read = () => ({ error: 'invalid_client', error_description: 'wrong password' });
    for (const status of [200, 500]) {
      const { result } = await outcomeOf(json(status, { success: false }), read);
      expect(result).toBeInstanceOf(ClientRejectedError);
      expect(result).toMatchObject({
        oauthError: 'invalid_client',
        message: expect.stringContaining('wrong password'),
      });
    }
  });

  it.each([
    ['credential', 'client_rejected'],
    ['configuration', 'request_rejected'],
    ['transient', 'outage'],
    ['malformed', 'malformed_answer'],
  ])('turns an answer into a failure of kind %s', async (kind, reason) => {
    for (const answer of [json(500, { message: 'bad password' }), json(200, GRANT)]) {
      const { result } = await outcomeOf(answer, () => kind);
      expect(result).toMatchObject({ reason });
    }
  });

  it('runs before that of the preset, which runs if the first returns undefined', async () => {
    const server = await startServer(json(200, { a: 'from-a', b: 'from-b' }));
    const identityProvider = {
      ...genericOAuth2({ tokenEndpoint: server.url }),
      readTokenResponse: ({ json }: TokenResponse) => ({ access_token: (json as { b: string }).b }),
    };
    const own = ({ json }: TokenResponse) => ({ access_token: (json as { a: string }).a });
    const first = await startClient('', { identityProvider, readTokenResponse: own });
    expect((await first.provider.getToken()).reveal()).toBe('from-a');
    const second = await startClient('', { identityProvider, readTokenResponse: () => undefined });
    expect((await second.provider.getToken()).reveal()).toBe('from-b');
  });

  test.each<[string, unknown]>([
    [
      'throws',
      ({ body }: TokenResponse) => {
        throw new Error(body);
      },
    ],
    ['returns a promise', async () => ({ access_token: 'x' })],
    [
      'returns a promise that rejects',
      async ({ body }: TokenResponse) => {
        throw new Error(body);
      },
    ],
    ['returns a kind that there is not', () => 'harmless'],
    ['returns a kind that is not its to say', () => 'certificate'],
    ['returns a number', () => 7],
    ['returns an object without a member that counts', () => ({ token: 'x' })],
    [
      'returns an object that throws',
      () => ({
        get access_token() {
          throw new Error('secret-token-in-a-message');
        },
      }),
    ],
  ])('is ignored if it %s, which is logged once and without the body', async (_name, read) => {
    const { result, warnings, provider, events } = await outcomeOf(
      json(200, { ...GRANT, access_token: 'secret-token-in-a-message' }),
      read,
    );
    expect(result).toBeInstanceOf(AccessToken);
    await provider.getToken({ scope: 'other' });
    expect(warnings).toHaveLength(1);
    expect(JSON.stringify(events)).not.toContain('secret-token-in-a-message');
  });

  it.each<[string, object]>([
    ['a token with a space', { access_token: 'a b' }],
    ['a token with a line break', { access_token: 'a\r\nx: y' }],
    ['a token that is too long', { access_token: 'a'.repeat(32_769) }],
    ['a lifetime that is none', { access_token: 'a', expires_in: -1 }],
    ['a token that is no string', { access_token: 7 }],
    ['a token type that cannot be sent', { access_token: 'a', token_type: 'mac' }],
    ['a token bound to a key, for a client without one', { access_token: 'a', token_type: 'DPoP' }],
    ['an error beside the token', { access_token: 'a', error: 'x' }],
  ])('lifts no limit: %s', async (_name, reading) => {
    const { result } = await outcomeOf(json(200, {}), () => reading);
    expect(result).toHaveProperty('code', expect.stringMatching(/^M2M_TOKEN_/));
  });

  it('lifts no limit: 30 days, 64 KiB', async () => {
    const month = await outcomeOf(json(200, {}), () => ({ access_token: 'a', expires_in: 1e12 }));
    expect(month.provider.status().expiresAt!.getTime() - Date.now()).toBeLessThanOrEqual(30 * 86_400_000);
    let isAsked = false;
    const long = await outcomeOf(json(200, { more: 'x'.repeat(70_000) }), () => ((isAsked = true), GRANT));
    expect(long.result).toMatchObject({ reason: 'malformed_answer' });
    expect(isAsked).toBe(false);
  });

  it('leaks nothing of the answer in its own message', async () => {
    const token = 'nested-access-token-of-some-length';
    const body = { tokenData: { accessToken: token, items: [{ idToken: [`${token}-2`] }] } };
    const read = ({ body }: TokenResponse) => ({ error: 'odd', error_description: `${body} the-client-secret` });
    const { result, events } = await outcomeOf(json(200, body), read);
    const told = `${inspect(result, { depth: 9 })}${JSON.stringify(events)}`;
    expect(told).toContain('[credential]');
    for (const secret of [token, `${token}-2`, 'the-client-secret']) expect(told).not.toContain(secret);
  });

  it('cannot change the answer that others read', async () => {
    const { result } = await outcomeOf(json(200, GRANT), ({ json, headers }: TokenResponse) => {
      (json as { access_token: string }).access_token = 'changed';
      headers.set('date', 'Thu, 01 Jan 1970 00:00:00 GMT');
    });
    expect((result as AccessToken).reveal()).toBe('t');
  });

  it('replaces classifyError, which the boot names as an unknown option', async () => {
    const error = await failure(startClient('https://id.example/token', { classifyError: () => undefined } as object));
    expect(error.message).toContain('client: unknown option "classifyError"');
  });
});

describe('a refusal, recognized by the body of the answer', () => {
  const answered =
    (status: number, type: string, body: string): Answer =>
    (_request, response) =>
      response.writeHead(status, type === '' ? {} : { 'content-type': type }).end(body);

  it('out-B1: as text/plain is read like any other', async () => {
    const server = await startServer(answered(400, 'text/plain; charset=utf-8', '{"error":"invalid_client"}'));
    const { provider } = await startClient(`${server.url}/token`);
    expect(await firstFailure(provider)).toMatchObject({
      reason: 'client_rejected',
      oauthError: 'invalid_client',
    });
  });

  test.each<[string, string, string, string]>([
    [
      'errorCode',
      '{"errorCode":"invalid_client","errorSummary":"No such client"}',
      'client_rejected',
      'No such client',
    ],
    ['error.code', '{"error":{"code":"InvalidClient","message":"Unknown"}}', 'client_rejected', 'Unknown'],
    ['a form', 'error=invalid_scope&error_description=No+such+scope', 'request_rejected', 'No such scope'],
    ['a code in capitals', '{"error":"INVALID_SCOPE"}', 'request_rejected', 'INVALID_SCOPE'],
    ['a transient code', '{"errorCode":"temporarily_unavailable"}', 'outage', 'temporarily_unavailable'],
    [
      'ErrorCode',
      '{"ErrorCode":"invalid_client","Error":"ClientId is Invalid"}',
      'client_rejected',
      'ClientId is Invalid',
    ],
    ['a list of errors', '{"errors":[{"code":"invalid_client","message":"Unknown"}]}', 'client_rejected', 'Unknown'],
    ['a code of the id', '{"error":"invalid_client_id"}', 'client_rejected', 'invalid_client_id'],
    ['a code of the secret', '{"ok":false,"error":"bad_client_secret"}', 'client_rejected', 'bad_client_secret'],
    ['a code of both', '{"error":"incorrect_client_credentials"}', 'client_rejected', 'incorrect_client_credentials'],
    ['a code of something else', '{"errors":[{"code":"quota"}],"code":"E17"}', 'outage', 'without an OAuth error'],
  ])('out-B1: in the form of other vendors: %s', async (_name, body, reason, words) => {
    const server = await startServer(answered(400, '', body));
    const { provider } = await startClient(`${server.url}/token`);
    const error = await firstFailure(provider);
    expect(error).toMatchObject({ reason });
    expect(error.message).toContain(words);
  });

  it('srv-6: 401 with the name of the status and an explanation means a refused client, with the explanation', async () => {
    const body = '{"error":"unauthorized","error_description":"Bad client credentials"}';
    const server = await startServer(answered(401, 'application/json', body));
    const { provider } = await startClient(`${server.url}/token`);
    const error = await firstFailure(provider);
    expect(error).toMatchObject({ reason: 'client_rejected', oauthError: 'unauthorized' });
    expect(error.message).toContain(
      'unauthorized: Bad client credentials. Check the client id and the client secret, and that',
    );
  });

  it('srv-6: the name of a status alone, or with a status other than 401, still comes from a gateway', async () => {
    for (const [status, body, reason] of [
      [401, '{"error":"Unauthorized","message":"no"}', 'blocked'],
      [403, '{"error":"forbidden","error_description":"no"}', 'blocked'],
      [404, '{"error":"Not Found","error_description":"no"}', 'outage'],
    ] as const) {
      const server = await startServer(answered(status, 'application/json', body));
      const { provider } = await startClient(`${server.url}/token`);
      expect(await firstFailure(provider)).toMatchObject({ reason });
    }
  });

  it('srv-6: 403 without a body names the secret first, and the network second', async () => {
    const server = await startServer(answered(403, '', ''));
    const { provider } = await startClient(`${server.url}/token`);
    expect((await firstFailure(provider)).message).toMatch(/HTTP 403 .*client secret.*gateway or firewall/);
  });
});

describe('headers of token requests', () => {
  it('out-C3: are added by tokenRequestHeaders to those of the preset, also for revocations, and sent nowhere else', async () => {
    const server = await startServer(json(200, GRANT));
    const api = await startServer(json(200, {}));
    const identityProvider = {
      ...genericOAuth2({ tokenEndpoint: `${server.url}/token`, revocationEndpoint: `${server.url}/revoke` }),
      tokenRequestHeaders: { 'x-preset': 'a', 'X-Both': 'preset' },
    };
    const { http, module } = await startClient('', {
      identityProvider,
      revokeOnShutdown: true,
      allowedOrigins: [api.url],
      tokenRequestHeaders: { 'X-Api-Key': 'key-123', 'x-both': 'option', accept: 'application/json;v=2' },
    });
    await http.axiosRef.get(api.url);
    await module.close();
    expect(server.requests.map(({ url }) => url)).toEqual(['/token', '/revoke']);
    for (const { headers } of server.requests) {
      expect(headers).toMatchObject({
        'x-preset': 'a',
        'x-both': 'option',
        'x-api-key': 'key-123',
        accept: 'application/json;v=2',
        'content-type': 'application/x-www-form-urlencoded',
        'user-agent': 'nestjs-identity-m2m',
      });
      expect(headers.authorization).toMatch(/^Basic /);
    }
    expect(api.requests[0]!.headers).not.toHaveProperty('x-api-key');
  });

  test.each([
    'Authorization',
    'content-type',
    'Content-Length',
    'host',
    'connection',
    'transfer-encoding',
    'accept-encoding',
    'dpop',
    'expect',
    'te',
    'Upgrade',
    'proxy-authorization',
  ])('out-C3: the boot fails if they set %s', async (name) => {
    const error = await failure(startClient('https://id.example/token', { tokenRequestHeaders: { [name]: 'v' } }));
    expect(error.message).toContain(`client.tokenRequestHeaders.${name}: expected no such header`);
  });

  test.each<[string, Record<string, unknown>]>([
    ['a name with a space', { 'x y': 'v' }],
    ['a name with a line break', { 'x\r\ny': 'v' }],
    ['a value with a line break', { x: 'hunter2\r\ny: z' }],
    ['a value with a line break at its end', { x: 'hunter2\n' }],
    ['a value beyond ASCII', { x: 'hünter2' }],
    ['an empty value', { x: '' }],
    ['a number', { x: 7 }],
  ])('out-C3: the boot fails for %s, and shows no value', async (_name, tokenRequestHeaders) => {
    const options = { tokenRequestHeaders: tokenRequestHeaders as Record<string, string> };
    const error = await failure(startClient('https://id.example/token', options));
    expect(error).toBeInstanceOf(IdentityM2MConfigurationError);
    expect(error.message).toMatch(/client\.tokenRequestHeaders\.x/);
    expect(error.message).not.toContain('hunter2');
  });

  it('out-C3: an API key in them is redacted if the server repeats it', async () => {
    const server = await startServer((request, ...rest) =>
      json(400, { error: 'invalid_request', error_description: `got ${request.headers['x-api-key']}` })(
        request,
        ...rest,
      ),
    );
    const { provider } = await startClient(`${server.url}/token`, {
      tokenRequestHeaders: { 'x-api-key': 'key-0123456789' },
    });
    const error = await firstFailure(provider);
    expect(inspect(error, { depth: 9 })).not.toContain('key-0123');
    expect(inspect(provider, { depth: 20, showHidden: true })).not.toContain('key-0123456789');
  });
});

describe('options with stray characters', () => {
  /** The secrets that a client of these options shows, token request by token request. */
  async function shown(clientSecret: ClientOptions['clientSecret']) {
    const server = await startServer(json(200, GRANT));
    const { provider } = await startClient(`${server.url}/token`, { clientSecret });
    await provider.getToken();
    return basicOf(server);
  }

  async function inFile(content: string | Buffer) {
    const directory = await mkdtemp(join(tmpdir(), 'm2m-secret-'));
    closing.push(() => rm(directory, { recursive: true }));
    const path = join(directory, 'secret');
    await writeFile(path, content);
    return fromFile(path);
  }

  it('out-D1: a secret from a variable, a file or a function is sent without line breaks at its end', async () => {
    process.env.M2M_STRAY_SECRET = 'secret\n';
    try {
      expect(await shown(fromEnv('M2M_STRAY_SECRET'))).toEqual(['id:secret']);
    } finally {
      delete process.env.M2M_STRAY_SECRET;
    }
    expect(await shown(await inFile('secret\n\n'))).toEqual(['id:secret']);
    expect(await shown(() => 'secret\n')).toEqual(['id:secret']);
    expect(await shown(async () => '\ufeffsecret\r\n')).toEqual(['id:secret']);
    expect(await shown({ current: () => 'secret\n', next: 'other' })).toEqual(['id:secret']);
  });

  it('out-D1: the same from a source of the application, and for the next secret', async () => {
    const read = async () => new ClientSecret('secret\r\n');
    expect(await shown({ description: 'a vault', read, fault: () => undefined })).toEqual(['id:secret']);
    const server = await startServer((request, ...rest) =>
      request.headers.authorization === `Basic ${btoa('id:next-secret')}`
        ? json(200, GRANT)(request, ...rest)
        : json(401, { error: 'invalid_client' })(request, ...rest),
    );
    const clientSecret = { current: 'old-secret', next: await inFile('next-secret\n') };
    const { provider } = await startClient(`${server.url}/token`, { clientSecret });
    await expect(provider.getToken()).resolves.toBeDefined();
  });

  it('out-D3: a secret from a file is sent without a byte order mark', async () => {
    const content = Buffer.concat([Buffer.from([0xef, 0xbb, 0xbf]), Buffer.from('secret')]);
    expect(await shown(await inFile(content))).toEqual(['id:secret']);
  });

  it('out-D1: the guard’s secret for introspection as well', async () => {
    const server = await startServer(json(200, { active: false }));
    const issuer = 'https://id.example';
    const introspected = genericOAuth2({ issuer, jwksUri: `${issuer}/keys`, introspectionEndpoint: server.url });
    for (const clientSecret of [() => 'secret\n', await inFile('\ufeffsecret\n\n')]) {
      const options = { issuers: [introspected], audience: 'api', introspection: [{ clientId: 'id', clientSecret }] };
      const verifier = createAccessTokenVerifier(options);
      closing.push(async () => verifier.close());
      await verifier.verify('opaque-token');
    }
    expect(basicOf(server)).toEqual(['id:secret', 'id:secret']);
    const options = {
      issuers: [introspected],
      audience: 'api',
      introspection: [{ clientId: 'id', clientSecret: 's\n' }],
    };
    expect(() => createAccessTokenVerifier(options)).toThrow(
      /introspection\[0\]\.clientSecret: .* ends with a line break/,
    );
  });

  test.each<[string, ClientOptions['clientSecret'], string]>([
    ['out-D1', 'hunter2\n', 'ends with a line break'],
    ['out-D1', { current: 'hunter2', next: 'hunter2\r\n' }, 'ends with a line break'],
    ['out-D3', '\ufeffhunter2', 'starts with a byte order mark'],
  ])('%s: the boot fails for a secret in the options with them: %j', async (_id, clientSecret, words) => {
    const error = await failure(startClient('https://id.example/token', { clientSecret }));
    expect(error.message).toMatch(new RegExp(`client\\.clientSecret: .*found a string that ${words}`));
    expect(error.message).not.toContain('hunter2');
  });

  test.each([
    [' hunter2-hunter2', 'starts with whitespace'],
    ['hunter2-hunter2 ', 'ends with whitespace'],
    ['"hunter2-hunter2"', 'is in quotation marks'],
    ['hunter2\nhunter2', 'contains a line break'],
    ['hunter2\thunter2', 'contains a control character'],
  ])('out-D1: other oddities are sent, and named once the secret is refused: %j', async (clientSecret, words) => {
    const server = await startServer(json(401, { error: 'invalid_client' }));
    const { provider } = await startClient(`${server.url}/token`, { clientSecret: () => clientSecret });
    const { message } = await firstFailure(provider);
    expect(message).toContain(`invalid_client. The client secret ${words}`);
    expect(message).not.toContain('hunter2');
  });

  test.each([
    ['svc\n', 'ends with a line break'],
    ['\ufeffsvc', 'starts with a byte order mark'],
    [' svc', 'starts with whitespace'],
    ['svc ', 'ends with whitespace'],
    ['s\0vc', 'contains a control character'],
    ['svc\r\nx', 'contains a line break'],
  ])('out-D5: the boot fails for the client identifier %j', async (clientId, words) => {
    const error = await failure(startClient('https://id.example/token', { clientId }));
    expect(error.message).toMatch(new RegExp(`client\\.clientId: expected .*; found a string that ${words}`));
  });

  it('out-D5: the same for audience and resource, which are sent as they are', async () => {
    const options = { audience: 'api\n', resource: 'https://api.example\n' };
    const error = await failure(startClient('https://id.example/token', options));
    expect(error.message).toMatch(/client\.audience: .* ends with a line break\n.*client\.resource: /);
  });

  it('out-D6: several options that are missing are named at once', async () => {
    const none = { clientId: undefined, clientSecret: undefined } as object;
    const error = await failure(startClient('https://id.example/token', none));
    expect(error.message).toMatch(
      /client\.clientId: expected .*; found nothing\n.*client\.clientSecret: .*; found nothing/,
    );
    const all = await failure(startClient('', { ...none, identityProvider: undefined }));
    for (const path of ['identityProvider', 'clientId', 'clientSecret'])
      expect(all.message).toContain(`client.${path}: `);
    expect(all.message.split('\n')).toHaveLength(4);
  });

  it('out-C4: the boot names each parameter that has an option of its own', async () => {
    const parameters = { client_id: 'id', scope: 'a', tenant: 7 } as unknown as Record<string, string>;
    const { message } = await failure(startClient('https://id.example/token', { parameters }));
    expect(message).toContain(
      'client.parameters.client_id: expected no parameter client_id, because the option clientId sets it',
    );
    expect(message).toContain('client.parameters.scope: expected no parameter scope');
    expect(message).toContain('client.parameters.tenant: expected a string; found number');
  });
});

describe('redaction', () => {
  it.each(['n', 'acce', 'invalid'])(
    'srv-9: does not garble messages because of a short secret, which causes a warning: %s',
    async (secret) => {
      const server = await startServer(
        json(401, { error: 'invalid_client', error_description: 'no access_token for you' }),
      );
      const { provider, events } = await startClient(`${server.url}/token`, { clientSecret: secret });
      const { message } = await firstFailure(provider);
      expect(message).toContain('invalid_client: no access_token for you');
      expect(message).not.toContain('[credential]');
      const warnings = events.filter(
        (event) => event.type === 'client.warning' && event.warning === 'secret_too_short',
      );
      expect(warnings).toMatchObject([{ message: expect.stringContaining('fewer than 8 characters') }]);
    },
  );

  it('srv-9: still removes a secret of 8 characters, without a warning', async () => {
    const server = await startServer(json(401, { error: 'invalid_client', error_description: 'wrong: hunter2x' }));
    const { provider, events } = await startClient(`${server.url}/token`, { clientSecret: 'hunter2x' });
    expect((await firstFailure(provider)).message).toContain('wrong: [credential]');
    expect(JSON.stringify(events)).not.toContain('secret_too_short');
  });
});

describe('a client without allowed origins', () => {
  it('call-7: causes one warning at boot', async () => {
    const { events, module } = await startClient('https://id.example/token');
    const warnings = () => events.filter((event) => event.type === 'client.warning');
    expect(warnings()).toMatchObject([
      { warning: 'no_allowed_origins', message: expect.stringContaining('allowedOrigins') },
    ]);
    await module.init();
    expect(warnings()).toHaveLength(1);
  });

  it('call-7: is a line in the log that names the client and the option', async () => {
    const lines: string[] = [];
    const client = { clientId: 'id', clientSecret: 'the-client-secret' };
    const tokenEndpoint = 'https://id.example/token';
    const module = await Test.createTestingModule({
      imports: [
        IdentityM2MModule.forRoot({
          clients: {
            unbound: { ...client, identityProvider: genericOAuth2({ tokenEndpoint }) },
            bound: {
              ...client,
              identityProvider: genericOAuth2({ tokenEndpoint }),
              allowedOrigins: ['https://api.example'],
            },
            own: {
              ...client,
              identityProvider: cyberArkIdentity({ tenantUrl: 'https://acme.id.cyberark.cloud', applicationId: 'a' }),
            },
          },
        }),
      ],
    })
      .setLogger({ log() {}, error() {}, warn: (line: string) => lines.push(line) })
      .compile();
    closing.push(() => module.close());
    await module.init();
    expect(lines).toEqual([
      expect.stringMatching(/^client "unbound": its token has no allowed origins.*allowedOrigins$/),
    ]);
  });
});

describe('tools for tests that replace node:http and node:https', () => {
  // Loaded by the tests that need them: from then on they have patched the modules, and not for these tests alone.
  it('out-G3: nock answers token requests', async () => {
    const { default: nock } = await import('nock');
    try {
      nock.disableNetConnect();
      nock('https://id.example.test').post('/token').reply(200, GRANT);
      const { provider } = await startClient('https://id.example.test/token');
      expect((await provider.getToken()).reveal()).toBe('t');
    } finally {
      nock.enableNetConnect();
      nock.restore();
    }
  });

  it('out-G3: msw answers token requests', async () => {
    const { setupServer } = await import('msw/node');
    const { http: mswHttp, HttpResponse } = await import('msw');
    const server = setupServer(mswHttp.post('https://id.example.test/token', () => HttpResponse.json(GRANT)));
    server.listen({ onUnhandledRequest: 'error' });
    try {
      const { provider } = await startClient('https://id.example.test/token');
      expect((await provider.getToken()).reveal()).toBe('t');
    } finally {
      server.close();
    }
  });
});

import http, { Agent } from 'node:http';
import https from 'node:https';
import { type AddressInfo, connect, type Socket } from 'node:net';
import { deflateSync, gzipSync } from 'node:zlib';
import { afterEach, beforeAll, describe, expect, it, test } from '@jest/globals';
import fc from 'fast-check';
import { HttpsProxyAgent } from 'https-proxy-agent';
import {
  type Clock,
  cognito,
  createAccessTokenVerifier,
  duende,
  genericOAuth2,
  type HttpClientOptions,
  IdentityM2MConfigurationError,
  keycloak,
  okta,
  selfSignedTlsClientAuth,
  tlsClientAuth,
  type TokenUnavailableError,
} from 'nestjs-identity-m2m';
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
async function startClient(tokenEndpoint: string, options: Partial<HttpClientOptions> = {}, clock?: Clock) {
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

  it('srv-7: of an unknown authority is named at once with the mend, also where the boot waits for a token', async () => {
    const server = await startServer(json(200, GRANT), loopback);
    const { provider } = await startClient(`${server.url}/token`);
    const error = await failure(provider.getToken());
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
  ])('srv-7: %s is named with its own mend', async (name, issue, words) => {
    const certificate = await issue();
    const server = await startServer(json(200, GRANT), certificate);
    // Trusted as an authority, so that only the fault in question is left.
    const ca = name === 'that vouches for itself' ? undefined : certificate.cert;
    const own = await selfSignedCertificate('client.example');
    const { provider } = await startClient(`${server.url}/token`, {
      clientAuthentication: selfSignedTlsClientAuth({ certificate: own.cert, key: own.key, ...(ca && { ca }) }),
      clientSecret: undefined,
    });
    const error = await failure(provider.getToken());
    expect(error).toMatchObject(rejected);
    expect(error.message).toMatch(words);
  });

  it('srv-7: of the issuer, where the token endpoint is discovered, is named as well', async () => {
    const server = await startServer(json(200, {}), loopback);
    const identityProvider = genericOAuth2({ issuer: server.url });
    const { provider } = await startClient('', { identityProvider });
    const error = await failure(provider.getToken());
    expect(error).toMatchObject({ ...rejected, cause: { code: 'M2M_DISCOVERY_FAILED', fault: 'certificate' } });
    expect(error.message).toContain('NODE_EXTRA_CA_CERTS');
  });

  test.each([42, 45, 48, 116])('of the client, or none where one is wanted, is named: TLS alert %i', async (alert) => {
    const server = await RawServer.start();
    closing.push(() => server.close());
    server.onConnection = (socket) => socket.write(Buffer.from([0x15, 3, 3, 0, 2, 2, alert]));
    const { provider } = await startClient(`${server.url.replace('http:', 'https:')}/token`);
    const error = await failure(provider.getToken());
    expect(error.message).toMatch(/rejected the certificate of this client.*Check the certificate and the key/);
    expect(error).toMatchObject(rejected);
  });

  it('is tried again by itself, as an outage is: the server may be given another one', async () => {
    const server = await startServer(json(200, GRANT), loopback);
    const { provider } = await startClient(`${server.url}/token`);
    const { retryAt } = await failure(provider.getToken());
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
    'srv-1: an ordinary id and secret look the same to servers that decode and to those that do not: %s',
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

  it('decode to what they were, whatever characters they have', () => {
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

  it('out-A11: gzip is undone', async () => {
    const server = await startServer(compressed(GRANT));
    const { provider } = await startClient(`${server.url}/token`);
    expect((await provider.getToken()).reveal()).toBe('t');
  });

  it('out-A11: also in metadata', async () => {
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

  it('out-B8: and that the server has given up costs no token: the request is sent once more', async () => {
    const { server, agent } = await startForgetfulServer();
    const { provider } = await startClient(`${server.url}/token`, { agent });
    await provider.getToken({ scope: 'a' });
    await expect(provider.getToken({ scope: 'b' })).resolves.toBeDefined();
    expect(server.requests.map(({ body }) => new URLSearchParams(body).get('scope'))).toEqual(['a', 'b', 'b']);
  });

  it('out-B8: with a new proof of the client', async () => {
    const { server, agent } = await startForgetfulServer();
    const options = { agent, clientAuthentication: 'client_secret_jwt', clientSecret: 's'.repeat(32) } as const;
    const { provider } = await startClient(`${server.url}/token`, { ...options, dpop: false });
    await provider.getToken({ scope: 'a' });
    await provider.getToken({ scope: 'b' });
    const assertions = server.requests.map(({ body }) => new URLSearchParams(body).get('client_assertion'));
    expect(new Set(assertions).size).toBe(3);
  });

  it('out-B8: and only once; a server that resets again is an outage', async () => {
    const server = await startServer((_request, _response, { socket }) => socket.resetAndDestroy());
    // Each connection looks as if it had been used before.
    class Worn extends Agent {
      addRequest(request: http.ClientRequest, options: object) {
        request.reusedSocket = true;
        Reflect.get(Agent.prototype, 'addRequest').call(this, request, options);
      }
    }
    const agent = new Worn();
    const { provider } = await startClient(`${server.url}/token`, { agent, acquireTimeoutMs: 100 });
    expect(await failure(provider.getToken())).toMatchObject({ reason: 'outage' });
    expect(server.requests).toHaveLength(2);
  });

  it('out-B8: a fresh connection that is reset is not tried again within an attempt', async () => {
    const server = await startServer((_request, _response, { socket }) => socket.resetAndDestroy());
    const { provider } = await startClient(`${server.url}/token`, { acquireTimeoutMs: 100 });
    expect(await failure(provider.getToken())).toMatchObject({ reason: 'outage' });
    expect(server.requests).toHaveLength(1);
  });

  it('out-B8: a GET, such as that for metadata or keys, is sent once more as well; a POST is left to its sender', async () => {
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

  test.each<[string, () => NonNullable<HttpClientOptions['ca']>]>([
    ['a string', () => authority.pem],
    ['a Buffer', () => Buffer.from(authority.pem)],
    ['a list', () => ['# the company\n' + authority.pem, Buffer.from(authority.pem + loopback.cert)]],
  ])('out-E2: is trusted by the option ca, as %s', async (_name, ca) => {
    const server = await startServer(json(200, GRANT), loopback);
    const { provider } = await startClient(`${server.url}/token`, { ca: ca() });
    await expect(provider.getToken()).resolves.toBeDefined();
  });

  it('out-E2: by the agent, as before', async () => {
    const server = await startServer(json(200, GRANT), loopback);
    const agent = new https.Agent({ ca: authority.pem });
    const { provider } = await startClient(`${server.url}/token`, { agent });
    await expect(provider.getToken()).resolves.toBeDefined();
  });

  it('out-E2: by the option ca for discovery and revocation as well', async () => {
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

  it('out-E2: by the guard’s option ca for key sets and introspection', async () => {
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

  it('out-E6: is trusted by the option ca through a proxy, beside an agent that is given none', async () => {
    const server = await startServer(json(200, GRANT), loopback);
    const proxy = await startProxy();
    const agent = new HttpsProxyAgent(proxy.url);
    const { provider } = await startClient(`${server.url}/token`, { agent, ca: authority.pem });
    await expect(provider.getToken()).resolves.toBeDefined();
    expect(proxy.asked).toEqual([new URL(server.url).host]);
  });

  it('out-E6: together with a certificate of the client', async () => {
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
  ])('out-E2: fails the boot where ca is %s', async (_name, given) => {
    const ca = (typeof given === 'function' ? (given as () => unknown)() : given) as string;
    const error = await failure(startClient('https://id.example/token', { ca }));
    expect(error).toBeInstanceOf(IdentityM2MConfigurationError);
    expect(error.message).toMatch(/client\.ca: expected certificates of authorities in PEM/);
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
      /the proxy on the way to https:\/\/\S+ refused the request \(HTTP 407\): it wants credentials.*user name and password/,
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
    'out-B5: a proxy that answers %s is named, and the identity provider is not',
    async (line, head, expected, words) => {
      const proxy = await startProxy(`${line}\r\n${head}\r\n\r\n`);
      const agent = new HttpsProxyAgent(proxy.url);
      const { provider } = await startClient('https://id.example/token', { agent, acquireTimeoutMs: 100 });
      const error = await failure(provider.getToken());
      expect(error).toMatchObject({ code: 'M2M_TOKEN_UNAVAILABLE', ...expected });
      expect(error.message).toMatch(words);
      expect(error.message).not.toMatch(/scope/);
    },
  );

  it('out-B5: the same for plain http, where the proxy answers in the server’s place', async () => {
    const server = await startServer((_request, response) => response.writeHead(407).end());
    const { provider } = await startClient(`${server.url}/token`, { acquireTimeoutMs: 100 });
    expect((await failure(provider.getToken())).message).toMatch(/the proxy .* \(HTTP 407\)/);
  });

  test.each(['201 Created', '401 Unauthorized'])(
    'out-B5: what a proxy says in the clear is never taken for the identity provider’s: %s with a grant, or a refusal',
    async (line) => {
      const body = JSON.stringify(line.startsWith('201') ? GRANT : { error: 'invalid_client' });
      const proxy = await startProxy(
        `${line}\r\ncontent-type: application/json\r\ncontent-length: ${body.length}\r\n\r\n${body}`,
      );
      const agent = new HttpsProxyAgent(proxy.url);
      const { provider } = await startClient('https://id.example/token', { agent, acquireTimeoutMs: 100 });
      expect(await failure(provider.getToken())).toMatchObject({ reason: 'outage', oauthError: undefined });
    },
  );

  test.each([
    'Bad response: 407',
    'tunneling socket could not be established, statusCode=407',
    'Failed to establish tunnel to id.example:443 via http://127.0.0.1:3128/: HTTP/1.1 407 X',
  ])('out-B5: a proxy’s 407 is known from the error of an agent: %s', async (message) => {
    class Failing extends https.Agent {
      override createConnection(): never {
        throw new Error(message);
      }
    }
    const { provider } = await startClient('https://id.example/token', { agent: new Failing() });
    expect(await failure(provider.getToken())).toMatchObject({
      reason: 'blocked',
      message: expect.stringMatching(/proxy/),
    });
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

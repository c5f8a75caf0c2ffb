import { createHash, generateKeyPairSync, type KeyObject, sign, X509Certificate } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { Agent } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TLSSocket } from 'node:tls';
import { afterAll, afterEach, beforeAll, describe, expect, it, test } from '@jest/globals';
import type { HttpService } from '@nestjs/axios';
import { calculateJwkThumbprint, decodeJwt, decodeProtectedHeader, exportJWK, type JWK, SignJWT } from 'jose';
import {
  type ClientOptions,
  ClientRejectedError,
  entraId,
  federatedAssertion,
  fromFile,
  genericOAuth2,
  jwtBearer,
  m2mHttpToken,
  okta,
  privateKeyJwt,
  type RemoteSigner,
  selfSignedTlsClientAuth,
  tlsClientAuth,
  withToken,
} from 'nestjs-identity-m2m';
import { allowInsecureRequests, validateJwtAccessToken } from 'oauth4webapi';
import { startApplication } from './support/application.js';
import { AuthorizationServer, certificateThumbprint } from './support/authorization-server.js';
import { CertificateAuthority, type IssuedCertificate, selfSignedCertificate } from './support/certificates.js';
import { type Answer, json, TestServer } from './support/http-server.js';
import { ManualClock } from 'nestjs-identity-m2m/testing';

/** Who signs assertions that the authorization server trusts: a Kubernetes cluster, say. */
const cluster = generateKeyPairSync('ec', { namedCurve: 'P-256' });

let authority: CertificateAuthority;
let server: AuthorizationServer;
let directory: string;

beforeAll(async () => {
  authority = await CertificateAuthority.create('Test authority');
  const clusterKey: JWK = { ...(await exportJWK(cluster.publicKey)), alg: 'ES256', kid: 'cluster-1' };
  server = await AuthorizationServer.start({ mtlsAuthority: authority, assertionKeys: { keys: [clusterKey] } });
  directory = await mkdtemp(join(tmpdir(), 'm2m-'));
});

afterAll(async () => {
  await server.close();
  await rm(directory, { recursive: true });
});

const closing: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  await Promise.all(closing.splice(0).map((close) => close()));
  server.requests.length = 0;
  server.requiresNonce = false;
});

/** Without an identity provider: a client of the authorization server. */
type ClientWithoutProvider = Omit<ClientOptions, 'identityProvider'> & Partial<Pick<ClientOptions, 'identityProvider'>>;

/** An application with one client. */
async function applicationWith(client: ClientWithoutProvider, clock?: ManualClock) {
  const options = { identityProvider: genericOAuth2({ issuer: server.issuer }), scope: 'users', ...client };
  const application = await startApplication({ client: options }, clock);
  closing.push(() => application.module.close());
  return application;
}

async function resourceServer(answer: Answer, tls?: Parameters<typeof TestServer.start>[1]): Promise<TestServer> {
  const api = await TestServer.start(answer, tls);
  closing.push(() => api.close());
  return api;
}

/** Gets a token and checks, at the server, that it is this client's, by this method. */
async function expectToken(client: ClientWithoutProvider, method: string) {
  const { provider } = await applicationWith(client);
  const token = await provider.getToken();
  expect(await server.claimsOf(token.reveal())).toMatchObject({ client_id: client.clientId, scope: 'users' });
  expect(server.tokenRequests).toEqual([
    expect.objectContaining({ status: 200, clientId: client.clientId, clientAuthMethod: method }),
  ]);
  return { provider, token, request: server.tokenRequests[0]! };
}

describe('a client secret', () => {
  // Each of these is changed by the form encoding, or takes part in it, in Basic or in URLs.
  const PRINTABLE_ASCII = String.fromCharCode(...Array.from({ length: 95 }, (_, index) => index + 32));
  const SECRETS = ['plain', 'a+b/c=d&e%2Bf:g h', PRINTABLE_ASCII, '%', '::', '+ +'];

  test.each(SECRETS)('proves the client by Basic: %s', async (secret) => {
    server.register({
      client_id: 'a b/c@d+e',
      client_secret: secret,
      token_endpoint_auth_method: 'client_secret_basic',
    });
    const { request } = await expectToken({ clientId: 'a b/c@d+e', clientSecret: secret }, 'client_secret_basic');
    expect(request.body).not.toHaveProperty('client_secret');
  });

  test.each(SECRETS)('proves the client in the body: %s', async (secret) => {
    server.register({
      client_id: 'a b/c@d+e',
      client_secret: secret,
      token_endpoint_auth_method: 'client_secret_post',
    });
    const clientAuthentication = 'client_secret_post';
    const { request } = await expectToken(
      { clientId: 'a b/c@d+e', clientSecret: secret, clientAuthentication },
      clientAuthentication,
    );
    expect(request.headers).not.toHaveProperty('authorization');
    expect(request.body.client_secret).toBe(secret);
  });

  it('signs an assertion, and is not sent itself', async () => {
    const clientSecret = 'a secret that is 32 bytes or longer';
    const clientAuthentication = 'client_secret_jwt';
    server.register({ client_id: 'hs', client_secret: clientSecret, token_endpoint_auth_method: clientAuthentication });
    const { request } = await expectToken({ clientId: 'hs', clientSecret, clientAuthentication }, clientAuthentication);
    expect(JSON.stringify([request.headers, request.body])).not.toContain(clientSecret);
    const { aud, iss, sub, jti } = decodeJwt(request.body.client_assertion!);
    expect({ aud, iss, sub, jti }).toEqual({ aud: server.issuer, iss: 'hs', sub: 'hs', jti: expect.any(String) });
  });
});

describe('private_key_jwt', () => {
  const METHOD = 'private_key_jwt';
  const pem = (key: KeyObject) => key.export({ format: 'pem', type: 'pkcs8' }) as string;
  const jwk = (key: KeyObject, members: JWK = { kty: '' }): JWK => ({
    ...members,
    ...(key.export({ format: 'jwk' }) as JWK),
  });

  /** Registers a client by its public keys. */
  function register(clientId: string, ...keys: JWK[]): void {
    server.register({ client_id: clientId, token_endpoint_auth_method: METHOD, jwks: { keys } });
  }

  const ec = () => generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const kinds = {
    RS256: () => generateKeyPairSync('rsa', { modulusLength: 2048 }),
    ES256: ec,
    EdDSA: () => generateKeyPairSync('ed25519'),
  };

  test.each(Object.entries(kinds))('signs with what suits the key: %s', async (algorithm, generate) => {
    const { privateKey, publicKey } = generate();
    register('kinds', jwk(publicKey, { kty: '', kid: 'k' }));
    const { request } = await expectToken(
      { clientId: 'kinds', clientAuthentication: privateKeyJwt({ key: privateKey, keyId: 'k' }) },
      METHOD,
    );
    expect(decodeProtectedHeader(request.body.client_assertion!)).toEqual({ alg: algorithm, kid: 'k' });
  });

  it('accepts the key as PEM, as JWK, as the JSON of a JWK, as KeyObject, from a file and from a function', async () => {
    const { privateKey, publicKey } = ec();
    const path = join(directory, 'key.pem');
    await writeFile(path, pem(privateKey));
    register('forms', jwk(publicKey, { kty: '', kid: 'forms-1' }));
    const privateJwk = jwk(privateKey, { kty: '', kid: 'forms-1' });
    const keys = [
      pem(privateKey),
      privateJwk,
      JSON.stringify(privateJwk),
      privateKey,
      fromFile(path),
      async () => JSON.stringify(privateJwk),
      () => pem(privateKey),
    ];
    for (const key of keys) {
      await expectToken({ clientId: 'forms', clientAuthentication: privateKeyJwt({ key }) }, METHOD);
      const isJwk = key === keys[1] || key === keys[2] || key === keys[5];
      const { kid } = decodeProtectedHeader(server.tokenRequests[0]!.body.client_assertion!);
      // Also where the JWK was read as a text: its kid was lost there once.
      expect(kid).toBe(isJwk ? 'forms-1' : undefined);
      server.requests.length = 0;
    }
  });

  it('uses the algorithm that a JWK names, even if it was read as JSON', async () => {
    const { privateKey, publicKey } = kinds.RS256();
    register('ps', jwk(publicKey, { kty: '', kid: 'ps-1', alg: 'PS256' }));
    const key = JSON.stringify(jwk(privateKey, { kty: '', kid: 'ps-1', alg: 'PS256' }));
    const { request } = await expectToken({ clientId: 'ps', clientAuthentication: privateKeyJwt({ key }) }, METHOD);
    expect(decodeProtectedHeader(request.body.client_assertion!)).toEqual({ alg: 'PS256', kid: 'ps-1' });
  });

  it('signs by a key service, which never reveals the key', async () => {
    const { privateKey, publicKey } = ec();
    register('kms', jwk(publicKey, { kty: '', kid: 'versions/7' }));
    const signer: RemoteSigner = {
      algorithm: 'ES256',
      keyId: 'versions/7',
      async sign(data) {
        await new Promise(setImmediate);
        return sign('sha256', data, { key: privateKey, dsaEncoding: 'ieee-p1363' });
      },
    };
    const clientAuthentication = privateKeyJwt({ key: signer });
    const { request } = await expectToken({ clientId: 'kms', clientAuthentication }, METHOD);
    expect(decodeProtectedHeader(request.body.client_assertion!)).toEqual({ alg: 'ES256', kid: 'versions/7' });
  });

  it('fails the boot if the key cannot sign, or not with the chosen algorithm', async () => {
    const key = jwk(ec().privateKey);
    const wrong = [
      privateKeyJwt({ key: 'no key' }),
      privateKeyJwt({ key: ec().publicKey }),
      privateKeyJwt({ key: { ...key, alg: 'ES384' } }),
      privateKeyJwt({ key: ec().privateKey, algorithm: 'RS256' }),
      privateKeyJwt({ key: kinds.RS256().privateKey, algorithm: 'HS256' }),
    ];
    for (const clientAuthentication of wrong) {
      await expect(applicationWith({ clientId: 'a', clientAuthentication })).rejects.toMatchObject({
        code: 'M2M_CONFIGURATION_INVALID',
        message: expect.stringContaining('cannot sign'),
      });
    }
  });

  it('does not show the message of a key service’s error, and keeps the error as the cause', async () => {
    const signer: RemoteSigner = {
      algorithm: 'ES256',
      keyId: 'versions/1',
      sign: () => Promise.reject(new Error('403 at https://kms.example/?sig=s3cret')),
    };
    const { provider } = await applicationWith({
      clientId: 'kms',
      clientAuthentication: privateKeyJwt({ key: signer }),
      acquireTimeoutMs: 400,
    });
    const error: unknown = await provider.getToken().catch((error: unknown) => error);
    expect(String(error)).not.toContain('s3cret');
    expect(error).toMatchObject({
      code: 'M2M_TOKEN_UNAVAILABLE',
      message: expect.stringContaining('the signer of key versions/1 failed'),
      cause: { cause: { message: expect.stringContaining('403') } },
    });
    expect(server.tokenRequests).toHaveLength(0);
  });

  it('creates an assertion for one attempt: new jti, one audience, a lifetime of a minute', async () => {
    const { privateKey, publicKey } = ec();
    register('fresh', jwk(publicKey));
    const { provider } = await applicationWith({
      clientId: 'fresh',
      clientAuthentication: privateKeyJwt({ key: privateKey }),
    });
    for (let token = await provider.getToken(), n = 0; n < 3; n++) token = (await provider.renewToken(token))!;
    const claims = server.tokenRequests.map(({ body }) => decodeJwt(body.client_assertion!));
    expect(new Set(claims.map(({ jti }) => jti)).size).toBe(4);
    for (const { aud, iat, nbf, exp } of claims) {
      expect(aud).toBe(server.issuer);
      expect([exp! - iat!, nbf]).toEqual([60, iat]);
    }
  });

  describe('at a server that only accepts assertions for the endpoint of the request', () => {
    const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    const audiences: Record<string, unknown> = {};
    /** Metadata, and endpoints that take the audience of the assertion to the letter. */
    const answer: Answer = (request, response, message) => {
      const origin = `http://${request.headers.host}`;
      const metadata = { issuer: origin, token_endpoint: `${origin}/token`, revocation_endpoint: `${origin}/revoke` };
      if (request.method === 'GET') return json(200, metadata)(request, response, message);
      const { aud } = decodeJwt(new URLSearchParams(request.body).get('client_assertion')!);
      audiences[request.url] = aud;
      const isRight = aud === origin + request.url;
      const body = isRight
        ? { access_token: 'token', token_type: 'Bearer', expires_in: 60 }
        : { error: 'invalid_client' };
      return json(isRight ? 200 : 401, body)(request, response, message);
    };
    const secret = { clientSecret: 'a secret that is 32 bytes or longer', clientAuthentication: 'client_secret_jwt' };
    const WAYS = [
      ['private_key_jwt', { clientAuthentication: privateKeyJwt({ key: privateKey }) }],
      ['client_secret_jwt', secret as Pick<ClientOptions, 'clientSecret' | 'clientAuthentication'>],
    ] as const;

    it.each(WAYS)('srv-1: %s gets a token with assertionAudience, and revokes it', async (_method, client) => {
      const { url } = await resourceServer(answer);
      const identityProvider = genericOAuth2({ issuer: url, assertionAudience: 'endpoint' });
      const { provider, module } = await applicationWith({
        clientId: 'id',
        identityProvider,
        revokeOnShutdown: true,
        ...client,
      });
      expect((await provider.getToken()).reveal()).toBe('token');
      await module.close();
      expect(audiences).toEqual({ '/token': `${url}/token`, '/revoke': `${url}/revoke` });
    });

    it.each(WAYS)('srv-6: %s explains without it what may be wrong', async (_method, client) => {
      const { url } = await resourceServer(answer);
      const { provider } = await applicationWith({
        clientId: 'id',
        identityProvider: genericOAuth2({ issuer: url }),
        ...client,
      });
      const error = await provider.getToken().catch((reason: unknown) => reason);
      expect(error).toBeInstanceOf(ClientRejectedError);
      expect(String(error)).toContain("set assertionAudience: 'endpoint' of the identity provider");
    });

    it.each([
      ['Okta', okta({ domain: 'acme.okta.com' })],
      ['Entra ID', entraId({ tenantId: '6a6f1f5c-6f0e-4d0c-9a75-0b2d0d3c7f11', tokenVersion: 'v1' })],
    ])('srv-1: the preset for %s does so by itself', async (_name, preset) => {
      const { url } = await resourceServer(answer);
      const { provider } = await applicationWith({
        clientId: 'id',
        identityProvider: { ...preset, tokenEndpoint: `${url}/token` },
        clientAuthentication: privateKeyJwt({ key: privateKey }),
      });
      expect((await provider.getToken()).reveal()).toBe('token');
    });
  });

  it('notices a rotated key, and emits an event', async () => {
    const [old, next] = [ec(), ec()];
    const path = join(directory, 'rotated.pem');
    await writeFile(path, pem(old.privateKey));
    register('rotating', jwk(old.publicKey));
    const clientAuthentication = privateKeyJwt({ key: fromFile(path) });
    const { provider, events } = await applicationWith({ clientId: 'rotating', clientAuthentication });
    const token = await provider.getToken();
    register('rotating', jwk(next.publicKey));
    await writeFile(path, pem(next.privateKey));
    expect(await provider.renewToken(token)).toBeDefined();
    const thumbprints = await Promise.all([old, next].map(({ publicKey }) => calculateJwkThumbprint(jwk(publicKey))));
    expect(events.find(({ type }) => type === 'credential.rotated')).toMatchObject({
      previousFingerprint: thumbprints[0]!.slice(0, 12),
      fingerprint: thumbprints[1]!.slice(0, 12),
    });
  });
});

describe('mutual TLS', () => {
  /** Certificate and key in files, as an agent of the platform puts them there. */
  async function files(name: string, { cert, key }: IssuedCertificate) {
    const paths = { cert: join(directory, `${name}.crt`), key: join(directory, `${name}.key`) };
    const write = async (issued: IssuedCertificate) => {
      await writeFile(paths.cert, issued.cert);
      await writeFile(paths.key, issued.key);
    };
    await write({ cert, key });
    return { certificate: fromFile(paths.cert), key: fromFile(paths.key), ca: authority.pem, write };
  }

  function register(clientId: string): void {
    server.register({
      client_id: clientId,
      token_endpoint_auth_method: 'tls_client_auth',
      tls_client_auth_subject_dn: `CN=${clientId}`,
      tls_client_certificate_bound_access_tokens: true,
    });
  }

  /** Lets a call in only with the certificate that its token is bound to (RFC 8705 §3). */
  const bound: Answer = async (request, response, message) => {
    const { cnf } = await server.claimsOf(request.headers.authorization!.slice('Bearer '.length));
    const shown = (message.socket as TLSSocket).getPeerX509Certificate();
    const isBound = shown && cnf && (cnf as { 'x5t#S256': string })['x5t#S256'] === certificateThumbprint(shown);
    response
      .writeHead(isBound ? 200 : 401, isBound ? {} : { 'www-authenticate': 'Bearer error="invalid_token"' })
      .end();
  };

  async function boundResourceServer() {
    const tls = { ...(await authority.issueForLoopback()), requestCert: true, rejectUnauthorized: false };
    return resourceServer(bound, tls);
  }

  it('authenticates a client by its certificate, at the mTLS endpoint of the metadata', async () => {
    register('svc-a');
    const { write: _, ...options } = await files('svc-a', await authority.issue('svc-a'));
    const client = { clientId: 'svc-a', clientAuthentication: tlsClientAuth(options) };
    const { token, request } = await expectToken(client, 'tls_client_auth');
    expect(request.isMtls).toBe(true);
    const certificate = new X509Certificate((await options.certificate.read()).reveal());
    const { cnf } = await server.claimsOf(token.reveal());
    expect(cnf).toEqual({ 'x5t#S256': certificateThumbprint(certificate) });
  });

  it('authenticates a client by a self-signed certificate', async () => {
    const { cert, key } = await selfSignedCertificate('anything');
    const certificate = new X509Certificate(cert);
    const jwk = { ...certificate.publicKey.export({ format: 'jwk' }), x5c: [certificate.raw.toString('base64')] };
    const method = 'self_signed_tls_client_auth';
    server.register({ client_id: 'self', token_endpoint_auth_method: method, jwks: { keys: [jwk] } });
    const clientAuthentication = selfSignedTlsClientAuth({ certificate: cert, key, ca: authority.pem });
    const { request } = await expectToken({ clientId: 'self', clientAuthentication }, method);
    expect(request.isMtls).toBe(true);
  });

  it('reaches an issuer with a certificate of the same authority, and revokes at the mTLS endpoint', async () => {
    register('svc-private');
    const { cert, key } = await authority.issue('svc-private');
    const issuer = await resourceServer(
      (request, response) =>
        request.url === '/.well-known/openid-configuration'
          ? json(200, {
              issuer: issuer.url,
              token_endpoint: 'https://127.0.0.1:1/never',
              revocation_endpoint: 'https://127.0.0.1:1/never',
              mtls_endpoint_aliases: {
                token_endpoint: `${server.mtlsUrl}/token`,
                revocation_endpoint: `${server.mtlsUrl}/token/revocation`,
              },
            })(request, response, undefined as never)
          : response.writeHead(404).end(),
      await authority.issueForLoopback(),
    );
    const { provider, module } = await applicationWith({
      identityProvider: genericOAuth2({ issuer: issuer.url }),
      clientId: 'svc-private',
      clientAuthentication: tlsClientAuth({ certificate: cert, key, ca: authority.pem }),
      revokeOnShutdown: true,
    });
    await provider.getToken();
    await module.close();
    // This server knows the client by then, and goes on to say that it revokes no tokens of this kind.
    expect(server.requests.map(({ path, isMtls, clientId }) => [path, isMtls, clientId])).toEqual([
      ['/token', true, 'svc-private'],
      ['/token/revocation', true, 'svc-private'],
    ]);
  });

  it('is refused with a certificate of another name, and does not send it again for a while', async () => {
    register('svc-b');
    const clock = new ManualClock();
    const source = await files('svc-b', await authority.issue('svc-other'));
    const { provider, events } = await applicationWith(
      { clientId: 'svc-b', clientAuthentication: tlsClientAuth(source) },
      clock,
    );
    const refused = { code: 'M2M_CLIENT_REJECTED', oauthError: 'invalid_client', reason: 'client_rejected' };
    await expect(provider.getToken()).rejects.toMatchObject(refused);
    await expect(provider.getToken({ scope: 'reports' })).rejects.toMatchObject({ code: refused.code });
    await expect(provider.getToken()).rejects.toBeInstanceOf(ClientRejectedError);
    expect(server.tokenRequests).toHaveLength(1);
    expect(events.filter(({ type }) => type === 'credential.quarantined')).toHaveLength(1);
    // The right one is found within seconds, long before the quarantine of the wrong one is over.
    await source.write(await authority.issue('svc-b'));
    await clock.advance(6000);
    await expect(provider.getToken()).resolves.toBeDefined();
  });

  it('presents the certificate on the call, because its token is bound to it', async () => {
    register('svc-c');
    const { write: _, ...source } = await files('svc-c', await authority.issue('svc-c'));
    const api = await boundResourceServer();
    const { http } = await applicationWith({
      clientId: 'svc-c',
      clientAuthentication: tlsClientAuth(source),
      allowedOrigins: [api.url],
    });
    await expect(http.axiosRef.get(`${api.url}/accounts`)).resolves.toMatchObject({ status: 200 });
  });

  it('presents the certificate of the client that the call names, through any HttpService', async () => {
    const api = await boundResourceServer();
    const shown: (string | undefined)[] = [];
    api.answer = (request, response, message) => {
      shown.push((message.socket as TLSSocket).getPeerX509Certificate()?.subject);
      return bound(request, response, message);
    };
    const clientFor = async (clientId: string): Promise<ClientOptions> => {
      register(clientId);
      const { write: _, ...source } = await files(clientId, await authority.issue(clientId));
      return {
        identityProvider: genericOAuth2({ issuer: server.issuer }),
        clientId,
        clientAuthentication: tlsClientAuth(source),
        allowedOrigins: [api.url],
      };
    };
    server.register({ client_id: 'svc-secret', client_secret: 'secret' });
    const secret: ClientOptions = {
      identityProvider: genericOAuth2({ issuer: server.issuer }),
      clientId: 'svc-secret',
      clientSecret: 'secret',
      allowedOrigins: [api.url],
      http: { httpsAgent: new Agent({ ca: authority.pem }) },
    };
    const clients = { secret, billing: await clientFor('svc-billing'), tenants: { perTenant: clientFor } };
    const application = await startApplication({ client: await clientFor('svc-own'), clients });
    closing.push(() => application.module.close());
    const { http } = application;
    const throughSecret = application.module.get<HttpService>(m2mHttpToken('secret'));
    for (const wanted of [{}, { client: 'billing' }, { client: 'tenants', tenant: 'svc-tenant' }]) {
      await expect(http.axiosRef.get(api.url, withToken(wanted))).resolves.toMatchObject({ status: 200 });
      const config = withToken({ client: 'default', ...wanted });
      await expect(throughSecret.axiosRef.get(api.url, config)).resolves.toMatchObject({ status: 200 });
    }
    expect(shown).toEqual(['svc-own', 'svc-billing', 'svc-tenant'].flatMap((name) => Array(2).fill(`CN=${name}`)));
    shown.length = 0;
    const allowsAny: Answer = (_request, response, message) => {
      shown.push((message.socket as TLSSocket).getPeerX509Certificate()?.subject);
      response.end();
    };
    api.answer = allowsAny;
    await throughSecret.axiosRef.get(api.url);
    await http.axiosRef.get(api.url, withToken({ client: 'secret' }));
    const own = new Agent({ ca: authority.pem });
    await http.axiosRef.get(api.url, withToken({ client: 'billing' }, { httpsAgent: own }));
    expect(shown).toEqual([undefined, undefined, undefined]);
  });

  it('presents a renewed certificate with the token that is bound to it, and never on an older connection', async () => {
    register('svc-d');
    const source = await files('svc-d', await authority.issue('svc-d'));
    const api = await boundResourceServer();
    const { http, provider, events } = await applicationWith({
      clientId: 'svc-d',
      clientAuthentication: tlsClientAuth(source),
      allowedOrigins: [api.url],
    });
    await http.axiosRef.get(api.url);
    await source.write(await authority.issue('svc-d'));
    // The connection is kept alive, and goes on with the old certificate and the old token.
    await http.axiosRef.get(api.url);
    await provider.renewToken(await provider.getToken());
    expect(events.filter(({ type }) => type === 'credential.rotated')).toHaveLength(1);
    await Promise.all([http.axiosRef.get(api.url), http.axiosRef.get(api.url)]);
    expect(events.filter(({ type }) => type === 'call.replayed')).toHaveLength(0);
    expect(api.requests).toHaveLength(4);
  });

  it('renews the token if a new connection presents a newer certificate than the token is bound to', async () => {
    register('svc-e');
    const source = await files('svc-e', await authority.issue('svc-e'));
    const api = await boundResourceServer();
    const { http, provider, events } = await applicationWith({
      clientId: 'svc-e',
      clientAuthentication: tlsClientAuth(source),
      allowedOrigins: [api.url],
    });
    await provider.getToken();
    await source.write(await authority.issue('svc-e'));
    await expect(http.axiosRef.get(api.url)).resolves.toMatchObject({ status: 200 });
    expect(events.filter(({ type }) => type === 'call.replayed')).toHaveLength(1);
  });

  it('fails the call and not the process if certificate and key do not match', async () => {
    register('svc-f');
    const [one, other] = [await authority.issue('svc-f'), await authority.issue('svc-f')];
    const source = await files('svc-f', one);
    const api = await boundResourceServer();
    const { http, provider } = await applicationWith({
      clientId: 'svc-f',
      clientAuthentication: tlsClientAuth(source),
      allowedOrigins: [api.url],
    });
    const token = await provider.getToken();
    await source.write({ cert: one.cert, key: other.key });
    await expect(http.axiosRef.get(api.url, { timeout: 5000 })).rejects.toMatchObject({
      message: expect.stringContaining('key values mismatch'),
    });
    await expect(provider.renewToken(token)).resolves.toBeUndefined();
    expect(provider.status().lastError).toMatchObject({ reason: 'outage' });
  });
});

/** An assertion of the cluster, as it projects one into a pod. */
function projectedToken(claims: { sub?: string; exp?: number; jti?: string } = {}): Promise<string> {
  const now = Math.floor(Date.now() / 1000);
  return new SignJWT({
    iss: 'https://kubernetes.default.svc.cluster.local',
    sub: 'system:serviceaccount:billing:default',
    aud: server.issuer,
    iat: now,
    exp: now + 3600,
    ...claims,
  })
    .setProtectedHeader({ alg: 'ES256', kid: 'cluster-1' })
    .sign(cluster.privateKey);
}

describe('an assertion of another issuer', () => {
  /** A token endpoint that trusts a subject of the cluster (RFC 7523 §3), as cloud providers do. */
  async function federatedServer() {
    const seen: Record<string, string>[] = [];
    const trusted = { sub: 'system:serviceaccount:billing:default' };
    const endpoint = await resourceServer((request, ...rest) => {
      const body = Object.fromEntries(new URLSearchParams(request.body));
      seen.push(body);
      const { sub } = decodeJwt(body.client_assertion!);
      return sub === trusted.sub
        ? json(200, { access_token: `t${seen.length}`, token_type: 'Bearer', expires_in: 3600 })(request, ...rest)
        : json(401, { error: 'invalid_client' })(request, ...rest);
    });
    return { seen, trusted, identityProvider: genericOAuth2({ tokenEndpoint: endpoint.url }) };
  }

  it('is read for each attempt from the file that the platform renews, without counting as another credential', async () => {
    const { seen, identityProvider } = await federatedServer();
    const path = join(directory, 'projected');
    const [first, second] = [await projectedToken({ jti: '1' }), await projectedToken({ jti: '2' })];
    await writeFile(path, `${first}\n`);
    const clientAuthentication = federatedAssertion(fromFile(path));
    const { provider, events } = await applicationWith({ identityProvider, clientId: 'fed', clientAuthentication });
    const token = await provider.getToken();
    await writeFile(path, second);
    expect((await provider.renewToken(token))!.reveal()).toBe('t2');
    expect(seen).toEqual(
      [first, second].map((assertion) => ({
        grant_type: 'client_credentials',
        scope: 'users',
        client_id: 'fed',
        client_assertion_type: 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer',
        client_assertion: assertion,
      })),
    );
    expect(events.map(({ type }) => type)).not.toContain('credential.rotated');
  });

  it('is quarantined if it is refused, even if it is new for each request', async () => {
    const { seen, trusted, identityProvider } = await federatedServer();
    trusted.sub = 'system:serviceaccount:billing:other';
    let minted = 0;
    const clientAuthentication = federatedAssertion(() => projectedToken({ jti: String(++minted) }));
    const clock = new ManualClock(new Date());
    const { provider } = await applicationWith({ identityProvider, clientId: 'fed', clientAuthentication }, clock);
    for (let second = 0; second < 25; second++) {
      await expect(provider.getToken()).rejects.toBeInstanceOf(ClientRejectedError);
      await clock.advance(1000);
    }
    expect(minted).toBeGreaterThan(4);
    expect(seen).toHaveLength(1);
  });

  it('is not sent after it has expired, and is sent after a renewal', async () => {
    const { seen, identityProvider } = await federatedServer();
    const path = join(directory, 'stale');
    const clock = new ManualClock(new Date());
    await writeFile(path, await projectedToken({ exp: Math.floor(Date.now() / 1000) - 1 }));
    const clientAuthentication = federatedAssertion(fromFile(path));
    const client = { identityProvider, clientId: 'fed', clientAuthentication, acquireTimeoutMs: 400 };
    const { provider } = await applicationWith(client, clock);
    await expect(provider.getToken()).rejects.toMatchObject({
      code: 'M2M_TOKEN_UNAVAILABLE',
      message: expect.stringMatching(/assertion .* expired at 20\d\d-/),
    });
    expect(seen).toHaveLength(0);
    await writeFile(path, await projectedToken());
    await clock.advance(2000);
    expect((await provider.getToken()).reveal()).toBe('t1');
  });

  it('is the grant itself, of a client that sends only its identifier', async () => {
    server.register({ client_id: 'bearer', token_endpoint_auth_method: 'none' });
    const path = join(directory, 'grant');
    await writeFile(path, await projectedToken());
    const client = { clientId: 'bearer', clientAuthentication: 'none', grant: jwtBearer(fromFile(path)) } as const;
    const { provider } = await applicationWith(client);
    const token = await provider.getToken();
    expect(await server.claimsOf(token.reveal())).toMatchObject({
      client_id: 'bearer',
      on_behalf_of: 'system:serviceaccount:billing:default',
    });
    expect(server.tokenRequests[0]).toMatchObject({ clientAuthMethod: 'none', status: 200 });
    expect(server.tokenRequests[0]!.body).toMatchObject({
      grant_type: 'urn:ietf:params:oauth:grant-type:jwt-bearer',
      client_id: 'bearer',
    });
  });

  it('is quarantined as a grant as well, while a grant of another subject can be sent at once', async () => {
    server.register({ client_id: 'bearer', token_endpoint_auth_method: 'none' });
    const untrusted = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    const forged = await new SignJWT({ sub: 'a', aud: server.issuer })
      .setProtectedHeader({ alg: 'ES256' })
      .sign(untrusted.privateKey);
    let grant = forged;
    const clock = new ManualClock();
    const client = { clientId: 'bearer', clientAuthentication: 'none', grant: jwtBearer(() => grant) } as const;
    const { provider } = await applicationWith(client, clock);
    await expect(provider.getToken()).rejects.toMatchObject({
      code: 'M2M_CLIENT_REJECTED',
      oauthError: 'invalid_grant',
    });
    await clock.advance(6000);
    await expect(provider.getToken()).rejects.toMatchObject({ code: 'M2M_CLIENT_REJECTED' });
    expect(server.tokenRequests).toHaveLength(1);
    grant = await projectedToken({ exp: 2_000_000_000 });
    await clock.advance(6000);
    await expect(provider.getToken()).resolves.toBeDefined();
  });
});

describe('DPoP', () => {
  const proofOf = (headers: Readonly<Record<string, string>>) => decodeJwt(headers.dpop!);

  /**
   * A client of the server, and a resource server that demands proofs (RFC 9449 §7), with a nonce if it is given one.
   */
  async function dpopClient(id = 'dpop', algorithm: 'ES256' | 'EdDSA' = 'ES256') {
    server.register({
      client_id: id,
      client_secret: 'secret',
      token_endpoint_auth_method: 'client_secret_basic',
      dpop_bound_access_tokens: true,
    });
    const demanded: { nonce?: string; next?: string } = {};
    const issuer = { issuer: server.issuer, jwks_uri: `${server.issuer}/jwks` };
    const api = await resourceServer(async (request, response) => {
      const nonce: Record<string, string> = demanded.next === undefined ? {} : { 'dpop-nonce': demanded.next };
      if (demanded.nonce !== undefined && proofOf(request.headers).nonce !== demanded.nonce) {
        return response.writeHead(401, { ...nonce, 'www-authenticate': 'DPoP error="use_dpop_nonce"' }).end();
      }
      const sent = new Request(`${api.url}${request.url}`, { method: request.method, headers: request.headers });
      await validateJwtAccessToken(issuer, sent, 'https://api.example', { [allowInsecureRequests]: true });
      return response.writeHead(200, nonce).end();
    });
    const { http, provider } = await applicationWith({
      clientId: id,
      clientSecret: 'secret',
      dpop: algorithm === 'ES256' ? true : { algorithm },
      allowedOrigins: [api.url],
    });
    return { http, provider, api, demanded };
  }

  test.each(['ES256', 'EdDSA'] as const)('binds token and calls to a key of the client: %s', async (algorithm) => {
    const { http, provider, api } = await dpopClient('dpop', algorithm);
    await http.axiosRef.get(`${api.url}/users?page=2`);
    await http.axiosRef.post(`${api.url}/users`, { name: 'jane' });
    const token = (await provider.getToken()).reveal();
    const { jwk } = decodeProtectedHeader(server.tokenRequests[0]!.headers.dpop!);
    expect((await server.claimsOf(token)).cnf).toEqual({ jkt: await calculateJwkThumbprint(jwk!) });
    expect(jwk).not.toHaveProperty('d');
    const ath = createHash('sha256').update(token).digest('base64url');
    expect(api.requests.map(({ headers }) => [headers.authorization, proofOf(headers)])).toEqual([
      [`DPoP ${token}`, expect.objectContaining({ htm: 'GET', htu: `${api.url}/users`, ath })],
      [`DPoP ${token}`, expect.objectContaining({ htm: 'POST', htu: `${api.url}/users`, ath })],
    ]);
    const jtis = [server.tokenRequests[0]!.headers, ...api.requests.map(({ headers }) => headers)].map(
      (h) => proofOf(h).jti,
    );
    expect(new Set(jtis).size).toBe(3);
    expect(proofOf(server.tokenRequests[0]!.headers)).not.toHaveProperty('ath');
  });

  it('has a key for each client', async () => {
    for (const id of ['dpop-1', 'dpop-2']) await (await dpopClient(id)).provider.getToken();
    const keys = server.tokenRequests.map(({ headers }) => decodeProtectedHeader(headers.dpop!).jwk);
    expect(keys).toHaveLength(2);
    expect(keys[0]).not.toEqual(keys[1]);
  });

  it('sends the nonce that the token endpoint requires, once, with a new proof, and remembers it', async () => {
    server.requiresNonce = true;
    const { provider } = await dpopClient();
    await provider.renewToken(await provider.getToken());
    expect(server.tokenRequests.map(({ status }) => status)).toEqual([400, 200, 200]);
    const proofs = server.tokenRequests.map(({ headers }) => proofOf(headers));
    expect(proofs.map(({ nonce }) => typeof nonce)).toEqual(['undefined', 'string', 'string']);
    expect(new Set(proofs.map(({ jti }) => jti)).size).toBe(3);
  });

  it('gives up on a token endpoint that accepts no nonce', async () => {
    let n = 0;
    const endpoint = await resourceServer((...args) =>
      json(400, { error: 'use_dpop_nonce' }, { 'dpop-nonce': `nonce-${++n}` })(...args),
    );
    const { provider } = await applicationWith({
      identityProvider: genericOAuth2({ tokenEndpoint: endpoint.url }),
      clientId: 'a',
      clientSecret: 'b',
      dpop: true,
    });
    await expect(provider.getToken()).rejects.toMatchObject({
      code: 'M2M_TOKEN_REQUEST_REJECTED',
      oauthError: 'use_dpop_nonce',
    });
    expect(endpoint.requests).toHaveLength(2);
  });

  it('creates a new client assertion along with the new proof', async () => {
    server.requiresNonce = true;
    const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    const keys = [{ ...publicKey.export({ format: 'jwk' }) }];
    server.register({ client_id: 'both', token_endpoint_auth_method: 'private_key_jwt', jwks: { keys } });
    const clientAuthentication = privateKeyJwt({ key: privateKey });
    const { provider } = await applicationWith({ clientId: 'both', clientAuthentication, dpop: true });
    await provider.getToken();
    const assertions = server.tokenRequests.map(({ body }) => decodeJwt(body.client_assertion!).jti);
    expect(new Set(assertions).size).toBe(2);
  });

  it('sends the nonce that a resource server requires, once, and remembers it only for that origin', async () => {
    const { http, api, demanded } = await dpopClient();
    Object.assign(demanded, { nonce: 'n1', next: 'n1' });
    await http.axiosRef.post(api.url, 'body');
    await http.axiosRef.get(api.url);
    expect(api.requests.map(({ headers, body }) => [proofOf(headers).nonce, body])).toEqual([
      [undefined, 'body'],
      ['n1', 'body'],
      ['n1', ''],
    ]);
    expect(new Set(api.requests.map(({ headers }) => proofOf(headers).jti)).size).toBe(3);
    // The token endpoint is another origin.
    expect(proofOf(server.tokenRequests[0]!.headers)).not.toHaveProperty('nonce');
  });

  it('takes the next nonce from a successful response', async () => {
    const { http, api, demanded } = await dpopClient();
    demanded.next = 'n1';
    await http.axiosRef.get(api.url);
    Object.assign(demanded, { nonce: 'n1', next: 'n2' });
    await http.axiosRef.get(api.url);
    Object.assign(demanded, { nonce: 'n2' });
    await http.axiosRef.get(api.url);
    expect(api.requests.map(({ headers }) => proofOf(headers).nonce)).toEqual([undefined, 'n1', 'n2']);
  });

  it('returns the 401 if the resource server accepts no nonce, and requests no other token', async () => {
    const { http, api, demanded } = await dpopClient();
    let n = 0;
    Object.assign(demanded, { nonce: 'unknown' });
    Object.defineProperty(demanded, 'next', { get: () => `nonce-${++n}` });
    await expect(http.axiosRef.get(api.url)).rejects.toMatchObject({ response: { status: 401 } });
    expect(api.requests).toHaveLength(2);
    expect(server.tokenRequests).toHaveLength(1);
  });

  it('does not accept a plain bearer token if it requested a bound one', async () => {
    const endpoint = await resourceServer(json(200, { access_token: 'plain', token_type: 'Bearer', expires_in: 60 }));
    const { provider } = await applicationWith({
      identityProvider: genericOAuth2({ tokenEndpoint: endpoint.url }),
      clientId: 'a',
      clientSecret: 'b',
      dpop: true,
    });
    await expect(provider.getToken()).rejects.toMatchObject({ code: 'M2M_TOKEN_REQUEST_REJECTED' });
  });
});

import { afterEach, beforeAll, describe, expect, it, test } from '@jest/globals';
import {
  genericOAuth2,
  type HttpClientOptions,
  selfSignedTlsClientAuth,
  type TokenUnavailableError,
} from 'nestjs-identity-m2m';
import type { Clock } from 'nestjs-identity-m2m';
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

import { setTimeout as sleep } from 'node:timers/promises';
import { inspect } from 'node:util';
import { afterEach, describe, expect, it, test } from '@jest/globals';
import fc from 'fast-check';
import {
  type AccessToken,
  type ClientOptions,
  ClientRejectedError,
  genericOAuth2,
  type OutboundEvent,
  tlsClientAuth,
  TokenRequestRejectedError,
  TokenUnavailableError,
} from 'nestjs-identity-m2m';
// From inside: thousands of answers are read by clients without a Nest application.
import { ConfiguredClients } from '../libs/identity-m2m/src/clients/configured-clients.js';
import { HttpExchangeError } from '../libs/identity-m2m/src/foundation/bounded-fetch.js';
import { redactCredentials } from '../libs/identity-m2m/src/token/credential-redaction.js';
import { readTokenResponse } from '../libs/identity-m2m/src/token/token-response.js';
import { HOSTILE_ANSWERS } from './support/hostile-answers.js';
import { type FailedRequest, grant, type HostileAnswer, http, TOKEN } from './support/hostile/answer.js';
import { redirects } from './support/hostile/redirects.js';
import { RawServer } from './support/raw-server.js';
import { reachablePaths } from './support/reachable-paths.js';
import { basicCredentials, secretSpellings } from './support/secret-spellings.js';
import { selfSignedCertificate } from './support/certificates.js';
import { TOKEN_FAILURE_KINDS } from '../libs/identity-m2m/src/token/token-result.js';
import { ManualClock } from 'nestjs-identity-m2m/testing';

const CLIENT_ID = 'hostile-client';
const SECRET = 'Kq7/Pl@nted+m4rk&of"a=s3cr3t%2F-é-0123456789-its-very-end';
const TIMEOUT_MS = 2000;
/** Less than any back-off: a caller fails with the attempt that it waits for. */
const IMPATIENT_MS = 400;
/** For a machine that has much else to do; nothing here takes a second by itself. */
const LONG_MS = 20_000;
/** Visible ASCII. */
const TOKEN_TEXT = /^[\x21-\x7e]+$/;

// An exception that nobody caught, or a rejection that nobody handled, fails the test that is running: Jest sees to it.

const closing: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  await Promise.all(closing.splice(0).map((close) => close()));
});

async function start(tls?: Parameters<typeof RawServer.start>[0]): Promise<RawServer> {
  const server = await RawServer.start(tls);
  closing.push(() => server.close());
  return server;
}

/** A client of this endpoint, by a clock that stands still. */
function clientOf(url: string, options: Partial<ClientOptions> = {}) {
  /** Whether the clock stands still while a request is under way, as it must once the endpoint is well again. */
  const waiting = { isForRequests: false };
  const clock: ManualClock = new ManualClock(undefined, async () => {
    do await new Promise(setImmediate);
    while (waiting.isForRequests && provider.status().refreshing);
  });
  const clients = new ConfiguredClients({ clock, random: Math.random, production: false, onClient: () => {} });
  const { provider } = clients.addByOptions('default', {
    identityProvider: genericOAuth2({ tokenEndpoint: `${url}/token` }),
    clientId: CLIENT_ID,
    clientSecret: SECRET,
    tokenRequestTimeoutMs: TIMEOUT_MS,
    acquireTimeoutMs: IMPATIENT_MS,
    ...options,
  });
  closing.push(() => clients.close());
  const events: OutboundEvent[] = [];
  provider.events.subscribe((event) => events.push(event));
  return { provider, clock, events, waiting };
}

/** Real time, which nothing here should need much of. */
async function until(condition: () => boolean, what: string): Promise<void> {
  for (const end = Date.now() + LONG_MS / 2; !condition(); await sleep(1)) {
    if (Date.now() > end) throw new Error(`in vain waited for ${what}`);
  }
}

/** All that anybody could print of these values. */
function printed(...values: readonly unknown[]): string {
  const deep = { depth: 20, showHidden: true, maxStringLength: null, maxArrayLength: null } as const;
  const forms = values.flatMap((value) => {
    const error = value instanceof Error ? [String(value), value.stack, String(value.cause)] : [];
    return [inspect(value, deep), inspect(value), JSON.stringify(value), ...error];
  });
  return forms.join('\n');
}

/** What must not be told: the secret in every form, the token, and whatever proved the client in these requests. */
function unspeakable(requests: readonly string[]): string[] {
  const proofs = requests.flatMap((request) => {
    const [head = '', body = ''] = request.split(/\r\n\r\n(.*)/s);
    const header = (name: string) => new RegExp(`^${name}: *(.*)$`, 'im').exec(head)?.[1]?.trim() ?? '';
    const parameters = body.startsWith('{') ? new URLSearchParams() : new URLSearchParams(body);
    return [header('authorization').slice(6), header('dpop'), parameters.get('client_assertion') ?? ''];
  });
  const texts = [...secretSpellings(SECRET), ...basicCredentials(CLIENT_ID, SECRET), TOKEN, ...proofs];
  return [...new Set(texts.flatMap((text) => [text, text.slice(0, 16), text.slice(-16)]))].filter(
    (text) => text !== '',
  );
}

function expectSilence(values: readonly unknown[], requests: readonly string[]): void {
  const text = printed(...values);
  const told = unspeakable(requests).filter((secret) => text.includes(secret));
  expect({ told, ...(told.length > 0 && { text }) }).toEqual({ told: [] });
  for (const secret of [SECRET, TOKEN]) expect(reachablePaths(secret, values)).toEqual([]);
}

const CLASSES = {
  transient: [TokenUnavailableError, 'M2M_TOKEN_UNAVAILABLE', 'outage'],
  malformed: [TokenUnavailableError, 'M2M_TOKEN_UNAVAILABLE', 'malformed_answer'],
  unexplained: [TokenUnavailableError, 'M2M_TOKEN_UNAVAILABLE', 'outage'],
  proxy: [TokenUnavailableError, 'M2M_TOKEN_UNAVAILABLE', 'blocked'],
  blocked: [TokenUnavailableError, 'M2M_TOKEN_UNAVAILABLE', 'blocked'],
  configuration: [TokenRequestRejectedError, 'M2M_TOKEN_REQUEST_REJECTED', 'request_rejected'],
  credential: [ClientRejectedError, 'M2M_CLIENT_REJECTED', 'client_rejected'],
} as const;

function expectFailure(error: unknown, expected: FailedRequest, now: number): void {
  const [type, code, reason] = CLASSES[expected.kind];
  if (!(error instanceof TokenUnavailableError)) throw new Error(`expected a failure, found ${inspect(error)}`);
  const fault = error.cause instanceof HttpExchangeError ? error.cause.fault : undefined;
  const { oauthError, retryAt, message } = error;
  expect({ code: error.code, reason, oauthError, fault, message }).toEqual({
    code,
    reason,
    oauthError: expected.oauthError,
    fault: expected.fault,
    message: expect.stringContaining(expected.says ?? ''),
  });
  expect(error.reason).toBe(reason);
  expect(error.constructor).toBe(type);
  // One line for a log, whoever wrote its parts.
  expect(message).toMatch(/^[\x20-\x7e…]{1,600}$/);
  const delaySeconds = ((retryAt?.getTime() ?? NaN) - now) / 1000;
  const atLeast = expected.retryAfterSeconds ?? 0.5;
  expect(delaySeconds).toBeGreaterThanOrEqual(atLeast);
  expect(delaySeconds).toBeLessThanOrEqual(expected.retryAfterSeconds ? 1.1 * atLeast : 72);
}

/**
 * Lets a client meet an answer, and sees that all is as it must be.
 *
 * @returns The token that it gets once the endpoint is well again.
 */
async function meet(hostile: HostileAnswer, server: RawServer): Promise<string> {
  // Where it takes the timeout to settle it, callers wait on after that, and no second attempt is made before.
  const patience = hostile.isSettledByTimeout ? { acquireTimeoutMs: 4 * TIMEOUT_MS } : {};
  const { provider, clock, events, waiting } = clientOf(server.url, { ...patience, ...hostile.client });
  server.answer = hostile.answer;
  if (hostile.isSaidAtOnce) server.onConnection = hostile.answer as (socket: unknown) => unknown;
  const startMs = clock.now().wallMs;
  let isSettled = false;
  const call = provider.getToken().then(
    (token) => ({ token }),
    (error: unknown) => ({ error }),
  );
  void call.then(() => (isSettled = true));
  if (hostile.isSettledByTimeout) {
    await until(() => server.requests.length > 0, 'the request');
    await sleep(20);
    expect(isSettled).toBe(false);
    await clock.advance(TIMEOUT_MS);
  }
  await until(() => isSettled || provider.status().lastError !== undefined, 'the end of the attempt');
  const result = isSettled ? await call : { error: provider.status().lastError };
  const connections = server.connections;
  expect(connections).toBe(hostile.requests ?? 1);
  const { becomes } = hostile;
  if (becomes.kind === 'token') {
    if (!('token' in result)) throw result.error;
    expect(result.token.reveal()).toMatch(TOKEN_TEXT);
    expect(result.token.scope).toBe(becomes.scope);
    expect(provider.status().expiresAt!.getTime() - startMs).toBeCloseTo(becomes.lifetimeSeconds * 1000, 0);
  } else {
    expectFailure('error' in result ? result.error : result.token, becomes, clock.now().wallMs);
  }
  expectSilence(['error' in result ? result.error : result.token, events, provider.status()], server.requests);
  // Callers that come right behind it cost no further request, whatever became of the first.
  const followers = Promise.allSettled(Array.from({ length: 50 }, () => provider.getToken()));
  for (let turn = 0; turn < 5; turn++) await new Promise(setImmediate);
  expect(server.connections).toBe(connections);
  await until(() => server.openConnections === 0, 'the client to let go of its connection');
  server.answer = http(grant({ access_token: 'healthy', token_type: hostile.client?.dpop ? 'DPoP' : 'Bearer' }));
  server.onConnection = undefined;
  waiting.isForRequests = true;
  // Beyond the longest life and the longest delay that a server can ask for.
  await clock.advance(becomes.kind === 'token' ? becomes.lifetimeSeconds * 1000 : 4_000_000);
  await followers;
  return (await provider.getToken()).reveal();
}

describe.each(Object.entries(HOSTILE_ANSWERS))('a token endpoint with faults in %s', (_class, answers) => {
  test.each(answers.map((hostile) => [`${hostile.name} (${hostile.becomes.kind})`, hostile] as const))(
    '%s',
    async (_name, hostile) => {
      const server = await start();
      expect(await meet(hostile, server)).toBe('healthy');
    },
    LONG_MS,
  );
});

describe('a token endpoint that redirects', () => {
  const names = redirects('').map(({ name }, index) => [name, index] as const);
  test.each(names)(
    '%s (configuration)',
    async (_name, index) => {
      const elsewhere = await start();
      elsewhere.answer = http(grant());
      const server = await start();
      const client = { clientAuthentication: 'client_secret_post' } as const;
      expect(await meet({ ...redirects(elsewhere.url)[index]!, client }, server)).toBe('healthy');
      expect(elsewhere.connections).toBe(0);
    },
    LONG_MS,
  );
});

describe('a token endpoint with TLS faults', () => {
  /** Asks an endpoint at this address, with this certificate to trust; tells what Node made of it. */
  async function ask(server: RawServer, url: string, ca?: string): Promise<string | undefined> {
    const own = await selfSignedCertificate('client.example');
    const { provider } = clientOf(url, {
      ...(ca !== undefined && {
        clientAuthentication: tlsClientAuth({ certificate: own.cert, key: own.key, ca }),
        clientSecret: undefined,
      }),
    });
    const error: unknown = await provider.getToken().catch((error: unknown) => error);
    const { reason, cause } = error as { reason: string; cause: { fault: string; cause: NodeJS.ErrnoException } };
    expectSilence([error, provider.status()], []);
    expect(printed(error)).not.toContain(own.key.split('\n')[1]);
    // Who is not known, is not told the secret.
    expect(server.requests).toEqual([]);
    await until(() => server.openConnections === 0, 'the client to let go of its connection');
    expect(`${reason}: ${cause.fault}`).toMatch(/^(?:outage: network|certificate_rejected: certificate)$/);
    return `${reason}: ${cause.cause.code}`;
  }

  it('speaks plain HTTP where TLS is expected', async () => {
    const server = await start();
    server.onConnection = (socket) => socket.write(http(grant()));
    expect(await ask(server, server.url.replace('http:', 'https:'))).toBe('outage: EPROTO');
  });

  it('speaks TLS where plain HTTP is expected', async () => {
    const server = await start(await selfSignedCertificate('127.0.0.1'));
    expect(await ask(server, server.url.replace('https:', 'http:'))).toMatch(
      /^outage: (?:HPE_INVALID_CONSTANT|ECONNRESET)$/,
    );
  });

  it('ends the handshake with an alert', async () => {
    const server = await start();
    server.onConnection = (socket) => socket.write(Buffer.from('15030300020228', 'hex'));
    expect(await ask(server, server.url.replace('http:', 'https:'))).toBe('outage: EPROTO');
  });

  it('presents a certificate of an unknown authority', async () => {
    const server = await start(await selfSignedCertificate('127.0.0.1'));
    expect(await ask(server, server.url)).toBe('certificate_rejected: DEPTH_ZERO_SELF_SIGNED_CERT');
  });

  it('presents the certificate of another host', async () => {
    const identity = await selfSignedCertificate('elsewhere.example');
    const server = await start(identity);
    expect(await ask(server, server.url, identity.cert)).toBe('certificate_rejected: ERR_TLS_CERT_ALTNAME_INVALID');
  });

  it('presents an expired certificate', async () => {
    const identity = await selfSignedCertificate('127.0.0.1', { notAfter: new Date(Date.now() - 86_400_000) });
    const server = await start(identity);
    expect(await ask(server, server.url, identity.cert)).toBe('certificate_rejected: CERT_HAS_EXPIRED');
  });

  it('starts a handshake and never ends it', async () => {
    const server = await start();
    server.onConnection = () => {};
    const url = server.url.replace('http:', 'https:');
    const { provider, clock } = clientOf(url, { acquireTimeoutMs: 4 * TIMEOUT_MS });
    provider.getToken().catch(() => {});
    await until(() => server.connections === 1, 'the connection');
    await clock.advance(TIMEOUT_MS);
    expect(provider.status().lastError).toMatchObject({ reason: 'outage', cause: { fault: 'timeout' } });
    await until(() => server.openConnections === 0, 'the client to let go of its connection');
  });

  it('works without a fault', async () => {
    const identity = await selfSignedCertificate('127.0.0.1');
    const server = await start(identity);
    server.answer = http(grant());
    const authentication = tlsClientAuth({ certificate: identity.cert, key: identity.key, ca: identity.cert });
    const { provider } = clientOf(server.url, { clientAuthentication: authentication, clientSecret: undefined });
    expect((await provider.getToken()).reveal()).toBe(TOKEN);
  });
});

describe('a randomly changed response', () => {
  it(
    'is a token that fits into a header, or a typed error: bytes on the wire',
    async () => {
      const server = await start();
      const valid = http(grant(), { headers: ['date: Tue, 01 Jan 2030 00:00:00 GMT', 'cache-control: no-store'] });
      const mutation = fc.record({ at: fc.nat(valid.length - 1), byte: fc.nat(255), how: fc.constantFrom(0, 1, 2) });
      const property = fc.asyncProperty(fc.array(mutation, { minLength: 1, maxLength: 8 }), async (mutations) => {
        const bytes = [...valid];
        for (const { at, byte, how } of mutations) {
          bytes.splice(at, how === 0 ? 1 : how === 1 ? 0 : 10, byte);
        }
        // It ends where it is cut short, so that no run has to wait.
        server.answer = (socket) => socket.end(Buffer.from(bytes));
        const { provider } = clientOf(server.url);
        const result: unknown = await provider.getToken().catch((error: unknown) => error);
        if (result instanceof TokenUnavailableError) expect(result.message).toMatch(/^[\x20-\x7e…]{1,600}$/);
        else expect((result as AccessToken).reveal()).toMatch(TOKEN_TEXT);
      });
      await fc.assert(property, { numRuns: 300 });
    },
    LONG_MS,
  );

  it(
    'is a token that fits into a header, or a failure: members of its JSON',
    () => {
      const members = fc.constantFrom('access_token', 'token_type', 'expires_in', 'scope', 'refresh_in', 'error', 'x');
      const value = fc.oneof(fc.jsonValue(), fc.constantFrom(TOKEN, 'Bearer', 'invalid_client', '3600', 1e308, -0));
      const changes = fc.array(fc.tuple(members, value), { maxLength: 4 });
      const headers = fc.record({ 'content-type': fc.constantFrom('application/json', 'text/html') });
      const property = fc.property(changes, fc.integer({ min: 200, max: 599 }), headers, (changes, status, headers) => {
        const body = grant(Object.fromEntries(changes));
        const outcome = readTokenResponse({ status: status % 3 ? 200 : status, headers: new Headers(headers), body });
        if (!outcome.ok) {
          expect(TOKEN_FAILURE_KINDS).toContain(outcome.failure.kind);
          return;
        }
        const { accessToken, lifetime } = outcome.granted;
        expect(accessToken.revealAuthorizationHeader()).toMatch(/^(?:Bearer|DPoP) [\x21-\x7e]+$/);
        expect(lifetime.lifetimeMs).toBeGreaterThan(0);
        expect(lifetime.lifetimeMs).toBeLessThanOrEqual(30 * 86_400_000);
        expect(accessToken.scope ?? 'none').toMatch(/^[\x21\x23-\x5b\x5d-\x7e]+(?: [\x21\x23-\x5b\x5d-\x7e]+)*$/);
      });
      fc.assert(property, { numRuns: 1000 });
    },
    LONG_MS,
  );

  it(
    'reveals no useful part of a credential, wherever it is repeated',
    () => {
      const credential = fc.string({ minLength: 8, maxLength: 80, unit: 'binary' });
      const property = fc.property(
        credential,
        fc.string(),
        fc.string(),
        fc.nat(),
        fc.nat(),
        (secret, a, b, from, to) => {
          const start = from % (secret.length - 7);
          const part = secret.slice(start, start + 8 + (to % (secret.length - start - 7)));
          const told = redactCredentials([secret], `${a}${part}${b}`);
          expect(told.replaceAll('[credential]', '')).not.toContain(part);
        },
      );
      fc.assert(property, { numRuns: 200 });
    },
    LONG_MS,
  );
});

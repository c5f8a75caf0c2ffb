import { afterEach, beforeEach, describe, expect, it, test } from '@jest/globals';
import { decodeJwt, UnsecuredJWT } from 'jose';
import type { ClientAuthentication } from '../credentials/client-authentication.js';
import { clientSecretAuthentication } from '../credentials/client-secret-authentication.js';
import { CredentialQuarantine } from '../credentials/credential-quarantine.js';
import { federatedAssertion } from '../credentials/signed-assertion.js';
import { clientCredentials, jwtBearer } from '../credentials/token-grant.js';
import { createBoundedFetch } from '../foundation/bounded-fetch.js';
import { ClientSecret, toSecretSource } from '../foundation/secret-source.js';
import { ManualClock } from '../testing/manual-clock.js';
import { ServerMetadata } from './server-metadata.js';
import { tryProgress, type TryProgress } from './single-flight.js';
import { TokenEndpoint } from './token-endpoint.js';
import type { BodyParameters } from './token-parameters.js';
import { TokenRequester, type TokenRequesterOptions } from './token-requester.js';
import type { Acquisition, TokenFailure, TokenResult } from './token-result.js';
import { type Answer, json, type ReceivedRequest } from '../../../../test/support/http-server.js';
import { until } from '../../../../test/support/socket-clock.js';
import { TestTokenServer } from '../../../../test/support/token-server.js';

const SECRETS = { current: 'secret-of-today', next: 'secret-of-tomorrow' };
const LONG_SECRET = 'a secret that has at least 32 bytes for HMAC';

let server: TestTokenServer;

beforeEach(async () => {
  server = await TestTokenServer.start();
});

afterEach(() => server.close());

interface SetUp extends Partial<TokenRequesterOptions> {
  readonly maxRefusals?: number;
}

function setUp({ maxRefusals = 5, ...options }: SetUp = {}) {
  const clock = (options.clock as ManualClock | undefined) ?? new ManualClock();
  /** What the sources hold, by their order; a source without a value can't be read. */
  const sources: { current: string | undefined; next: string | undefined } = { ...SECRETS };
  const reads: string[] = [];
  const source = (name: 'current' | 'next') =>
    toSecretSource(() => {
      reads.push(name);
      return sources[name] ?? Promise.reject(new Error(`https://vault.example/?token=for-${name}`));
    });
  const fetch = createBoundedFetch();
  const clientId = options.clientId ?? 'the-client';
  const requester = new TokenRequester({
    clientId,
    serverName: server.url,
    endpoint: new TokenEndpoint({
      server: new ServerMetadata({ tokenEndpoint: server.url }, 'loopback', fetch),
      clientId,
      requestFormat: 'form',
      requestHeaders: () => ({}),
      dpop: undefined,
      response: {},
      warnings: { emitWarning: () => {}, emitOptionFailure: () => {} },
      fetch,
      clock,
    }),
    grant: clientCredentials,
    authentication: clientSecretAuthentication('client_secret_post', source('current'), source('next')),
    quarantine: new CredentialQuarantine(clock, () => 0),
    quarantinePolicy: { maxRefusals, probeIntervalMs: 3600_000 },
    clock,
    random: () => 0,
    ...options,
  });
  const attempt = (given: { parameters?: BodyParameters; signal?: AbortSignal; progress?: TryProgress } = {}) => {
    const { parameters = [], signal = new AbortController().signal, progress = tryProgress(clock.now()) } = given;
    return requester.attempt(parameters, signal, progress);
  };
  return { clock, requester, sources, reads, attempt };
}

const bodyOf = ({ body }: ReceivedRequest) => Object.fromEntries(new URLSearchParams(body));
const sentSecrets = () => server.requests.map((request) => bodyOf(request).client_secret);
const fingerprint = (secret: string) => new ClientSecret(secret).fingerprint;

function failureOf(result: TokenResult<Acquisition>): TokenFailure {
  if (result.ok) throw new Error('the attempt should have failed');
  return result.failure;
}

/** Refuses all secrets but some, and repeats the refused one in its error text. */
const accepting = (...accepted: string[]): Answer => {
  return (request, response, message) => {
    const { client_secret: secret = '' } = bodyOf(request);
    if (accepted.includes(secret)) return grant(request, response, message);
    return json(401, { error: 'invalid_client', error_description: `length ${secret.length}` })(
      request,
      response,
      message,
    );
  };
};
const grant = json(200, { access_token: 'a-token', token_type: 'Bearer', expires_in: 3600 });
const refusal = json(401, { error: 'invalid_client' });
const silence: Answer = () => {};

describe('an attempt to get a token', () => {
  it('sends the credential and the parameters, and returns the token with its credential', async () => {
    const { clock, attempt } = setUp();
    await clock.advance(700);
    const result = await attempt({ parameters: [['scope', 'users']] });
    expect(result).toMatchObject({
      ok: true,
      requestedAt: clock.now(),
      receivedAt: clock.now(),
      credential: fingerprint(SECRETS.current),
      rotation: undefined,
    });
    expect(result.ok && result.granted.accessToken.reveal()).toBe('token-1');
    expect(server.requests.map(bodyOf)).toEqual([
      { grant_type: 'client_credentials', client_id: 'the-client', client_secret: SECRETS.current, scope: 'users' },
    ]);
  });

  it('sends the assertion of its grant, which is a part of the fingerprint', async () => {
    const assertion = new UnsecuredJWT({ iss: 'https://cluster.example', sub: 'machine' }).encode();
    const { attempt } = setUp({ grant: jwtBearer(() => assertion) });
    const result = await attempt({ parameters: [['scope', 'users']] });
    expect(server.requests.map(bodyOf)).toEqual([
      {
        grant_type: 'urn:ietf:params:oauth:grant-type:jwt-bearer',
        client_id: 'the-client',
        client_secret: SECRETS.current,
        scope: 'users',
        assertion,
      },
    ]);
    const own = (await jwtBearer(() => assertion).readAssertion())!.fingerprint;
    expect(result).toMatchObject({ ok: true, credential: `${fingerprint(SECRETS.current)}-${own}` });
  });

  it('notes once that the server accepted another credential', async () => {
    const { sources, attempt } = setUp();
    const rotations: unknown[] = [];
    for (const secret of ['one-secret', 'one-secret', 'another-secret', 'another-secret']) {
      sources.current = secret;
      const result = await attempt();
      rotations.push(result.ok && result.rotation);
    }
    const rotation = { fingerprint: fingerprint('another-secret'), previousFingerprint: fingerprint('one-secret') };
    expect(rotations).toEqual([undefined, undefined, rotation, undefined]);
  });
});

describe('of several credentials', () => {
  it('the next one is sent after a refusal, and comes first once it was accepted', async () => {
    const { clock, attempt, reads } = setUp();
    server.fault = accepting(SECRETS.next);
    expect((await attempt()).ok).toBe(true);
    expect(sentSecrets()).toEqual([SECRETS.current, SECRETS.next]);
    await clock.advance(60_000);
    expect((await attempt()).ok).toBe(true);
    expect(sentSecrets()).toEqual([SECRETS.current, SECRETS.next, SECRETS.next]);
    expect(reads).toEqual(['current', 'next', 'next']);
  });

  it('the first one comes first again once the other one is refused', async () => {
    const { clock, attempt } = setUp();
    server.fault = accepting(SECRETS.next);
    await attempt();
    server.fault = accepting(SECRETS.current);
    await clock.advance(60_000);
    expect(await attempt()).toMatchObject({ ok: true, credential: fingerprint(SECRETS.current) });
    await attempt();
    expect(sentSecrets().slice(2)).toEqual([SECRETS.next, SECRETS.current, SECRETS.current]);
  });

  it('equal ones are sent once', async () => {
    const { sources, attempt } = setUp();
    sources.next = sources.current;
    server.fault = accepting();
    expect(failureOf(await attempt()).kind).toBe('credential');
    expect(sentSecrets()).toEqual([SECRETS.current]);
  });

  it('no other one is sent after a failure that is not a refusal', async () => {
    const { attempt } = setUp();
    server.fault = json(503, {});
    const { kind, refusal: refused } = failureOf(await attempt());
    expect([kind, refused]).toEqual(['transient', undefined]);
    expect(sentSecrets()).toEqual([SECRETS.current]);
  });

  it('one that cannot be read is left out', async () => {
    const { sources, attempt } = setUp();
    sources.current = undefined;
    expect(await attempt()).toMatchObject({ ok: true, credential: fingerprint(SECRETS.next) });
    expect(sentSecrets()).toEqual([SECRETS.next]);
  });

  it('a refused one counts more than one that cannot be read', async () => {
    const { sources, attempt } = setUp();
    sources.current = undefined;
    server.fault = accepting();
    expect(failureOf(await attempt()).kind).toBe('credential');
  });

  it('the first error is the cause if none can be read, and is not in the text', async () => {
    const { sources, attempt } = setUp();
    sources.current = sources.next = undefined;
    const failure = failureOf(await attempt());
    expect(failure).toEqual({
      kind: 'transient',
      detail: 'the credential could not be read (see the cause)',
      cause: new Error('https://vault.example/?token=for-current'),
    });
    expect(server.requests).toEqual([]);
  });

  it('there may be none', async () => {
    const authentication: ClientAuthentication = { method: 'own', fault: () => undefined, credentials: [] };
    const { requester, attempt } = setUp({ authentication });
    expect(failureOf(await attempt())).toEqual({ kind: 'transient', detail: 'there is no credential to send' });
    expect(await requester.readUsableCredential()).toBeUndefined();
  });

  const lengthOf = (secret: string) => expect.stringContaining(`length ${secret.length}`);

  it('the last refusal is reported', async () => {
    const { attempt } = setUp();
    server.fault = accepting();
    const failure = failureOf(await attempt());
    expect(failure).toMatchObject({ detail: lengthOf(SECRETS.next), refusal: { isWithheld: false } });
  });

  test.each(['current', 'next'] as const)('a refusal is reported before a withheld one: %s', async (withheld) => {
    const refused = withheld === 'current' ? 'next' : 'current';
    const { sources, attempt } = setUp();
    server.fault = accepting();
    sources[refused] = undefined;
    await attempt();
    sources[refused] = SECRETS[refused];
    const failure = failureOf(await attempt());
    expect(failure).toMatchObject({ detail: lengthOf(SECRETS[refused]), refusal: { isWithheld: false } });
    expect(sentSecrets()).toEqual([SECRETS[withheld], SECRETS[refused]]);
  });

  it('the first withheld one is reported if all are', async () => {
    const { clock, sources, attempt } = setUp();
    server.fault = accepting();
    sources.next = undefined;
    await attempt();
    await clock.advance(10_000);
    sources.next = SECRETS.next;
    await attempt();
    const { refusal } = failureOf(await attempt());
    expect(refusal).toEqual({ delayMs: 20_000, halted: false, isConfirmed: true, isWithheld: true });
    expect(sentSecrets()).toEqual([SECRETS.current, SECRETS.next]);
  });
});

describe('the progress of an attempt', () => {
  it('counts silence from the read of each credential and from the request, and allows a second try by both', async () => {
    const clock = new ManualClock();
    const progress = tryProgress(clock.now());
    const seen: unknown[] = [];
    const see = () => seen.push([clock.now().monotonicMs - progress.silentSince!.monotonicMs, progress.second]);
    const source = (name: 'current' | 'next') => async () => {
      see();
      await clock.advance(200);
      return SECRETS[name];
    };
    const sources = (['current', 'next'] as const).map((name) => toSecretSource(source(name)));
    const authentication = clientSecretAuthentication('client_secret_post', sources[0]!, sources[1]);
    const { attempt } = setUp({ clock, authentication });
    server.fault = async (request, response, message) => {
      see();
      await clock.advance(1000);
      return accepting(SECRETS.next)(request, response, message);
    };
    expect((await attempt({ progress })).ok).toBe(true);
    const read = [0, 'beside'];
    const request = [0, 'instead'];
    expect(seen).toEqual([read, request, read, request]);
  });
});

describe('after a refusal', () => {
  it('another credential is sent at once if the source has one by then', async () => {
    const { sources, attempt } = setUp();
    sources.next = undefined;
    server.fault = (request, response, message) => {
      sources.current = 'rotated-secret';
      return accepting('rotated-secret')(request, response, message);
    };
    expect(await attempt()).toMatchObject({ ok: true, credential: fingerprint('rotated-secret') });
    expect(sentSecrets()).toEqual([SECRETS.current, 'rotated-secret']);
  });

  it('the result of the other credential is reported', async () => {
    const { sources, attempt } = setUp();
    sources.next = undefined;
    server.fault = (request, response, message) => {
      if (sources.current !== SECRETS.current) return json(503, {})(request, response, message);
      sources.current = 'rotated-secret';
      return refusal(request, response, message);
    };
    expect(failureOf(await attempt()).kind).toBe('transient');
    expect(server.requests).toHaveLength(2);
  });

  it('the source is read once more, and its failure does not hide the refusal', async () => {
    const { sources, reads, attempt } = setUp();
    sources.next = undefined;
    server.fault = (request, response, message) => {
      sources.current = undefined;
      return refusal(request, response, message);
    };
    expect(failureOf(await attempt()).kind).toBe('credential');
    expect(reads).toEqual(['current', 'next', 'current', 'next']);
  });

  it('a withheld credential is not read again', async () => {
    const { reads, attempt } = setUp();
    server.fault = refusal;
    await attempt();
    reads.length = 0;
    expect(failureOf(await attempt()).refusal?.isWithheld).toBe(true);
    expect(reads).toEqual(['current', 'next']);
  });

  test.each([
    ['credential', refusal, 'the identity provider refused this credential before, so it was not sent again'],
    [
      'blocked',
      json(403, {}),
      'the last response to this credential was HTTP 401 or 403 without an OAuth error, so it was not sent again yet',
    ],
  ] as const)('a withheld credential has the kind of the refusal: %s', async (kind, answer, detail) => {
    const { sources, attempt } = setUp();
    sources.next = undefined;
    server.fault = answer;
    const first = failureOf(await attempt());
    expect(first).toMatchObject({ kind, refusal: { isWithheld: false } });
    const { delayMs, halted, isConfirmed } = first.refusal!;
    const refused = { delayMs, halted, isConfirmed, isWithheld: true };
    expect(failureOf(await attempt())).toEqual({ kind, detail, refusal: refused });
    expect(server.requests).toHaveLength(1);
  });

  it('without an OAuth error the kind follows the quarantine', async () => {
    const { sources, attempt } = setUp({ maxRefusals: 1 });
    sources.next = undefined;
    server.fault = json(403, {});
    expect(failureOf(await attempt())).toMatchObject({ kind: 'credential', refusal: { halted: true } });
  });

  it('the credential waits for as long as the server asks', async () => {
    const { attempt } = setUp();
    server.fault = json(401, { error: 'invalid_client' }, { 'retry-after': '600' });
    expect(failureOf(await attempt()).refusal?.delayMs).toBe(600_000);
  });

  it('an acceptance ends the count', async () => {
    const { clock, sources, attempt } = setUp({ maxRefusals: 2 });
    sources.next = undefined;
    for (const answer of [refusal, undefined, refusal]) {
      server.fault = answer;
      const result = await attempt();
      if (!result.ok) expect(result.failure.refusal?.halted).toBe(false);
      await clock.advance(60_000);
    }
    expect(server.requests).toHaveLength(3);
  });
});

describe('the quarantine of a credential', () => {
  test.each([
    ['another client', 'server', 'other'],
    ['another server', 'other', 'client'],
    ['a client and a server with the same letters in a row', 'serverc', 'lient'],
  ])('does not extend to %s', async (_, serverName, clientId) => {
    const clock = new ManualClock();
    const quarantine = new CredentialQuarantine(clock, () => 0);
    const one = setUp({ clock, quarantine, serverName: 'server', clientId: 'client' });
    const other = setUp({ clock, quarantine, serverName, clientId });
    server.fault = refusal;
    await one.attempt();
    server.fault = undefined;
    expect((await other.attempt()).ok).toBe(true);
    expect(failureOf(await one.attempt()).refusal?.isWithheld).toBe(true);
  });

  it('is reset for this client alone', async () => {
    const clock = new ManualClock();
    const quarantine = new CredentialQuarantine(clock, () => 0);
    const [one, longer, shorter] = ['client', 'clients', 'c'].map((clientId) => setUp({ clock, quarantine, clientId }));
    server.fault = refusal;
    for (const { attempt } of [one!, longer!, shorter!]) await attempt();
    server.fault = undefined;
    one!.requester.resetQuarantine();
    expect((await one!.attempt()).ok).toBe(true);
    expect(failureOf(await longer!.attempt()).refusal?.isWithheld).toBe(true);
    expect(failureOf(await shorter!.attempt()).refusal?.isWithheld).toBe(true);
  });

  it('lets one request at a time send it, and no response is due for the others', async () => {
    const { clock, attempt } = setUp();
    server.fault = silence;
    const controller = new AbortController();
    const first = tryProgress(clock.now());
    const aborted = attempt({ progress: first, signal: controller.signal });
    await until(() => server.requests.length === 1);
    expect([first.isSent, first.silentSince]).toEqual([true, clock.now()]);
    const waiting = tryProgress(clock.now());
    const result = attempt({ progress: waiting });
    await until(() => waiting.silentSince === undefined);
    expect([waiting.isSent, waiting.credentialKey]).toEqual([false, undefined]);
    server.fault = undefined;
    await clock.advance(1000);
    controller.abort(new Error('over'));
    await aborted;
    expect((await result).ok).toBe(true);
    expect(waiting).toMatchObject({ silentSince: clock.now(), isSent: false, credentialKey: undefined });
  });
});

describe('a second try', () => {
  /** Starts a try that the server does not respond to, and returns its progress. */
  async function silentTry({ clock, attempt }: ReturnType<typeof setUp>) {
    server.fault = silence;
    const before = server.requests.length;
    const controller = new AbortController();
    const progress = tryProgress(clock.now());
    progress.abort = () => controller.abort(new Error('superseded'));
    const result = attempt({ progress, signal: controller.signal });
    await until(() => server.requests.length === before + 1);
    return { progress, result, controller };
  }

  it('takes the place of the first if the credential was never accepted, and both count', async () => {
    const system = setUp({ maxRefusals: 2 });
    const first = await silentTry(system);
    expect(first.progress.second).toBe('instead');
    server.fault = refusal;
    system.sources.next = undefined;
    const second = failureOf(await system.attempt({ progress: tryProgress(system.clock.now(), first.progress) }));
    expect(first.progress.isSuperseded).toBe(true);
    expect(failureOf(await first.result).cause).toEqual(new Error('superseded'));
    expect(second).toMatchObject({ kind: 'credential', refusal: { halted: true } });
  });

  it('counts without a refusal too, because the response may be lost', async () => {
    const system = setUp({ maxRefusals: 3 });
    system.sources.next = undefined;
    const first = await silentTry(system);
    server.fault = json(503, {});
    const second = await system.attempt({ progress: tryProgress(system.clock.now(), first.progress) });
    expect(failureOf(second).kind).toBe('transient');
    server.fault = refusal;
    expect(failureOf(await system.attempt()).refusal?.halted).toBe(true);
  });

  it('leaves the first one alone if the credential was accepted before, and a refusal counts for both', async () => {
    const system = setUp({ maxRefusals: 2 });
    system.sources.next = undefined;
    await system.attempt();
    await system.clock.advance(60_000);
    const first = await silentTry(system);
    expect(first.progress.second).toBe('beside');
    server.fault = refusal;
    const second = await system.attempt({ progress: tryProgress(system.clock.now(), first.progress) });
    expect(first.progress).toMatchObject({ isSuperseded: false, isSent: true });
    expect(failureOf(second).refusal?.halted).toBe(true);
    first.controller.abort();
    await first.result;
  });

  it('counts a failure of an accepted credential for none', async () => {
    const system = setUp({ maxRefusals: 2 });
    system.sources.next = undefined;
    await system.attempt();
    const first = await silentTry(system);
    server.fault = json(503, {});
    await system.attempt({ progress: tryProgress(system.clock.now(), first.progress) });
    first.controller.abort();
    await first.result;
    server.fault = refusal;
    expect(failureOf(await system.attempt()).refusal?.halted).toBe(false);
  });

  it('with another credential leaves the first one alone', async () => {
    const system = setUp();
    const first = await silentTry(system);
    system.sources.current = 'rotated-secret';
    server.fault = undefined;
    const second = await system.attempt({ progress: tryProgress(system.clock.now(), first.progress) });
    expect([second.ok, first.progress.isSuperseded]).toEqual([true, false]);
    first.controller.abort();
    await first.result;
  });

  it('is the reason to count an aborted request: a timeout is none', async () => {
    const system = setUp({ maxRefusals: 2 });
    system.sources.next = undefined;
    const first = await silentTry(system);
    first.controller.abort();
    await first.result;
    server.fault = refusal;
    expect(failureOf(await system.attempt()).refusal?.halted).toBe(false);
  });
});

describe('an assertion that has an end', () => {
  const assertionUntil = (clock: ManualClock, ms: number) =>
    new UnsecuredJWT({ sub: 'machine', exp: (clock.now().wallMs + ms) / 1000 }).encode();

  test.each([
    [1000, true],
    [0, false],
    [-1000, false],
  ])('is sent before it and not from it on, as client authentication: %d ms before, %s', async (ms, isSent) => {
    const clock = new ManualClock();
    const { attempt } = setUp({ clock, authentication: federatedAssertion(() => assertionUntil(clock, ms)) });
    const result = await attempt();
    expect([result.ok, server.requests.length]).toEqual([isSent, isSent ? 1 : 0]);
  });

  test.each([
    [1000, true],
    [0, false],
    [-1000, false],
  ])('is sent before it and not from it on, as a grant: %d ms before, %s', async (ms, isSent) => {
    const clock = new ManualClock();
    const { attempt } = setUp({ clock, grant: jwtBearer(() => assertionUntil(clock, ms)) });
    const result = await attempt();
    expect([result.ok, server.requests.length]).toEqual([isSent, isSent ? 1 : 0]);
  });

  it('fails as in an outage after it, which names the end', async () => {
    const clock = new ManualClock();
    const { attempt } = setUp({ clock, grant: jwtBearer(() => assertionUntil(clock, -1000)) });
    expect(failureOf(await attempt())).toEqual({
      kind: 'transient',
      detail: 'the assertion of this client expired at 2029-12-31T23:59:59.000Z, so it was not sent',
    });
  });
});

describe('the clock of a server', () => {
  const minutes = (m: number) => m * 60_000;

  /** A client whose authentication has a time, and whose grant has an assertion that ends after a time. */
  function timedClient(endsAfterMs = minutes(60)) {
    const clock = new ManualClock();
    const assertion = new UnsecuredJWT({ exp: (clock.now().wallMs + endsAfterMs) / 1000 }).encode();
    const authentication = clientSecretAuthentication('client_secret_jwt', toSecretSource(LONG_SECRET));
    const system = setUp({ clock, authentication, grant: jwtBearer(() => assertion) });
    /** Makes an attempt that is refused by a server whose clock is ahead by a time. */
    const refusedBy = async (aheadMs: number) => {
      const date = new Date(clock.now().wallMs + aheadMs).toUTCString();
      server.fault = json(401, { error: 'invalid_client' }, { date });
      return failureOf(await system.attempt()).refusal?.clockSkewMs;
    };
    const sentTime = () => decodeJwt(bodyOf(server.requests.at(-1)!).client_assertion!).iat! * 1000;
    return { ...system, refusedBy, sentTime };
  }

  test.each([minutes(5), -minutes(5), 31_000, -31_000])('counts from a refusal on if it is %d ms ahead', async (ms) => {
    const { clock, requester, attempt, refusedBy, sentTime } = timedClient();
    expect(await refusedBy(ms)).toBe(ms);
    expect(sentTime()).toBe(clock.now().wallMs);
    await clock.advance(30_000);
    server.fault = undefined;
    expect((await attempt()).ok).toBe(true);
    expect(sentTime()).toBe(clock.now().wallMs + ms);
    expect((await requester.readUsableCredential())?.serverNow).toEqual(new Date(clock.now().wallMs + ms));
  });

  test.each([30_000, -30_000, 0])('does not count if it is only %d ms ahead', async (ms) => {
    const { clock, attempt, refusedBy, sentTime } = timedClient();
    expect(await refusedBy(ms)).toBeUndefined();
    await clock.advance(30_000);
    server.fault = undefined;
    await attempt();
    expect(sentTime()).toBe(clock.now().wallMs);
  });

  test.each<[string, Answer]>([
    [
      'the right time',
      (...args) =>
        json(401, { error: 'invalid_client' }, { date: new Date('2030-01-01T00:00:30Z').toUTCString() })(...args),
    ],
    [
      'no time',
      (request, response, message) => {
        response.sendDate = false;
        return refusal(request, response, message);
      },
    ],
  ])('does not count any longer after a refusal with %s', async (_, answer) => {
    const { clock, attempt, refusedBy, sentTime } = timedClient();
    await refusedBy(minutes(5));
    await clock.advance(30_000);
    server.fault = answer;
    expect(failureOf(await attempt()).refusal).toMatchObject({ isWithheld: false, clockSkewMs: undefined });
    await clock.advance(60_000);
    await attempt();
    expect(server.requests).toHaveLength(3);
    expect(sentTime()).toBe(clock.now().wallMs);
  });

  it('does not count for a credential without a time', async () => {
    const { attempt, clock } = setUp();
    server.fault = json(
      401,
      { error: 'invalid_client' },
      { date: new Date(clock.now().wallMs + minutes(5)).toUTCString() },
    );
    expect(failureOf(await attempt()).refusal).toMatchObject({ isWithheld: false, clockSkewMs: undefined });
  });

  it('ends an assertion early if it is ahead', async () => {
    const { clock, attempt, refusedBy } = timedClient(minutes(4));
    await refusedBy(minutes(5));
    await clock.advance(30_000);
    server.fault = undefined;
    expect(failureOf(await attempt())).toMatchObject({
      kind: 'transient',
      detail: expect.stringContaining('expired at'),
    });
    expect(server.requests).toHaveLength(1);
  });

  it('does not end an assertion early if it is behind', async () => {
    const { clock, attempt, refusedBy } = timedClient(minutes(1));
    await refusedBy(-minutes(5));
    await clock.advance(minutes(2));
    server.fault = undefined;
    expect((await attempt()).ok).toBe(true);
  });
});

describe('the credential for other requests', () => {
  it('is the first one that can be read', async () => {
    const { clock, requester, sources } = setUp();
    const usable = await requester.readUsableCredential();
    expect(usable?.credential.fingerprint).toBe(fingerprint(SECRETS.current));
    expect(usable?.serverNow).toEqual(new Date(clock.now().wallMs));
    sources.current = undefined;
    expect((await requester.readUsableCredential())?.credential.fingerprint).toBe(fingerprint(SECRETS.next));
    sources.next = undefined;
    expect(await requester.readUsableCredential()).toBeUndefined();
  });

  it('is the last accepted one, and never a refused one', async () => {
    const { clock, requester, attempt } = setUp();
    server.fault = accepting(SECRETS.next);
    await attempt();
    await clock.advance(60_000);
    expect((await requester.readUsableCredential())?.credential.fingerprint).toBe(fingerprint(SECRETS.next));
    server.fault = accepting();
    await attempt();
    expect(await requester.readUsableCredential()).toBeUndefined();
    await clock.advance(30_000);
    expect((await requester.readUsableCredential())?.credential.fingerprint).toBe(fingerprint(SECRETS.next));
  });
});

import { generateKeyPairSync } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it, test } from '@jest/globals';
import { jwtVerify } from 'jose';
import {
  type ClientOptions,
  ClientRejectedError,
  fromEnv,
  fromFile,
  genericOAuth2,
  type OutboundEvent,
  privateKeyJwt,
  type TokenProvider,
  TokenRequestRejectedError,
} from 'nestjs-identity-m2m';
import { startApplication, type TestApplication } from './support/application.js';
import { json, type ReceivedRequest, TestServer } from './support/http-server.js';
import { ManualClock } from 'nestjs-identity-m2m/testing';

let directory: string;
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'm2m-'));
});
afterAll(() => rm(directory, { recursive: true }));

const closing: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  await Promise.all(closing.splice(0).map((close) => close()));
});

/** A token endpoint that accepts some secrets, and writes down all that it is shown. */
async function tokenEndpoint(...accepted: string[]) {
  const shown: string[] = [];
  const server = await TestServer.start((request, ...rest) => {
    const secret = secretOf(request);
    shown.push(secret);
    return accepted.includes(secret)
      ? json(200, { access_token: `token-${shown.length}`, token_type: 'Bearer', expires_in: 3600 })(request, ...rest)
      : json(401, { error: 'invalid_client' })(request, ...rest);
  });
  closing.push(() => server.close());
  return { server, shown, accepted, identityProvider: genericOAuth2({ tokenEndpoint: server.url }) };
}

function secretOf({ headers }: ReceivedRequest): string {
  const [, secret] = Buffer.from(headers.authorization!.slice('Basic '.length), 'base64').toString('utf8').split(':');
  return new URLSearchParams(`secret=${secret}`).get('secret')!;
}

/** A clock that a test moves; it waits until no token request of these applications is under way. */
function manualClock(): ManualClock & { attached: TokenProvider[] } {
  const attached: TokenProvider[] = [];
  const settle = async () => {
    do await new Promise(setImmediate);
    while (attached.some((provider) => provider.status().refreshing));
  };
  return Object.assign(new ManualClock(undefined, settle), { attached });
}

async function start(
  clients: Record<string, ClientOptions>,
  clock?: ReturnType<typeof manualClock>,
): Promise<TestApplication> {
  const application = await startApplication({ clients }, clock);
  clock?.attached.push(...Object.keys(clients).map((name) => application.providerOf(name)));
  closing.push(() => application.module.close());
  return application;
}

/** An application with one client. */
async function startOne(client: ClientOptions, clock?: ReturnType<typeof manualClock>) {
  const application = await start({ only: client }, clock);
  return { ...application, provider: application.providerOf('only') };
}

/** Gets a token for each of the secrets in turn, changing it in between, and tells what the endpoint was shown. */
async function shownFor(clientSecret: ClientOptions['clientSecret'], change: ((n: number) => unknown)[]) {
  const { identityProvider, shown } = await tokenEndpoint('one', 'two', ' two ', 'two\n');
  await change[0]!(0);
  const { provider } = await startOne({ identityProvider, clientId: 'a', clientSecret });
  let token = await provider.getToken();
  for (const next of change.slice(1)) {
    await next(0);
    token = (await provider.renewToken(token))!;
  }
  return shown;
}

describe('a secret', () => {
  it('is read from the environment for each token request', async () => {
    const set = (value: string) => () => (process.env.M2M_TEST_SECRET = value);
    try {
      expect(await shownFor(fromEnv('M2M_TEST_SECRET'), [set('one'), set('two')])).toEqual(['one', 'two']);
    } finally {
      delete process.env.M2M_TEST_SECRET;
    }
  });

  it('is read from its file for each token request, without line breaks at its end', async () => {
    const path = join(directory, 'secret');
    const write = (text: string) => () => writeFile(path, text);
    const written = [write('one\n'), write('two\r\n'), write('two'), write(' two \n'), write('two\n\n')];
    expect(await shownFor(fromFile(path), written)).toEqual(['one', 'two', 'two', ' two ', 'two']);
  });

  it('comes from a function, which may be asynchronous, for each token request', async () => {
    let secret = '';
    const set = (value: string) => () => (secret = value);
    expect(await shownFor(() => secret, [set('one'), set('two')])).toEqual(['one', 'two']);
    const vault = async () => {
      await new Promise(setImmediate);
      return secret;
    };
    expect(await shownFor(vault, [set('one'), set('two')])).toEqual(['one', 'two']);
  });

  it('may be late: its file is missing at boot, and read once it is mounted', async () => {
    const clock = manualClock();
    const { identityProvider, shown } = await tokenEndpoint('one');
    const path = join(directory, 'late');
    const client = { identityProvider, clientId: 'a', clientSecret: fromFile(path), acquireTimeoutMs: 400 };
    const { provider } = await startOne(client, clock);
    await expect(provider.getToken()).rejects.toMatchObject({ reason: 'outage', cause: { code: 'ENOENT' } });
    await writeFile(path, 'one');
    await clock.advance(2000);
    expect((await provider.getToken()).reveal()).toBe('token-1');
    expect(shown).toEqual(['one']);
  });

  test.each<[string, NonNullable<ClientOptions['clientSecret']>]>([
    ['a file without end', fromFile('/dev/zero')],
    ['a directory', fromFile(tmpdir())],
    ['a function that fails', () => Promise.reject(new Error('403 at https://vault.example/?token=s3cret'))],
    ['a function that throws', () => JSON.parse('{s3cret') as string],
    ['a function that returns no text', () => ({ secret: 's3cret' }) as never],
    ['a function that returns nothing', () => undefined as never],
    ['an empty text', () => ''],
    ['an empty file', fromFile('/dev/null')],
  ])('is not available from %s: an outage, which shows no value and sends no request', async (_name, clientSecret) => {
    const { identityProvider, shown } = await tokenEndpoint('one');
    const { provider } = await startOne({ identityProvider, clientId: 'a', clientSecret, acquireTimeoutMs: 400 });
    const error: unknown = await provider.getToken().catch((error: unknown) => error);
    expect(error).toMatchObject({ code: 'M2M_TOKEN_UNAVAILABLE', reason: 'outage', cause: expect.anything() });
    expect(String(error)).toContain('the credential could not be read');
    expect(String(error)).not.toContain('s3cret');
    expect(shown).toEqual([]);
  });

  it('is requested again after the vault has failed, by the schedule of an outage', async () => {
    const clock = manualClock();
    const { identityProvider } = await tokenEndpoint('one');
    let reads = 0;
    let isDown = true;
    const vault = async () => {
      reads++;
      if (isDown) throw new Error('the vault is sealed');
      return 'one';
    };
    const { provider } = await startOne({ identityProvider, clientId: 'a', clientSecret: vault }, clock);
    for (let second = 0; second < 60; second++) {
      provider.getToken().catch(() => {});
      await clock.advance(1000);
    }
    expect(reads).toBeGreaterThan(3);
    expect(reads).toBeLessThan(10);
    isDown = false;
    await clock.advance(60_000);
    await expect(provider.getToken()).resolves.toBeDefined();
  });

  it('does not hold up a call forever if the vault hangs, and is requested again', async () => {
    const clock = new ManualClock();
    const { identityProvider, shown } = await tokenEndpoint('one');
    let reads = 0;
    const vault = () => (++reads <= 2 ? new Promise<string>(() => {}) : 'one');
    const { module, provider } = await startOneWith(clock, { identityProvider, clientId: 'a', clientSecret: vault });
    const call = provider.getToken().catch((error: unknown) => error);
    await clock.advance(5000);
    expect(await call).toMatchObject({ reason: 'wait_timeout' });
    await clock.advance(6667);
    expect(provider.status()).toMatchObject({ refreshing: false, lastError: { reason: 'outage' } });
    await clock.advance(2000);
    expect((await provider.getToken()).reveal()).toBe('token-1');
    expect([reads, shown.length]).toEqual([3, 1]);
    await module.close();
  });

  it('is read once more if the vault hangs once, in time for the waiting callers', async () => {
    const clock = new ManualClock();
    const { identityProvider, shown } = await tokenEndpoint('one');
    let reads = 0;
    const vault = () => (++reads === 1 ? new Promise<string>(() => {}) : 'one');
    const { module, provider } = await startOneWith(clock, { identityProvider, clientId: 'a', clientSecret: vault });
    const call = provider.getToken();
    await clock.advance(1667);
    expect((await call).reveal()).toBe('token-1');
    expect([reads, shown.length, clock.now().monotonicMs]).toEqual([2, 1, 1667]);
    await module.close();
  });

  it('may be slow: callers wait, and share the wait', async () => {
    const { identityProvider, shown } = await tokenEndpoint('one');
    let reads = 0;
    const vault = () => new Promise<string>((resolve) => setTimeout(() => resolve('one'), 50 * ++reads));
    const { provider } = await startOne({ identityProvider, clientId: 'a', clientSecret: vault });
    await Promise.all(Array.from({ length: 100 }, () => provider.getToken()));
    expect([reads, shown.length]).toEqual([1, 1]);
  });
});

/** For what never settles: a clock that does not wait for token requests. */
async function startOneWith(clock: ManualClock, client: ClientOptions) {
  const application = await startApplication({ client }, clock);
  closing.push(() => application.module.close());
  return application;
}

describe('a secret that is being rotated', () => {
  const typesOf = (events: OutboundEvent[]) => events.map(({ type }) => type);

  it('is replaced by the next one, which is tried first from then on', async () => {
    const clock = manualClock();
    const { identityProvider, shown, accepted } = await tokenEndpoint('old');
    const clientSecret = { current: 'old', next: 'new' };
    const { provider, events: all } = await startOne({ identityProvider, clientId: 'a', clientSecret }, clock);
    const first = await provider.getToken();
    accepted.splice(0, 1, 'new');
    const second = await provider.renewToken(first);
    // The quarantine of the first one is over by then.
    await clock.advance(60_000);
    const third = await provider.renewToken(second!);
    expect(third!.reveal()).toBe('token-4');
    expect(shown).toEqual(['old', 'old', 'new', 'new']);
    const events = all.filter(({ type }) => type !== 'client.warning');
    expect(typesOf(events)).toEqual(['token.acquired', 'credential.rotated', 'token.refreshed', 'token.refreshed']);
    const rotated = events[1] as Extract<OutboundEvent, { type: 'credential.rotated' }>;
    expect(rotated.fingerprint).not.toBe(rotated.previousFingerprint);
    expect(JSON.stringify(events)).not.toMatch(/"(?:old|new)"/);
  });

  it('may have no next one yet', async () => {
    const { identityProvider, shown, accepted } = await tokenEndpoint('old');
    const path = join(directory, 'next');
    const clientSecret = { current: 'old', next: fromFile(path) };
    const { provider } = await startOne({ identityProvider, clientId: 'a', clientSecret });
    const token = await provider.getToken();
    await writeFile(path, 'new');
    accepted.splice(0, 1, 'new');
    await expect(provider.renewToken(token)).resolves.toBeDefined();
    expect(shown).toEqual(['old', 'old', 'new']);
  });

  it('is not held up by a next one that never arrives, and replaced by it once it does', async () => {
    const { identityProvider, shown, accepted } = await tokenEndpoint('old');
    let isThere = false;
    const next = () => (isThere ? 'new' : new Promise<string>(() => {}));
    const { provider } = await startOne({ identityProvider, clientId: 'a', clientSecret: { current: 'old', next } });
    const token = await provider.getToken();
    accepted.splice(0, 1, 'new');
    isThere = true;
    await expect(provider.renewToken(token)).resolves.toBeDefined();
    expect(shown).toEqual(['old', 'old', 'new']);
  });

  it('causes one refusal each if neither is right', async () => {
    const clock = manualClock();
    const { identityProvider, shown } = await tokenEndpoint();
    const clientSecret = { current: 'old', next: 'new' };
    const { provider } = await startOne({ identityProvider, clientId: 'a', clientSecret }, clock);
    for (let second = 0; second < 25; second++) {
      await expect(provider.getToken()).rejects.toBeInstanceOf(ClientRejectedError);
      await clock.advance(1000);
    }
    expect(shown).toEqual(['old', 'new']);
  });

  it('is not sent twice if the next one is the same', async () => {
    const { identityProvider, shown } = await tokenEndpoint();
    const clientSecret = { current: 'same', next: () => 'same' };
    const { provider } = await startOne({ identityProvider, clientId: 'a', clientSecret });
    await expect(provider.getToken()).rejects.toBeInstanceOf(ClientRejectedError);
    expect(shown).toEqual(['same']);
  });

  it('is read once more when it is refused, and sent once more only if it has changed', async () => {
    const { identityProvider, shown } = await tokenEndpoint('new');
    let reads = 0;
    const { provider } = await startOne({ identityProvider, clientId: 'a', clientSecret: () => (reads++, 'old') });
    await expect(provider.getToken()).rejects.toBeInstanceOf(ClientRejectedError);
    expect([reads, shown]).toEqual([2, ['old']]);
    const secrets = ['old', 'new'];
    const other = await startOne({ identityProvider, clientId: 'b', clientSecret: () => secrets.shift()! });
    await expect(other.provider.getToken()).resolves.toBeDefined();
    expect(shown).toEqual(['old', 'old', 'new']);
  });
});

describe('a rejected credential', () => {
  const SCOPES = Array.from({ length: 20 }, (_, index) => `scope-${index}`);

  it('causes one failed login, however many scopes and audiences are requested at once', async () => {
    const { identityProvider, shown } = await tokenEndpoint();
    const { provider, events } = await startOne({ identityProvider, clientId: 'a', clientSecret: 'wrong' });
    const calls = [
      ...SCOPES.map((scope) => provider.getToken({ scope })),
      ...SCOPES.map((audience) => provider.getToken({ audience })),
      provider.getToken(),
    ];
    for (const result of await Promise.allSettled(calls)) {
      expect(result).toMatchObject({ reason: { code: 'M2M_CLIENT_REJECTED', halted: false } });
    }
    expect(shown).toEqual(['wrong']);
    expect(events.filter(({ type }) => type === 'credential.quarantined')).toHaveLength(1);
  });

  it('counts once if it worked before and many concurrent token requests are refused', async () => {
    const clock = manualClock();
    const { identityProvider, shown, accepted } = await tokenEndpoint('secret');
    const { provider, events } = await startOne({ identityProvider, clientId: 'a', clientSecret: 'secret' }, clock);
    const tokens = await Promise.all(SCOPES.map((scope) => provider.getToken({ scope })));
    accepted.length = 0;
    await Promise.all(SCOPES.map((scope, index) => provider.renewToken(tokens[index]!, { scope })));
    expect(shown).toHaveLength(40);
    expect(events.filter((event) => 'halted' in event && event.halted)).toEqual([]);
    // What follows is the second step of the quarantine, after the first step's 30 s.
    accepted.push('secret');
    await clock.advance(42_000);
    await expect(provider.getToken()).resolves.toBeDefined();
  });

  it('causes one failed login if it worked before, however many token requests are concurrent', async () => {
    const clock = manualClock();
    const { identityProvider, shown, accepted } = await tokenEndpoint('secret');
    const { provider } = await startOne({ identityProvider, clientId: 'a', clientSecret: 'secret' }, clock);
    const tokens = await Promise.all(SCOPES.map((scope) => provider.getToken({ scope })));
    accepted.length = 0;
    await clock.advance(5000);
    await Promise.all(SCOPES.map((scope, index) => provider.renewToken(tokens[index]!, { scope })));
    expect(shown).toHaveLength(SCOPES.length + 1);
  });

  it('is sent at once for other tokens if it worked before and a server does not answer', async () => {
    const clock = new ManualClock();
    const hanging = new Set<string>();
    const server = await TestServer.start((request, ...rest) => {
      const scope = new URLSearchParams(request.body).get('scope') ?? '';
      if (hanging.has(scope)) return;
      return json(200, { access_token: scope, token_type: 'Bearer', expires_in: 10 })(request, ...rest);
    });
    closing.push(() => server.close());
    const identityProvider = genericOAuth2({ tokenEndpoint: server.url });
    const { provider } = await startOneWith(clock, { identityProvider, clientId: 'a', clientSecret: 'secret' });
    await Promise.all(SCOPES.map((scope) => provider.getToken({ scope })));
    await clock.advance(20_000);
    hanging.add(SCOPES[0]!);
    const calls = SCOPES.map((scope) => provider.getToken({ scope }).catch((error: unknown) => error));
    while (server.requests.length <= SCOPES.length) await new Promise(setImmediate);
    await clock.advance(2000);
    for (const [index, call] of calls.entries()) if (index > 0) expect(await call).not.toBeInstanceOf(Error);
    await clock.advance(3000);
    expect(await calls[0]).toMatchObject({ reason: 'wait_timeout' });
  });

  it('waits for the first outcome, and then all requests are sent at once if it is valid', async () => {
    const { identityProvider, shown } = await tokenEndpoint('secret');
    const { provider } = await startOne({ identityProvider, clientId: 'a', clientSecret: 'secret' });
    const tokens = await Promise.all(SCOPES.map((scope) => provider.getToken({ scope })));
    expect(new Set(tokens.map((token) => token.reveal())).size).toBe(SCOPES.length);
    expect(shown).toHaveLength(SCOPES.length);
  });

  it('does not wait forever for an outcome that never arrives', async () => {
    const clock = new ManualClock();
    let isHanging = true;
    const server = await TestServer.start(json(200, { access_token: 't', token_type: 'Bearer', expires_in: 60 }));
    closing.push(() => server.close());
    const signer = {
      algorithm: 'ES256',
      keyId: 'k',
      sign: () => (isHanging ? new Promise<Uint8Array>(() => {}) : new Uint8Array(64)),
    };
    const { provider } = await startOneWith(clock, {
      identityProvider: genericOAuth2({ tokenEndpoint: server.url }),
      clientId: 'a',
      clientAuthentication: privateKeyJwt({ key: signer }),
    });
    const calls = SCOPES.map((scope) => provider.getToken({ scope }).catch((error: unknown) => error));
    await clock.advance(10_000);
    for (const call of calls) expect(await call).toMatchObject({ reason: 'wait_timeout' });
    isHanging = false;
    // A second attempt began after 1.7 s, and has 10 s as well.
    await clock.advance(3000);
    await expect(Promise.all(SCOPES.map((scope) => provider.getToken({ scope })))).resolves.toHaveLength(20);
  });

  it('is held back by every client that has it, and by no other', async () => {
    const clock = manualClock();
    const [one, other] = [await tokenEndpoint(), await tokenEndpoint()];
    const { identityProvider } = one;
    const wrong = { identityProvider, clientId: 'a', clientSecret: 'wrong' };
    const application = await start(
      {
        first: wrong,
        second: { ...wrong, scope: 'other' },
        otherId: { ...wrong, clientId: 'b' },
        otherServer: { ...wrong, identityProvider: other.identityProvider },
        otherSecret: { ...wrong, clientSecret: 'also wrong' },
      },
      clock,
    );
    for (const name of ['first', 'second', 'second', 'otherId', 'otherServer', 'otherSecret']) {
      await expect(application.providerOf(name).getToken()).rejects.toBeInstanceOf(ClientRejectedError);
    }
    expect(one.shown).toEqual(['wrong', 'wrong', 'also wrong']);
    expect(other.shown).toEqual(['wrong']);
    const secretOfAny = JSON.stringify(application.events);
    expect(secretOfAny).not.toContain('wrong"');
  });

  it('is released as soon as another one is available, whatever is left of the quarantine', async () => {
    const clock = manualClock();
    const { identityProvider, shown } = await tokenEndpoint('right');
    let secret = 'wrong';
    const quarantine = { maxRefusals: 1 };
    const { provider } = await startOne(
      { identityProvider, clientId: 'a', clientSecret: () => secret, quarantine },
      clock,
    );
    await expect(provider.getToken()).rejects.toMatchObject({ halted: true });
    secret = 'right';
    await clock.advance(5000);
    await expect(provider.getToken()).resolves.toBeDefined();
    expect(shown).toEqual(['wrong', 'right']);
  });

  it('is released by retryNow() for every scope, and its refusals are reset', async () => {
    const clock = manualClock();
    const { identityProvider, shown, accepted } = await tokenEndpoint();
    const quarantine = { maxRefusals: 2 };
    const { provider } = await startOne({ identityProvider, clientId: 'a', clientSecret: 'secret', quarantine }, clock);
    await expect(provider.getToken()).rejects.toMatchObject({ halted: false });
    await expect(provider.getToken({ scope: 'x' })).rejects.toBeInstanceOf(ClientRejectedError);
    provider.retryNow();
    await expect(provider.getToken()).rejects.toMatchObject({ halted: false });
    expect(shown).toHaveLength(2);
    accepted.push('secret');
    provider.retryNow();
    await expect(provider.getToken({ scope: 'x' })).resolves.toBeDefined();
    await expect(provider.getToken()).resolves.toBeDefined();
  });

  /** Somebody calls every minute; how often the credential was shown after so many hours. */
  async function shownAfter(hours: number, quarantine?: ClientOptions['quarantine']) {
    const clock = manualClock();
    const { identityProvider, shown } = await tokenEndpoint();
    const client = { identityProvider, clientId: 'a', clientSecret: 'wrong', ...(quarantine && { quarantine }) };
    const { provider, events } = await startOne(client, clock);
    for (let minute = 0; minute < hours * 60; minute++) {
      await expect(provider.getToken()).rejects.toBeInstanceOf(ClientRejectedError);
      await clock.advance(60_000);
    }
    return {
      times: shown.length,
      halted: events.flatMap((event) => ('halted' in event ? event.halted : [])),
      provider,
    };
  }

  it('is halted after 5 refusals, and probed once an hour', async () => {
    const { times, halted } = await shownAfter(4);
    expect(times).toBe(8);
    expect(halted).toEqual([false, false, false, false, true, true, true, true]);
  });

  it('is not probed if that is turned off', async () => {
    const { times, provider } = await shownAfter(3, { maxRefusals: 1, probeSeconds: 0 });
    expect(times).toBe(1);
    expect(provider.status().lastError).toMatchObject({ halted: true, retryAt: undefined });
  });
});

describe('an assertion, if the clocks differ', () => {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const HOUR = 3_600_000;

  /** A token endpoint whose clock is ahead of the client's, and which refuses assertions that are not of its time. */
  async function withServerAhead(aheadMs: number, clock: ManualClock, client: Partial<ClientOptions> = {}) {
    const serverTime = { aheadMs };
    const server = await TestServer.start(async (request, ...rest) => {
      const now = new Date(clock.now().wallMs + serverTime.aheadMs);
      const assertion = new URLSearchParams(request.body).get('client_assertion') ?? '';
      const isGood = await jwtVerify(assertion, publicKey, { currentDate: now, clockTolerance: 5 }).then(
        () => true,
        () => false,
      );
      return isGood
        ? json(200, { access_token: 't', token_type: 'Bearer', expires_in: 600 })(request, ...rest)
        : json(401, { error: 'invalid_client' }, { date: now.toUTCString() })(request, ...rest);
    });
    closing.push(() => server.close());
    const application = await startOne(
      {
        identityProvider: genericOAuth2({ tokenEndpoint: server.url }),
        clientId: 'a',
        clientAuthentication: privateKeyJwt({ key: privateKey }),
        ...client,
      },
      clock as ReturnType<typeof manualClock>,
    );
    const skews = () =>
      application.events.flatMap((event) => (event.type === 'client.clock_skew' ? event.clockSkewMs : []));
    return { ...application, server, serverTime, skews };
  }

  test.each([HOUR, -HOUR])('is refused once, and then uses the server’s clock: %d ms', async (aheadMs) => {
    const clock = manualClock();
    const { provider, skews, server } = await withServerAhead(aheadMs, clock);
    await expect(provider.getToken()).rejects.toBeInstanceOf(ClientRejectedError);
    expect(skews()).toEqual([aheadMs]);
    await clock.advance(37_000);
    await expect(provider.getToken()).resolves.toBeDefined();
    expect(server.requests).toHaveLength(2);
  });

  it('uses its own clock again once that is corrected', async () => {
    const clock = manualClock();
    const { provider, serverTime } = await withServerAhead(HOUR, clock);
    await expect(provider.getToken()).rejects.toBeInstanceOf(ClientRejectedError);
    await clock.advance(37_000);
    const token = await provider.getToken();
    clock.setWallClock(new Date(clock.now().wallMs + HOUR));
    serverTime.aheadMs = 0;
    await provider.renewToken(token).catch(() => {});
    await clock.advance(37_000);
    await expect(provider.getToken()).resolves.toBeDefined();
  });

  it('does not count as late if the clocks agree, nor does a secret, which has no time', async () => {
    const clock = manualClock();
    const own = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    const wrongKey = privateKeyJwt({ key: own.privateKey });
    const agreeing = await withServerAhead(10_000, clock, { clientAuthentication: wrongKey });
    await expect(agreeing.provider.getToken()).rejects.toBeInstanceOf(ClientRejectedError);
    const bySecret = await withServerAhead(HOUR, clock, {
      clientAuthentication: 'client_secret_post',
      clientSecret: 's',
    });
    await expect(bySecret.provider.getToken()).rejects.toBeInstanceOf(ClientRejectedError);
    expect([...agreeing.skews(), ...bySecret.skews()]).toEqual([]);
  });
});

describe('a token request that is wrong', () => {
  test.each<[string, Parameters<typeof json>]>([
    ['invalid_scope', [400, { error: 'invalid_scope', error_description: 'no such scope: wrong' }]],
    ['invalid_target', [400, { error: 'invalid_target' }]],
    ['invalid_request', [400, { error: 'invalid_request' }]],
    ['unsupported_grant_type', [400, { error: 'unsupported_grant_type' }]],
    ['redirect', [302, {}, { location: '/elsewhere' }]],
    ['token_type', [200, { access_token: 't', token_type: 'mac', expires_in: 60 }]],
  ])('is a typed error that names what was found: %s', async (found, answer) => {
    const server = await TestServer.start(json(...answer));
    closing.push(() => server.close());
    const identityProvider = genericOAuth2({ tokenEndpoint: server.url });
    const { provider } = await startOne({ identityProvider, clientId: 'a', clientSecret: 'b' });
    const error: unknown = await provider.getToken().catch((error: unknown) => error);
    expect(error).toBeInstanceOf(TokenRequestRejectedError);
    expect(error).toMatchObject({ reason: 'request_rejected', message: expect.stringContaining(found) });
  });

  it('is repeated after a minute, then less and less often, and never halted; others continue meanwhile', async () => {
    const clock = manualClock();
    const granted = { access_token: 't', token_type: 'Bearer', expires_in: 36_000 };
    const server = await TestServer.start((request, ...rest) =>
      request.body.includes('scope=wrong')
        ? json(400, { error: 'invalid_scope' })(request, ...rest)
        : json(200, granted)(request, ...rest),
    );
    closing.push(() => server.close());
    const identityProvider = genericOAuth2({ tokenEndpoint: server.url });
    const { provider } = await startOne({ identityProvider, clientId: 'a', clientSecret: 'b', scope: 'wrong' }, clock);
    const minutes: number[] = [];
    for (let minute = 0; minute < 120; minute++) {
      const before = server.requests.length;
      const call = provider.getToken().catch((error: unknown) => error);
      await clock.advance(60_000);
      expect(await call).toBeInstanceOf(TokenRequestRejectedError);
      if (server.requests.length > before) minutes.push(minute);
    }
    // 1, 2, 4, 8 and then 15 minutes apart, and up to a fifth more.
    expect(minutes.length).toBeGreaterThanOrEqual(8);
    expect(minutes.length).toBeLessThanOrEqual(12);
    await expect(provider.getToken({ scope: 'right' })).resolves.toBeDefined();
  });
});

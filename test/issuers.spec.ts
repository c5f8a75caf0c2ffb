import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { brotliCompressSync, deflateSync, gzipSync } from 'node:zlib';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, test } from '@jest/globals';
import {
  type AccessTokenVerifier,
  AllowClients,
  auth0,
  createAccessTokenVerifier,
  cyberArkIdentity,
  duende,
  entraId,
  genericOAuth2,
  type GenericOAuth2Options,
  type GuardOptions,
  IdentityM2MConfigurationError,
  IdentityM2MModule,
  type IdentityProvider,
  keycloak,
  type KnownIssuer,
  kubernetesServiceAccounts,
  okta,
  type VerificationEvent,
} from 'nestjs-identity-m2m';
import { Test } from '@nestjs/testing';
// From inside: many options are checked without booting an application for each.
import { checkOptions } from '../libs/identity-m2m/src/config/module-options.js';
import { CertificateAuthority } from './support/certificates.js';
import { forge, ForgeableIssuer, type ForgingKey, forgingKey, part } from './support/forgeable-issuer.js';
import { type Answer, json, TestServer } from './support/http-server.js';
import { socketClock, until } from './support/socket-clock.js';
import type { ManualClock } from 'nestjs-identity-m2m/testing';

const rsa = forgingKey('RS256', 'k1');
const others = Array.from({ length: 4 }, (_, index) => forgingKey('RS256', `other${index}`));
const now = () => Math.floor(Date.now() / 1000);

let issuer: ForgeableIssuer;
const open: { close(): void }[] = [];
let events: VerificationEvent[];

beforeAll(async () => (issuer = await ForgeableIssuer.start()));
afterAll(() => issuer.close());
beforeEach(() => {
  issuer.server.requests.length = 0;
  issuer.keys = [rsa.jwk];
  issuer.keySetAnswer = undefined;
  issuer.metadata = {};
  events = [];
});
afterEach(() => open.splice(0).forEach((one) => one.close()));

/** The plain token of these cases. */
function plainToken(iss: string, { key = rsa, header = {}, claims = {} }: PlainTokenOptions = {}): string {
  const base = { iss, aud: 'api', sub: 'svc', client_id: 'svc', iat: now(), exp: now() + 300 };
  return forge(key, { ...base, ...claims }, header);
}

interface PlainTokenOptions {
  readonly key?: ForgingKey;
  readonly header?: object;
  readonly claims?: object;
}

function verifierFor(issuers: GuardOptions['issuers'], more: Partial<GuardOptions> = {}): AccessTokenVerifier {
  const verifier = createAccessTokenVerifier({ issuers, audience: 'api', ...more }, { production: false });
  open.push(verifier);
  verifier.events.subscribe((event) => events.push(event));
  return verifier;
}

async function outcome(verifier: AccessTokenVerifier, token: string): Promise<string> {
  const verdict = await verifier.verify(token);
  return verdict.ok ? 'accepted' : verdict.reason;
}

/** An answer of the key set's own address. */
const text =
  (body: string | Buffer, headers: Record<string, string> = {}): Answer =>
  (_request, response) =>
    response.writeHead(200, { 'content-type': 'application/json', ...headers }).end(body);

const remote = () => genericOAuth2({ issuer: issuer.url, jwksUri: `${issuer.url}/keys` });

describe('key sets as issuers write them', () => {
  const { n, e, kty } = rsa.jwk as Record<string, string>;
  const written = { kty, n, e, kid: 'k1' };

  test.each<[string, object]>([
    ['in-A3: alg: null', { alg: null }],
    ['in-A5: d: null', { d: null }],
    ['in-A8: key_ops: []', { key_ops: [] }],
    ['in-A3: every optional member as null', nulls(null)],
    ['in-A8: every optional member as an empty list', nulls([])],
    ['in-A3: every optional member as an empty string', nulls('')],
    ['in-A3: unknown members', { valid_from: null, tags: [], x5c: [null], owner: {} }],
  ])('%s counts as a missing member', async (_name, more) => {
    issuer.keys = [{ ...written, ...more }];
    expect(await outcome(verifierFor([remote()]), plainToken(issuer.url))).toBe('accepted');
    // The same where the key set is given.
    const jwks = { keys: [{ ...written, ...more }] };
    expect(await outcome(verifierFor([genericOAuth2({ issuer: issuer.url, jwks })]), plainToken(issuer.url))).toBe(
      'accepted',
    );
  });

  it('in-A3: a kid of null counts as no kid', async () => {
    issuer.keys = [{ ...written, kid: null }];
    expect(await outcome(verifierFor([remote()]), plainToken(issuer.url))).toBe('accepted');
    expect(await outcome(verifierFor([remote()]), plainToken(issuer.url, { header: { kid: undefined } }))).toBe(
      'accepted',
    );
  });

  it('in-A5: other members still count, and a required one is still missed', async () => {
    const { d } = rsa.privateKey.export({ format: 'jwk' });
    issuer.keys = [
      { ...written, kid: 'private', d },
      { ...written, kid: 'encrypts', use: 'enc' },
      { ...written, kid: 'signs', key_ops: ['sign'] },
      { ...written, kid: 'other', alg: 'ES256' },
      { ...written, kid: 'without n', n: null },
      { ...written, kid: 'without e', e: '' },
      { ...written, kid: 'without kty', kty: null },
      { ...written, kid: 'shared', k: 'AAAA' },
    ];
    const verifier = verifierFor([remote()]);
    for (const { kid } of issuer.keys as { kid: string }[]) {
      expect(await outcome(verifier, plainToken(issuer.url, { header: { kid } }))).toBe('issuer_unavailable');
    }
    expect(
      events.flatMap((event) => (event.type === 'key_set.key_ignored' ? [[event.kid, event.reason]] : [])),
    ).toEqual([
      ['private', 'private'],
      ['encrypts', 'not_for_signatures'],
      ['signs', 'not_for_signatures'],
      ['other', 'unsupported'],
      ['without n', 'malformed'],
      ['without e', 'malformed'],
      ['without kty', 'unsupported'],
      ['shared', 'symmetric'],
    ]);
  });

  it('in-A8: coordinates without their leading zeros, or with one more, are the same numbers', async () => {
    let key = forgingKey('ES256', 'ec');
    while (
      !Buffer.from(key.jwk.x as string, 'base64url')
        .subarray(0, 1)
        .equals(Buffer.alloc(1))
    ) {
      key = forgingKey('ES256', 'ec');
    }
    const x = Buffer.from(key.jwk.x as string, 'base64url');
    const y = Buffer.from(key.jwk.y as string, 'base64url');
    const spelt = {
      x: x.subarray(1).toString('base64url'),
      y: Buffer.concat([Buffer.alloc(1), y]).toString('base64url'),
    };
    issuer.keys = [{ ...key.jwk, ...spelt }];
    expect(await outcome(verifierFor([remote()]), plainToken(issuer.url, { key }))).toBe('accepted');
  });

  it.each<readonly [string, (bytes: Buffer) => string]>([
    [
      'with a zero in front, as a signed number',
      (bytes) => Buffer.concat([Buffer.alloc(1), bytes]).toString('base64url'),
    ],
    ['padded', (bytes) => `${bytes.toString('base64url')}==`],
    ['in the other alphabet', (bytes) => bytes.toString('base64')],
    ['in lines', (bytes) => bytes.toString('base64').replaceAll(/.{64}/g, '$&\n')],
  ])('in-A8 brothers: n and e %s are the same numbers', async (_name, spell) => {
    const spelt = [n!, e!].map((text) => spell(Buffer.from(text, 'base64url')));
    issuer.keys = [{ ...written, n: spelt[0], e: spelt[1] }];
    expect(await outcome(verifierFor([remote()]), plainToken(issuer.url))).toBe('accepted');
  });

  it('in-B3 brothers: requests for metadata, keys and introspection have a User-Agent', async () => {
    issuer.introspectionAnswer = json(200, { active: false });
    const introspection = [{ clientId: 'api', clientSecret: 'a-secret-of-the-guard' }];
    const verifier = verifierFor([genericOAuth2({ issuer: issuer.url })], { introspection });
    expect(await outcome(verifier, plainToken(issuer.url))).toBe('accepted');
    expect(await outcome(verifier, 'an-opaque-token')).toBe('token_inactive');
    const asked = issuer.server.requests.map(({ url, headers }) => [url, headers['user-agent']]);
    expect(new Set(asked.map(([url]) => url))).toEqual(
      new Set(['/.well-known/openid-configuration', '/keys', '/introspect']),
    );
    expect(new Set(asked.map(([, agent]) => agent))).toEqual(new Set(['nestjs-identity-m2m']));
  });

  it('in-A13: a file may start with a byte order mark', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'keys-'));
    const jwksFile = join(folder, 'jwks.json');
    await writeFile(
      jwksFile,
      Buffer.concat([Buffer.from([0xef, 0xbb, 0xbf]), Buffer.from(JSON.stringify({ keys: [rsa.jwk] }))]),
    );
    expect(await outcome(verifierFor([genericOAuth2({ issuer: issuer.url, jwksFile })]), plainToken(issuer.url))).toBe(
      'accepted',
    );
    const account = 'system:serviceaccount:shop:billing';
    const kubernetes = kubernetesServiceAccounts({ issuer: issuer.url, jwksFile });
    const claims = { sub: account, 'kubernetes.io': {} };
    const token = plainToken(issuer.url, { header: { typ: undefined }, claims });
    expect(await outcome(verifierFor([kubernetes], { clients: [account] }), token)).toBe('accepted');
    await rm(folder, { recursive: true });
  });

  it('in-A13: an answer may start with a byte order mark, and so may metadata', async () => {
    issuer.keySetAnswer = text(`\uFEFF${JSON.stringify({ keys: [rsa.jwk] })}`);
    expect(await outcome(verifierFor([remote()]), plainToken(issuer.url))).toBe('accepted');
  });

  test.each<[string, string, (body: Buffer) => Buffer]>([
    ['in-A15: gzip', 'gzip', gzipSync],
    ['in-A15: x-gzip', 'x-gzip', gzipSync],
    ['in-A15: deflate', 'deflate', deflateSync],
    ['in-A15: br', 'br', brotliCompressSync],
    ['in-A15: GZIP', 'GZIP', gzipSync],
  ])('%s is decompressed, although the request did not ask for it', async (_name, coding, compress) => {
    const body = Buffer.from(JSON.stringify({ keys: [rsa.jwk] }));
    issuer.keySetAnswer = (request, response, message) => {
      expect(request.headers['accept-encoding']).toBe('identity');
      return text(compress(body), { 'content-encoding': coding })(request, response, message);
    };
    expect(await outcome(verifierFor([remote()]), plainToken(issuer.url))).toBe('accepted');
    // Metadata too.
    const metadata = Buffer.from(JSON.stringify({ issuer: issuer.url, jwks_uri: `${issuer.url}/keys` }));
    issuer.metadataAnswer = text(compress(metadata), { 'content-encoding': coding });
    expect(await outcome(verifierFor([genericOAuth2({ issuer: issuer.url })]), plainToken(issuer.url))).toBe(
      'accepted',
    );
    issuer.metadataAnswer = undefined;
  });

  it.each(['none', 'UTF-8', ' identity '])('in-A15: brothers: "%s" is not a content coding', async (coding) => {
    issuer.keySetAnswer = text(JSON.stringify({ keys: [rsa.jwk] }), { 'content-encoding': coding });
    expect(await outcome(verifierFor([remote()]), plainToken(issuer.url))).toBe('accepted');
  });

  test.each<[string, string, Buffer]>([
    [
      'in-A15: what swells beyond 256 KiB',
      'gzip',
      gzipSync(Buffer.from(`{"keys":[${JSON.stringify(rsa.jwk)}]}${' '.repeat(262_144)}`)),
    ],
    ['in-A15: what is compressed twice', 'gzip, gzip', gzipSync(gzipSync(JSON.stringify({ keys: [rsa.jwk] })))],
    ['in-A15: what ends too early', 'gzip', gzipSync(JSON.stringify({ keys: [rsa.jwk] })).subarray(0, -20)],
    ['in-A15: what is not compressed', 'gzip', Buffer.from(JSON.stringify({ keys: [rsa.jwk] }))],
    ['in-A15: an unknown coding', 'zstd', Buffer.from(JSON.stringify({ keys: [rsa.jwk] }))],
  ])('%s is not a key set', async (_name, coding, body) => {
    issuer.keySetAnswer = text(body, { 'content-encoding': coding });
    expect(await outcome(verifierFor([remote()]), plainToken(issuer.url))).toBe('issuer_unavailable');
  });

  it('in-A19: all of 101 RSA keys are used', async () => {
    issuer.keys = Array.from({ length: 101 }, (_, index) => ({ ...others[index % 4]!.jwk, kid: `m${index}` }));
    (issuer.keys as object[])[100] = { ...rsa.jwk, kid: 'm100' };
    expect(JSON.stringify(issuer.keys).length).toBeLessThan(262_144);
    expect(await outcome(verifierFor([remote()]), plainToken(issuer.url, { header: { kid: 'm100' } }))).toBe(
      'accepted',
    );
  });

  it('in-A19: all keys that fit into the longest accepted key set are used', async () => {
    const { jwk, ...key } = forgingKey('ES256', 'last');
    issuer.keys = Array.from({ length: 999 }, (_, index) => ({ ...forgingEc.jwk, kid: `e${index}` }));
    issuer.keys.push(jwk);
    expect(JSON.stringify(issuer.keys).length).toBeLessThan(262_144);
    expect(await outcome(verifierFor([remote()]), plainToken(issuer.url, { key: { jwk, ...key } }))).toBe('accepted');
  });

  it('in-A20: a token without kid is tried with each matching key, also the fifth', async () => {
    issuer.keys = [...others.map(({ jwk }) => jwk), rsa.jwk];
    const verifier = verifierFor([remote()]);
    expect(await outcome(verifier, plainToken(issuer.url, { header: { kid: undefined } }))).toBe('accepted');
    expect(
      await outcome(verifier, plainToken(issuer.url, { key: forgingKey('RS256'), header: { kid: undefined } })),
    ).toBe('signature_invalid');
  });

  it('in-A20: keys with the token’s alg are tried before the others, and at most sixteen', async () => {
    const crowd = Array.from({ length: 16 }, (_, index) => ({ ...others[index % 4]!.jwk, kid: `c${index}` }));
    issuer.keys = [...crowd, { ...rsa.jwk, alg: 'RS256' }];
    const token = plainToken(issuer.url, { header: { kid: undefined } });
    expect(await outcome(verifierFor([remote()]), token)).toBe('accepted');
    issuer.keys = [...crowd, rsa.jwk];
    expect(await outcome(verifierFor([remote()]), token)).toBe('signature_invalid');
  });
});

const forgingEc = forgingKey('ES256');

/** The optional members of RFC 7517 §4 and RFC 7518 §6, and some that vendors add, each with this value. */
function nulls(value: unknown): object {
  const names =
    'use key_ops alg x5u x5c x5t x5t#S256 d p q dp dq qi oth k crv x y ext exp nbf iat issuer revoked'.split(' ');
  return Object.fromEntries(names.map((name) => [name, value]));
}

describe('in-key-1: Ed25519 keys whose signatures can be forged', () => {
  const P = 2n ** 255n - 19n;
  const Y8 = 0x7a03ac9277fdc74ec6cc392cfa53202a0f67100d760b3cba4fd84d3d706a17c7n;
  /** The y coordinates of all points of small order, and the encodings of 0 and 1 that are not reduced. */
  const ys = [0n, 1n, P - 1n, Y8, P - Y8, P, P + 1n];
  const encodings = ys.flatMap((y) => [0n, 1n].map((sign) => littleEndian(y + (sign << 255n))));

  it('in-key-1: the y of order 8 is one: doubling the point gives y = 0', () => {
    const d = mod(-121_665n * power(121_666n, P - 2n));
    expect(mod(d * power(Y8, 4n) + 2n * Y8 * Y8)).toBe(1n);
    expect(encodings).toHaveLength(14);
  });

  test.each(encodings.map((bytes) => [bytes.toString('hex'), bytes] as const))(
    'in-key-1: %s is ignored as weak, and nothing forged passes',
    async (_hex, bytes) => {
      const good = forgingKey('EdDSA', 'good');
      issuer.keys = [{ kty: 'OKP', crv: 'Ed25519', x: bytes.toString('base64url'), kid: 'weak' }, good.jwk];
      const verifier = verifierFor([remote()]);
      for (let attempt = 0; attempt < 16; attempt++) {
        for (const header of [{ kid: 'weak' }, { kid: undefined }]) {
          const token = forgedForSmallOrder(issuer.url, bytes, { alg: 'EdDSA', typ: 'at+jwt', ...header }, attempt);
          expect(['key_unknown', 'signature_invalid', 'issuer_unavailable']).toContain(await outcome(verifier, token));
        }
      }
      expect(events).toContainEqual(
        expect.objectContaining({ type: 'key_set.key_ignored', kid: 'weak', reason: 'weak' }),
      );
      expect(await outcome(verifier, plainToken(issuer.url, { key: good }))).toBe('accepted');
    },
  );

  it('in-key-1: the same key in the options fails the boot', () => {
    const jwks = { keys: [{ kty: 'OKP', crv: 'Ed25519', x: encodings[0]!.toString('base64url'), kid: 'weak' }] };
    expect(() => verifierFor([genericOAuth2({ issuer: issuer.url, jwks })])).toThrow(/a key that is weak/);
  });

  it('in-key-1: RSA keys that are easy to factor are weak as well', async () => {
    const modulus = Buffer.from(rsa.jwk.n as string, 'base64url');
    const even = Buffer.concat([modulus.subarray(0, -1), Buffer.from([modulus.at(-1)! & 0xfe])]);
    const big = BigInt(`0x${modulus.toString('hex')}`);
    const divisible = Buffer.from((big - (big % 751n)).toString(16), 'hex');
    issuer.keys = [even, divisible].map((n, at) => ({ ...rsa.jwk, n: n.toString('base64url'), kid: `w${at}` }));
    expect(await outcome(verifierFor([remote()]), plainToken(issuer.url))).toBe('issuer_unavailable');
    const ignored = events.filter(({ type }) => type === 'key_set.key_ignored');
    expect(ignored).toEqual([
      expect.objectContaining({ kid: 'w0', reason: 'weak' }),
      expect.objectContaining({ kid: 'w1', reason: 'weak' }),
    ]);
  });

  /** With R = s·B the equation s·B = R + h·A holds where h·A is the neutral element: once in eight texts at least. */
  function forgedForSmallOrder(iss: string, key: Buffer, header: object, attempt: number): string {
    const claims = {
      iss,
      aud: 'api',
      sub: 'svc',
      client_id: 'svc',
      iat: now(),
      exp: now() + 300,
      jti: String(attempt),
    };
    // s = 0, so that R is the neutral element.
    const signed = Buffer.concat([littleEndian(1n), Buffer.alloc(32)]);
    return `${part(header)}.${part(claims)}.${signed.toString('base64url')}`;
  }

  function littleEndian(number: bigint): Buffer {
    return Buffer.from(Buffer.from(number.toString(16).padStart(64, '0'), 'hex').toReversed());
  }

  function mod(number: bigint): bigint {
    return ((number % P) + P) % P;
  }

  function power(base: bigint, exponent: bigint): bigint {
    let result = 1n;
    for (let [b, e] = [mod(base), exponent]; e > 0n; e >>= 1n, b = mod(b * b)) if (e & 1n) result = mod(result * b);
    return result;
  }
});

describe('metadata at either of its two addresses', () => {
  const page: Answer = (_request, response) =>
    response.writeHead(200, { 'content-type': 'text/html' }).end('<!doctype html><title>Sign in</title>');
  const OIDC = '/.well-known/openid-configuration';
  const OAUTH = '/.well-known/oauth-authorization-server';
  let server: TestServer;
  let answers: Record<string, Answer>;

  beforeAll(async () => (server = await TestServer.start(() => undefined)));
  afterAll(() => server.close());
  beforeEach(() => {
    server.requests.length = 0;
    answers = { '/keys': json(200, { keys: [rsa.jwk] }) };
    server.answer = (request, ...rest) => (answers[request.url] ?? json(404, {}))(request, ...rest);
  });

  const document = (more: object = {}) => json(200, { issuer: server.url, jwks_uri: `${server.url}/keys`, ...more });
  const ask = () => outcome(verifierFor([genericOAuth2({ issuer: server.url })]), plainToken(server.url));
  const asked = () => server.requests.map(({ url }) => url);

  test.each<[string, Answer]>([
    ['in-B3: 200 text/html', page],
    ['in-B4: 401', json(401, { error: 'unauthorized' })],
    ['in-B4: 403', json(403, {})],
    ['in-B4: 404', json(404, {})],
    ['in-B4: 400', json(400, {})],
    ['in-B4: 405', json(405, {})],
    ['in-B4: 410', json(410, {})],
    ['in-B4: 500', json(500, {})],
    ['in-B4: 501', json(501, {})],
    [
      'in-B3: a redirect to a login page',
      (_request, response) => response.writeHead(302, { location: '/login' }).end(),
    ],
    ['in-B3: 204', (_request, response) => response.writeHead(204).end()],
    ['in-B3: 200 and nothing', text('')],
    ['in-B3: 200 and JSON that is none', text('[]')],
    ['in-B3: 200 and an error', json(200, { error: 'not_found' })],
    [
      'in-B3: metadata of another issuer',
      json(200, { issuer: 'https://other.example', jwks_uri: 'https://other.example/k' }),
    ],
    ['in-B3: metadata without keys', (...all) => document({ jwks_uri: undefined })(...all)],
    ['in-B3: metadata whose keys are null', (...all) => document({ jwks_uri: null })(...all)],
    ['in-B3: 300 KB', text(`{"a":"${'x'.repeat(300_000)}"}`)],
  ])('%s at one of them does not spoil the other', async (_name, answer) => {
    for (const [good, bad] of [
      [OAUTH, OIDC],
      [OIDC, OAUTH],
    ] as const) {
      answers = { ...answers, [bad]: answer, [good]: document() };
      expect(await ask()).toBe('accepted');
    }
  });

  it('in-B3: metadata and keys are read whatever the status of success', async () => {
    answers[OIDC] = json(203, { issuer: server.url, jwks_uri: `${server.url}/keys` });
    answers['/keys'] = json(203, { keys: [rsa.jwk] });
    expect(await ask()).toBe('accepted');
  });

  it('in-B3: metadata is read whatever its media type, and behind a byte order mark', async () => {
    const body = `\uFEFF${JSON.stringify({ issuer: server.url, jwks_uri: `${server.url}/keys` })}`;
    answers[OIDC] = text(body, { 'content-type': 'binary/octet-stream' });
    expect(await ask()).toBe('accepted');
  });

  it('in-B4: an issuer with a path may have its metadata after or before the path', async () => {
    const issuer = `${server.url}/realms/acme`;
    const metadata = json(200, { issuer, jwks_uri: `${server.url}/keys` });
    for (const address of ['/realms/acme/.well-known/openid-configuration', `${OAUTH}/realms/acme`]) {
      answers = { '/keys': answers['/keys']!, [address]: metadata, [OIDC]: page, [OAUTH]: page };
      expect(await outcome(verifierFor([genericOAuth2({ issuer })]), plainToken(issuer))).toBe('accepted');
    }
  });

  it('in-B4: if neither exists, the error names both answers', async () => {
    answers[OIDC] = json(403, {});
    answers[OAUTH] = document({ issuer: 'https://other.example' });
    expect(await ask()).toBe('issuer_unavailable');
    expect(events).toEqual([
      expect.objectContaining({
        type: 'key_set.refresh_failed',
        problem: expect.stringMatching(
          /openid-configuration returned HTTP 403; .*names the issuer "https:\/\/other\.example" instead/,
        ),
      }),
    ]);
  });

  test.each([429, 502, 503, 504])('in-B4: a server that is down (%i) gets no second request', async (status) => {
    answers[OIDC] = json(status, {});
    answers[OAUTH] = document();
    expect(await ask()).toBe('issuer_unavailable');
    expect(asked()).toEqual([OIDC]);
  });

  it('in-B3: keys at a preset’s known address are found if a page is served instead of metadata', async () => {
    const { fallbackJwksUri, ...tenant } = cyberArkIdentity({ tenantUrl: server.url, applicationId: 'api' });
    const { pathname } = new URL(fallbackJwksUri!);
    const claims = { unique_name: 'svc', scope: 'all' };
    const token = plainToken(tenant.issuer, { header: { typ: 'JWT' }, claims });
    server.answer = (request, ...rest) => (request.url === pathname ? answers['/keys']! : page)(request, ...rest);
    expect(await outcome(verifierFor([{ ...tenant, fallbackJwksUri }], { clients: ['svc'] }), token)).toBe('accepted');
    // A tenant that is down is down there too.
    server.answer = json(503, {});
    server.requests.length = 0;
    expect(await outcome(verifierFor([{ ...tenant, fallbackJwksUri }], { clients: ['svc'] }), token)).toBe(
      'issuer_unavailable',
    );
    expect(server.requests).toHaveLength(1);
  });
});

describe('issuers of any name', () => {
  const jwks = { keys: [rsa.jwk] };
  const boots = (issuers: GuardOptions['issuers'], more: Partial<GuardOptions> = {}) => {
    const options = { issuers, audience: 'api', ...more };
    const verifier = createAccessTokenVerifier(options, { production: true });
    open.push(verifier);
    return verifier;
  };
  const faultsOf = (issuers: GuardOptions['issuers'], more: Partial<GuardOptions> = {}) => {
    try {
      boots(issuers, more);
      return {};
    } catch (error) {
      if (!(error instanceof IdentityM2MConfigurationError)) throw error;
      return Object.fromEntries(error.faults.map(({ path, expected, found }) => [path, `${expected}; ${found}`]));
    }
  };

  test.each([
    ['in-C1', 'http://adfs.acme.com/adfs/services/trust'],
    ['in-C2', 'foo.acme.com'],
    ['in-C4', 'urn:sso.company.com'],
    ['in-C1', 'http://localhost:8080/realms/r'],
    ['in-C2', 'Company GmbH'],
    ['in-C2', 'kubernetes/serviceaccount'],
    ['in-C2', '__proto__'],
    ['in-C4', 'https://id.example/?tenant=a#b'],
    ['in-C4', 'spiffe://acme.example'],
    ['in-C4', 'urn:müller'],
  ])('%s: %s is a valid issuer in production if its keys are given', async (_id, name) => {
    const verifier = boots([genericOAuth2({ issuer: name, jwks })]);
    expect(await outcome(verifier, plainToken(name))).toBe('accepted');
    // To the letter, and never as an address.
    for (const other of [`${name}/`, name.toUpperCase(), ` ${name}`, encodeURI(`${name} `), `${name}:80`]) {
      expect(await outcome(verifier, plainToken(other))).toBe('issuer_unknown');
    }
    for (const place of [
      { jwksUri: 'https://keys.example/k' },
      { internalJwksUri: 'http://keys:8080/k' },
      { jwksFile: '/run/keys.json' },
    ]) {
      expect(faultsOf([genericOAuth2({ issuer: name, ...place })])).toEqual({});
    }
  });

  it('in-C1: the keys of any issuer are fetched only from the address in the options', async () => {
    for (const name of ['http://adfs.acme.com/adfs/services/trust', 'foo.acme.com', 'urn:sso.company.com']) {
      const verifier = verifierFor([genericOAuth2({ issuer: name, jwksUri: `${issuer.url}/keys` })]);
      expect(await outcome(verifier, plainToken(name))).toBe('accepted');
    }
    expect(new Set(issuer.server.requests.map(({ url }) => url))).toEqual(new Set(['/keys']));
  });

  test.each<[string, GuardOptions['issuers'], Record<string, RegExp>]>([
    [
      'in-C1: plain http without keys',
      [genericOAuth2({ issuer: 'http://adfs.acme.com/adfs/services/trust' })],
      { 'options.issuers[0].issuer': /^an https URL .*for any other issuer, set jwksUri, jwks or jwksFile; "http:/ },
    ],
    [
      'in-C2: a bare name without keys',
      [genericOAuth2({ issuer: 'foo.acme.com' })],
      { 'options.issuers[0].issuer': /^an absolute https URL, through which its keys are discovered.*"foo.acme.com"$/ },
    ],
    [
      'in-C4: a URN without keys',
      [genericOAuth2({ issuer: 'urn:sso.company.com', tokenEndpoint: 'https://id.example/token' })],
      { 'options.issuers[0].issuer': /^an absolute https URL/ },
    ],
    [
      'in-C4: keys over plain http',
      [genericOAuth2({ issuer: 'urn:sso.company.com', jwksUri: 'http://keys.example/k' })],
      { 'options.issuers[0].jwksUri': /^an https URL.*internalJwksUri; "http:/ },
    ],
    [
      'in-C4: the same issuer twice',
      [genericOAuth2({ issuer: 'urn:a', jwks }), genericOAuth2({ issuer: 'urn:a', jwksFile: '/k' })],
      { 'options.issuers[1].issuer': /not listed yet; a duplicate/ },
    ],
    [
      'in-C4: no name, and names that come from copying',
      ['', ' urn:a', 'urn:a\n', 'urn:\0a', '\uFEFFurn:a', 'u'.repeat(1025), 7 as never].map((issuer) =>
        genericOAuth2({ issuer, jwks }),
      ),
      Object.fromEntries(
        Array.from({ length: 7 }, (_, at) => [
          `options.issuers[${at}].issuer`,
          /^an issuer identifier, exactly as in its tokens/,
        ]),
      ),
    ],
  ])('%s fails the boot', (_name, issuers, expected) => {
    const found = faultsOf(issuers);
    expect(Object.keys(found)).toEqual(Object.keys(expected));
    for (const [path, text] of Object.entries(expected)) expect(found[path]).toMatch(text);
  });

  it('in-C4: an issuer that is not a URL introspects tokens at the address in the options', () => {
    const introspection = [{ clientId: 'api', clientSecret: 'a secret of the guard' }];
    expect(faultsOf([genericOAuth2({ issuer: 'urn:a', jwks })], { introspection })).toEqual({
      'options.issuers[0].introspectionEndpoint': expect.stringContaining('can’t be discovered through an issuer'),
    });
    const introspectionEndpoint = 'https://id.example/introspect';
    expect(faultsOf([genericOAuth2({ issuer: 'urn:a', jwks, introspectionEndpoint })], { introspection })).toEqual({});
  });

  it('in-C4: a service account issuer of a cluster may have any name as well', () => {
    const clients = ['system:serviceaccount:shop:billing'];
    const cluster = { issuer: 'kubernetes/serviceaccount' };
    expect(faultsOf([kubernetesServiceAccounts({ ...cluster, jwksFile: '/run/keys.json' })], { clients })).toEqual({});
    expect(Object.keys(faultsOf([kubernetesServiceAccounts(cluster)], { clients }))).toEqual([
      'options.issuers[0].issuer',
    ]);
  });

  it('in-C4: a client does not need such an issuer if its token endpoint is given', () => {
    const client = { clientId: 'a', clientSecret: 'a secret of the client', allowedOrigins: ['https://api.example'] };
    const check = (options: GenericOAuth2Options) =>
      checkOptions({ client: { ...client, identityProvider: genericOAuth2(options) } }, true);
    expect(() => check({ issuer: 'urn:a', tokenEndpoint: 'https://id.example/token' })).not.toThrow();
    expect(() => check({ issuer: 'urn:a', jwks })).toThrow(/identityProvider\.issuer: expected an absolute https URL/);
    expect(() => check({ issuer: 'http://id.example', jwks })).toThrow(
      /identityProvider\.issuer: expected an https URL/,
    );
  });

  it('in-A8: a key for other uses may be next to the others in a key set in the options', () => {
    const encryption = { ...others[0]!.jwk, use: 'enc' };
    expect(faultsOf([genericOAuth2({ issuer: 'urn:a', jwks: { keys: [encryption, rsa.jwk] } })])).toEqual({});
    expect(faultsOf([genericOAuth2({ issuer: 'urn:a', jwks: { keys: [encryption] } })])).toEqual({
      'options.issuers[0].jwks[kid "other0"]': expect.stringContaining('a key that is not for signatures'),
    });
  });
});

describe('in-C7: keys at an internal address', () => {
  const internalJwksUri = 'http://keycloak:8080/realms/r/protocol/openid-connect/certs';
  const clients = ['svc'];
  const boot = (provider: IdentityProvider) =>
    createAccessTokenVerifier({ issuers: [provider], audience: 'api', clients }, { production: true });

  test.each<[string, IdentityProvider]>([
    ['keycloak', keycloak({ url: 'https://id.example', realm: 'r', internalJwksUri })],
    ['duende', duende({ issuer: 'https://id.example', internalJwksUri })],
    ['genericOAuth2', genericOAuth2({ issuer: 'https://id.example', internalJwksUri })],
    ['kubernetesServiceAccounts', kubernetesServiceAccounts({ issuer: 'https://k8s.example', internalJwksUri })],
    ['keycloak that its tokens name so too', keycloak({ url: 'http://keycloak:8080', realm: 'r', internalJwksUri })],
    ['a copy of another preset', { ...okta({ domain: 'acme.okta.com' }), internalJwksUri }],
  ])('in-C7: %s boots in production', (_name, provider) => expect(() => boot(provider).close()).not.toThrow());

  it('in-C7: the guard fetches them there, and the issuer stays the one in the tokens', async () => {
    const provider = keycloak({ url: 'https://id.example', realm: 'r', internalJwksUri: `${issuer.url}/keys` });
    const verifier = verifierFor([provider], { clients });
    const claims = { typ: 'Bearer', azp: 'svc', client_id: 'svc', preferred_username: 'service-account-svc' };
    const token = (iss: string) => plainToken(iss, { header: { typ: 'JWT' }, claims });
    expect(await outcome(verifier, token('https://id.example/realms/r'))).toBe('accepted');
    expect(await outcome(verifier, token(`${issuer.url}/realms/r`))).toBe('issuer_unknown');
  });

  test.each<[string, IdentityProvider, RegExp]>([
    [
      'the key set’s ordinary address',
      { ...keycloak({ url: 'https://id.example', realm: 'r' }), jwksUri: internalJwksUri },
      /issuers\[0\]\.jwksUri: expected an https URL .*inside your own network goes into internalJwksUri/,
    ],
    [
      'the server itself',
      keycloak({ url: 'http://keycloak:8080', realm: 'r' }),
      /issuers\[0\]\.url: expected an https URL/,
    ],
    [
      'a file',
      keycloak({ url: 'https://id.example', realm: 'r', internalJwksUri: 'file:///keys' }),
      /issuers\[0\]\.internalJwksUri: expected an absolute https URL/,
    ],
    [
      'a password in it',
      { ...okta({ domain: 'acme.okta.com' }), internalJwksUri: 'http://a:b@keys/' },
      /issuers\[0\]\.internalJwksUri: .*found an address with user name or password/,
    ],
    [
      'two places at once',
      genericOAuth2({ issuer: 'https://id.example', jwksUri: 'https://id.example/k', internalJwksUri }),
      /issuers\[0\]\.internalJwksUri: expected nothing, because jwksUri is given/,
    ],
  ])('in-C7: plain http is allowed only for that address: %s fails the boot', (_name, provider, message) =>
    expect(() => boot(provider)).toThrow(message),
  );

  it('in-C7: requests with secrets or tokens stay https: introspection, and a client’s requests', () => {
    const provider = keycloak({ url: 'http://keycloak:8080', realm: 'r', internalJwksUri });
    const introspection = [{ clientId: 'api', clientSecret: 'a secret of the guard' }];
    const options = { issuers: [provider], audience: 'api', clients, introspection };
    expect(() => createAccessTokenVerifier(options, { production: true })).toThrow(
      /issuers\[0\]\.introspectionEndpoint: expected an https URL/,
    );
    const client = { clientId: 'a', clientSecret: 'a secret of the client', identityProvider: provider };
    expect(() => checkOptions({ client: { ...client, allowedOrigins: ['https://api.example'] } }, true)).toThrow(
      /identityProvider\.tokenEndpoint: expected an https URL/,
    );
  });
});

describe('in-C8: names with spaces and umlauts in a preset', () => {
  test.each<[string, KnownIssuer, string]>([
    [
      'a realm',
      keycloak({ url: 'https://id.example', realm: 'Company GmbH' }),
      'https://id.example/realms/Company%20GmbH',
    ],
    [
      'a realm',
      keycloak({ url: 'https://id.example', realm: 'Müller & Söhne' }),
      'https://id.example/realms/M%C3%BCller%20%26%20S%C3%B6hne',
    ],
    ['a realm', keycloak({ url: 'https://id.example', realm: '100%' }), 'https://id.example/realms/100%25'],
    ['a realm', keycloak({ url: 'https://id.example', realm: 'a?b#c' }), 'https://id.example/realms/a%3Fb%23c'],
    [
      'a server',
      okta({ domain: 'acme.okta.com', authorizationServerId: 'my server' }),
      'https://acme.okta.com/oauth2/my%20server',
    ],
    ['a domain', auth0({ domain: 'id.Müller.example' }), 'https://id.xn--mller-kva.example/'],
    [
      'an application',
      cyberArkIdentity({ tenantUrl: 'https://acme.example', applicationId: 'Bücher' }),
      'https://acme.example/B%C3%BCcher/',
    ],
    [
      'a directory',
      entraId({ tenantId: '8A3F6A52-93F1-4B70-8E0B-4E5C3F7F2A11' }),
      'https://login.microsoftonline.com/8a3f6a52-93f1-4b70-8e0b-4e5c3f7f2a11/v2.0',
    ],
  ])('in-C8: %s is percent-encoded as its tokens have it', (_name, provider, expected) => {
    expect(provider.faults('never')).toEqual([]);
    expect(provider.issuer).toBe(expected);
    for (const address of [provider.issuer, provider.tokenEndpoint, provider.jwksUri]) {
      if (address !== undefined) expect(new URL(address).href.replace(/\/$/, '')).toBe(address.replace(/\/$/, ''));
    }
  });

  it('in-C8: tokens of such a realm are accepted', async () => {
    const provider = keycloak({
      url: 'https://id.example',
      realm: 'Company GmbH',
      internalJwksUri: `${issuer.url}/keys`,
    });
    const claims = { typ: 'Bearer', azp: 'svc', client_id: 'svc', preferred_username: 'service-account-svc' };
    const token = plainToken('https://id.example/realms/Company%20GmbH', { header: { typ: 'JWT' }, claims });
    expect(await outcome(verifierFor([provider], { clients: ['svc'] }), token)).toBe('accepted');
  });

  test.each(['a/b', '..', '.', 'a\\b', ' a', 'a\n', '\uD800'])('in-C8: %j is an error, not a name', (realm) => {
    expect(keycloak({ url: 'https://id.example', realm }).faults('never')).toMatchObject([{ path: 'realm' }]);
    const { faults } = okta({ domain: 'acme.okta.com', authorizationServerId: realm });
    expect(faults('never')).toMatchObject([{ path: 'authorizationServerId' }]);
  });
});

describe('in-C10: one client at several issuers', () => {
  const tenantId = '8a3f6a52-93f1-4b70-8e0b-4e5c3f7f2a11';
  const jwks = { keys: [rsa.jwk] };
  const v2 = { ...entraId({ tenantId }), jwksUri: undefined, jwks };
  const v1 = { ...entraId({ tenantId, tokenVersion: 'v1' }), jwksUri: undefined, jwks };
  const machine = { tid: tenantId, oid: 'o', sub: 'o', client_id: undefined };
  const header = { typ: 'JWT' };
  const tokenOfV2 = (azp: string) =>
    plainToken(v2.issuer, { header, claims: { ...machine, ver: '2.0', azp, azpacr: '1' } });
  const tokenOfV1 = (appid: string) =>
    plainToken(v1.issuer, { header, claims: { ...machine, ver: '1.0', appid, appidacr: '1' } });

  it('in-C10: a client may be named with both versions of its tenant', async () => {
    const clients = [
      { clientId: 'app1', issuer: [v2.issuer, v1.issuer] },
      { clientId: 'app2', issuer: v2.issuer },
    ];
    const verifier = verifierFor([v2, v1], { clients });
    expect(await outcome(verifier, tokenOfV2('app1'))).toBe('accepted');
    expect(await outcome(verifier, tokenOfV1('app1'))).toBe('accepted');
    expect(await outcome(verifier, tokenOfV2('app2'))).toBe('accepted');
    // Elsewhere the same identifier may be another client's.
    expect(await outcome(verifier, tokenOfV1('app2'))).toBe('client_not_allowed');
    // Its scopes and its end go with it, and a route may name it.
    const ended = verifierFor([v2, v1], {
      clients: [{ clientId: 'app1', issuer: [v2.issuer, v1.issuer], until: '2020-01-01' }],
    });
    expect([await outcome(ended, tokenOfV2('app1')), await outcome(ended, tokenOfV1('app1'))]).toEqual([
      'client_expired',
      'client_expired',
    ]);
    expect(await verifier.verify(tokenOfV1('app1'), { clients: ['app1'] })).toMatchObject({ ok: true });
  });

  test.each<[string, GuardOptions['clients'], Record<string, string>]>([
    ['no issuer', ['app1'], { 'options.clients[0].issuer': 'nothing' }],
    ['an empty list', [{ clientId: 'app1', issuer: [] }], { 'options.clients[0].issuer': 'a list of 0' }],
    [
      'an issuer that is not trusted',
      [{ clientId: 'app1', issuer: [v2.issuer, 'https://other.example'] }],
      { 'options.clients[0].issuer[1]': '"https://other.example"' },
    ],
    [
      'the same issuer twice',
      [{ clientId: 'app1', issuer: [v2.issuer, v2.issuer] }],
      { 'options.clients[0]': 'a duplicate' },
    ],
    [
      'the same client twice',
      [
        { clientId: 'app1', issuer: [v1.issuer, v2.issuer] },
        { clientId: 'app1', issuer: v2.issuer },
      ],
      { 'options.clients[1]': 'a duplicate' },
    ],
  ])('in-C10: %s fails the boot', (_name, clients, expected) => {
    try {
      verifierFor([v2, v1], { clients: clients! });
      throw new Error('it booted');
    } catch (error) {
      expect(error).toBeInstanceOf(IdentityM2MConfigurationError);
      const { faults } = error as IdentityM2MConfigurationError;
      expect(Object.fromEntries(faults.map(({ path, found }) => [path, found]))).toEqual(expected);
    }
  });
});

describe('srv-11: keys are fetched at boot', () => {
  const metadataOf = () => issuer.requestsFor('/.well-known/openid-configuration').length;
  const down: Answer = json(503, {});
  const manualClock = () => socketClock(() => issuer.server);
  const create = (options: Partial<GuardOptions> = {}, clock?: ManualClock) => {
    const issuers = [genericOAuth2({ issuer: issuer.url })];
    const surroundings = { production: false, ...(clock && { clock }) };
    const verifier = createAccessTokenVerifier({ issuers, audience: 'api', start: 'warm', ...options }, surroundings);
    open.push(verifier);
    verifier.events.subscribe((event) => events.push(event));
    return verifier;
  };

  it('srv-11: before any token comes, so that an outage right after the boot is not noticed', async () => {
    const verifier = create();
    await until(() => events.some(({ type }) => type === 'key_set.changed'));
    issuer.keySetAnswer = down;
    expect(await outcome(verifier, plainToken(issuer.url))).toBe('accepted');
    expect([metadataOf(), issuer.keySetRequests]).toEqual([1, 1]);
  });

  it('srv-11: a boot in an outage does not wait, and retries fetch them before the first call', async () => {
    const clock = manualClock();
    issuer.keySetAnswer = down;
    const verifier = create({}, clock);
    await verifier.start();
    await clock.advance(30_000);
    const failures = events.flatMap((event) => (event.type === 'key_set.refresh_failed' ? [event.failures] : []));
    // 1, 2, 4, 8 and 16 s, each shorter by up to a half.
    expect(failures.length).toBeGreaterThanOrEqual(5);
    expect(failures.length).toBeLessThanOrEqual(9);
    issuer.keySetAnswer = undefined;
    await clock.advance(32_000);
    expect(events.at(-1)).toEqual({ type: 'key_set.recovered', issuer: issuer.url });
    issuer.keySetAnswer = down;
    expect(await outcome(verifier, plainToken(issuer.url))).toBe('accepted');
    // From there on the rule is as before: keys that nobody uses are not read again.
    const before = issuer.keySetRequests;
    await clock.advance(24 * 3600_000);
    expect(issuer.keySetRequests - before).toBeLessThanOrEqual(1);
  });

  it('srv-11: the first callers share the request of the boot', async () => {
    const verifier = create();
    const outcomes = await Promise.all(Array.from({ length: 20 }, () => outcome(verifier, plainToken(issuer.url))));
    expect(new Set(outcomes)).toEqual(new Set(['accepted']));
    expect(issuer.keySetRequests).toBe(1);
  });

  it.each(['lazy', undefined] as const)('srv-11: `%s` waits for the first token', async (start) => {
    const verifier = create({ start });
    await verifier.start();
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(issuer.server.requests).toHaveLength(0);
    expect(await outcome(verifier, plainToken(issuer.url))).toBe('accepted');
  });

  it('srv-11: no keys are requested if they are given, or if tokens are opaque', async () => {
    const introspection = [{ clientId: 'api', clientSecret: 'a secret of the guard' }];
    const given = create({ issuers: [genericOAuth2({ issuer: issuer.url, jwks: { keys: [rsa.jwk] } })] });
    const opaque = create({ introspection });
    await Promise.all([given.start(), opaque.start()]);
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(issuer.server.requests).toHaveLength(0);
    // Unless they have an address of their own.
    create({ introspection, issuers: [remote()] });
    await until(() => issuer.keySetRequests === 1);
  });

  it('srv-11: `require` waits for the keys of all issuers', async () => {
    const second = await ForgeableIssuer.start();
    second.keys = [rsa.jwk];
    let answer = () => {};
    second.keySetAnswer = (...request) => (answer = () => void json(200, { keys: second.keys })(...request));
    const verifier = create({
      issuers: [remote(), genericOAuth2({ issuer: second.url })],
      start: 'require',
    });
    let isReady = false;
    const ready = verifier.start().then(() => (isReady = true));
    await until(() => second.keySetRequests === 1);
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(isReady).toBe(false);
    answer();
    await ready;
    expect(await outcome(verifier, plainToken(second.url))).toBe('accepted');
    await second.close();
  });

  it('srv-11: `require` fails in time, with the issuers and the reasons', async () => {
    const clock = manualClock();
    issuer.keySetAnswer = down;
    const verifier = create({ start: 'require', startTimeoutMs: 10_000 }, clock);
    const started = verifier.start().catch((error: unknown) => error);
    await clock.advance(9_999);
    await clock.advance(1);
    expect(await started).toMatchObject({
      code: 'M2M_KEY_SET_UNAVAILABLE',
      message: `The guard has start: 'require', but could not get the keys of these issuers within 10000 ms:\n  ${issuer.url}: the key set at ${issuer.url}/keys returned HTTP 503`,
    });
  });

  it('srv-11: `require` fails at once if a certificate is rejected, and names the remedy', async () => {
    const authority = await CertificateAuthority.create('Private authority');
    const server = await TestServer.start(json(200, { keys: [rsa.jwk] }), await authority.issueForLoopback());
    const jwksUri = `${server.url}/keys`;
    const issuers = [genericOAuth2({ issuer: issuer.url, jwksUri })];
    const error: unknown = await create({ issuers, start: 'require' })
      .start()
      .catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({
      code: 'M2M_KEY_SET_UNAVAILABLE',
      message: expect.stringMatching(/could not get the keys of these issuers:[^]*certificate[^]*NODE_EXTRA_CA_CERTS/),
    });
    expect(events).toContainEqual(
      expect.objectContaining({ problem: expect.stringMatching(/certificate.*option ca/) }),
    );
    const trusting = create({ issuers, start: 'require', ca: authority.pem });
    await trusting.start();
    await server.close();
    expect(await outcome(trusting, plainToken(issuer.url))).toBe('accepted');
  });

  it('srv-11: a verifier that is closed ends its start, and leaves nothing behind', async () => {
    const clock = manualClock();
    issuer.keySetAnswer = () => undefined;
    const verifier = create({ start: 'require' }, clock);
    const started = verifier.start().catch((error: unknown) => error);
    await until(() => issuer.keySetRequests === 1);
    verifier.close();
    expect(await started).toMatchObject({
      code: 'M2M_KEY_SET_UNAVAILABLE',
      message: expect.stringContaining('closed'),
    });
    await until(() => clock.pendingTimers === 0);
    await clock.advance(60_000);
    expect(issuer.keySetRequests).toBe(1);
  });

  it.each<[string, Partial<GuardOptions>, string]>([
    ['start', { start: 'eager' as never }, 'options.start'],
    ['startTimeoutMs', { startTimeoutMs: 0 }, 'options.startTimeoutMs'],
  ])('srv-11: the boot refuses a wrong %s', (_name, options, path) => expect(() => create(options)).toThrow(path));
});

describe('srv-11: a Nest application', () => {
  const application = async (guard: Partial<GuardOptions>) => {
    const issuers = [genericOAuth2({ issuer: issuer.url })];
    const module = await Test.createTestingModule({
      imports: [IdentityM2MModule.forRoot({ guard: { issuers, audience: 'api', ...guard } })],
    }).compile();
    const app = module.createNestApplication();
    app.useLogger(false);
    return app;
  };

  it('srv-11: fetches keys when it boots, not when it is created, and does not wait', async () => {
    let answer = () => {};
    issuer.keySetAnswer = (...request) => (answer = () => void json(200, { keys: issuer.keys })(...request));
    const app = await application({});
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(issuer.server.requests).toHaveLength(0);
    await app.init();
    await until(() => issuer.keySetRequests === 1);
    answer();
    await app.close();
  });

  it('srv-11: boots during an outage, and shuts down during one', async () => {
    issuer.keySetAnswer = json(503, {});
    const app = await application({});
    await app.init();
    await app.close();
    const asked = issuer.server.requests.length;
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(issuer.server.requests).toHaveLength(asked);
  });

  it('srv-11: does not boot without keys if they are required', async () => {
    issuer.keySetAnswer = json(503, {});
    const app = await application({ start: 'require', startTimeoutMs: 1000 });
    await expect(app.init()).rejects.toThrow(/could not get the keys of these issuers within 1000 ms.*HTTP 503/s);
    await app.close();
    issuer.keySetAnswer = undefined;
    const second = await application({ start: 'require' });
    await second.init();
    expect(issuer.keySetRequests).toBeGreaterThan(1);
    await second.close();
  });
});

describe('in-C12: identifiers with stray characters from copying or splitting', () => {
  const jwks = { keys: [rsa.jwk] };
  const faultsOf = (guard: Partial<GuardOptions>) => {
    try {
      verifierFor([genericOAuth2({ issuer: 'https://id.example', jwks })], guard);
      return 'it booted';
    } catch (error) {
      if (!(error instanceof IdentityM2MConfigurationError)) throw error;
      return Object.fromEntries(error.faults.map(({ path, found }) => [path, found]));
    }
  };

  test.each<[string, Partial<GuardOptions>, Record<string, string>]>([
    [
      'a client of a list that was split',
      { clients: 'a, b'.split(',') },
      { 'options.clients[1]': 'a string that starts with whitespace' },
    ],
    [
      'a client with a line break',
      { clients: ['a\n'] },
      { 'options.clients[0]': 'a string that ends with a line break' },
    ],
    [
      'a client with a byte order mark',
      { clients: ['\uFEFFa'] },
      { 'options.clients[0]': 'a string that starts with a byte order mark' },
    ],
    [
      'a client with a control character',
      { clients: ['a\0b'] },
      { 'options.clients[0]': 'a string that contains a control character' },
    ],
    [
      'a client with a non-ASCII space',
      { clients: ['a\u00a0'] },
      { 'options.clients[0]': 'a string that ends with whitespace' },
    ],
    [
      'a client in its long form',
      { clients: [{ clientId: 'a ' }] },
      { 'options.clients[0].clientId': 'a string that ends with whitespace' },
    ],
    ['an audience', { audience: 'api ' }, { 'options.audience': '"api ", which ends with whitespace' }],
    [
      'an audience of a list that was split',
      { audience: 'a, b'.split(',') },
      { 'options.audience': 'a list of 2 whose [1] starts with whitespace' },
    ],
    [
      'a scope',
      { clients: [{ clientId: 'a', scopes: 'r, w'.split(',') }] },
      { 'options.clients[0].scopes': 'a list of 2 whose [1] starts with whitespace' },
    ],
    [
      'the issuer of a client',
      { clients: [{ clientId: 'a', issuer: ['https://id.example', ' https://id.example'] }] },
      { 'options.clients[0].issuer': 'a list of 2 whose [1] starts with whitespace' },
    ],
    [
      'the guard’s own identifier',
      { introspection: [{ clientId: 'a\t', clientSecret: 'a secret of the guard' }] },
      { 'options.introspection[0].clientId': 'a string that contains a control character' },
    ],
    [
      'an issuer',
      { issuers: [genericOAuth2({ issuer: 'https://id.example\n' })] },
      { 'options.issuers[0].issuer': 'an address that ends with a line break' },
    ],
    [
      'the address of a preset that tokens repeat',
      { issuers: [keycloak({ url: 'https://id.example ', realm: 'r' })], clients: ['a'] },
      { 'options.issuers[0].url': 'an address that ends with whitespace' },
    ],
    [
      'the name of a claim',
      {
        issuers: [
          genericOAuth2({
            issuer: 'https://id.example',
            accessToken: { clientIdClaims: ['azp', ' cid'], requiredClaims: ['sub '] },
          }),
        ],
      },
      {
        'options.issuers[0].accessToken.clientIdClaims': 'a list of 2 whose [1] starts with whitespace',
        'options.issuers[0].accessToken.requiredClaims': 'a list of 1 whose [0] ends with whitespace',
      },
    ],
  ])('in-C12: %s fails the boot, which names it', (_name, guard, expected) =>
    expect(faultsOf(guard)).toEqual(expected),
  );

  it('in-C12: spaces inside a name are part of it', () => {
    expect(faultsOf({ clients: ['my client'], audience: 'My API' })).toBe('it booted');
  });

  it('in-C12: a route that names such a client fails when its class is defined', () => {
    const [first, second] = 'a, b'.split(',') as [string, string];
    expect(() => AllowClients(first, second)).toThrow(/@AllowClients\(\).*found \["a"," b"\]/);
    expect(() => AllowClients('a\n')).toThrow(TypeError);
  });
});

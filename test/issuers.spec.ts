import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, test } from '@jest/globals';
import {
  type AccessTokenVerifier,
  createAccessTokenVerifier,
  cyberArkIdentity,
  genericOAuth2,
  type GuardOptions,
  kubernetesServiceAccounts,
  type VerificationEvent,
} from 'nestjs-identity-m2m';
import { forge, ForgeableIssuer, type ForgingKey, forgingKey, part } from './support/forgeable-issuer.js';
import { type Answer, json, TestServer } from './support/http-server.js';

const rsa = forgingKey('RS256', 'k1');
const others = Array.from({ length: 4 }, (_, index) => forgingKey('RS256', `other${index}`));
const now = () => Math.floor(Date.now() / 1000);

let issuer: ForgeableIssuer;
const open: { close(): void }[] = [];
let events: VerificationEvent[];

beforeAll(async () => (issuer = await ForgeableIssuer.start()));
afterAll(() => issuer.close());
beforeEach(() => {
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
  return verdict.ok ? 'let in' : verdict.reason;
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
    ['in-A3: members that nobody knows', { valid_from: null, tags: [], x5c: [null], owner: {} }],
  ])('%s is a member that is not there', async (_name, more) => {
    issuer.keys = [{ ...written, ...more }];
    expect(await outcome(verifierFor([remote()]), plainToken(issuer.url))).toBe('let in');
    // The same where the key set is given.
    const jwks = { keys: [{ ...written, ...more }] };
    expect(await outcome(verifierFor([genericOAuth2({ issuer: issuer.url, jwks })]), plainToken(issuer.url))).toBe(
      'let in',
    );
  });

  it('in-A3: a kid that is null is none', async () => {
    issuer.keys = [{ ...written, kid: null }];
    expect(await outcome(verifierFor([remote()]), plainToken(issuer.url))).toBe('let in');
    expect(await outcome(verifierFor([remote()]), plainToken(issuer.url, { header: { kid: undefined } }))).toBe(
      'let in',
    );
  });

  it('in-A5: what a member says counts as before, and what a key needs is missed', async () => {
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

  it('in-A8: coordinates without the zeros in front, or with one more, are the same numbers', async () => {
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
    expect(await outcome(verifierFor([remote()]), plainToken(issuer.url, { key }))).toBe('let in');
  });

  it('in-A13: a file may begin with a byte order mark', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'keys-'));
    const jwksFile = join(folder, 'jwks.json');
    await writeFile(
      jwksFile,
      Buffer.concat([Buffer.from([0xef, 0xbb, 0xbf]), Buffer.from(JSON.stringify({ keys: [rsa.jwk] }))]),
    );
    expect(await outcome(verifierFor([genericOAuth2({ issuer: issuer.url, jwksFile })]), plainToken(issuer.url))).toBe(
      'let in',
    );
    const account = 'system:serviceaccount:shop:billing';
    const kubernetes = kubernetesServiceAccounts({ issuer: issuer.url, jwksFile });
    const claims = { sub: account, 'kubernetes.io': {} };
    const token = plainToken(issuer.url, { header: { typ: undefined }, claims });
    expect(await outcome(verifierFor([kubernetes], { clients: [account] }), token)).toBe('let in');
    await rm(folder, { recursive: true });
  });

  it('in-A13: an answer may begin with a byte order mark, and so may metadata', async () => {
    issuer.keySetAnswer = text(`\uFEFF${JSON.stringify({ keys: [rsa.jwk] })}`);
    expect(await outcome(verifierFor([remote()]), plainToken(issuer.url))).toBe('let in');
  });

  it('in-A19: 101 RSA keys are used, the last of them too', async () => {
    issuer.keys = Array.from({ length: 101 }, (_, index) => ({ ...others[index % 4]!.jwk, kid: `m${index}` }));
    (issuer.keys as object[])[100] = { ...rsa.jwk, kid: 'm100' };
    expect(JSON.stringify(issuer.keys).length).toBeLessThan(262_144);
    expect(await outcome(verifierFor([remote()]), plainToken(issuer.url, { header: { kid: 'm100' } }))).toBe('let in');
  });

  it('in-A19: as many keys as fit into the longest key set that is read', async () => {
    const { jwk, ...key } = forgingKey('ES256', 'last');
    issuer.keys = Array.from({ length: 999 }, (_, index) => ({ ...forgingEc.jwk, kid: `e${index}` }));
    issuer.keys.push(jwk);
    expect(JSON.stringify(issuer.keys).length).toBeLessThan(262_144);
    expect(await outcome(verifierFor([remote()]), plainToken(issuer.url, { key: { jwk, ...key } }))).toBe('let in');
  });

  it('in-A20: a token without kid is tried with the keys that fit, the fifth among them', async () => {
    issuer.keys = [...others.map(({ jwk }) => jwk), rsa.jwk];
    const verifier = verifierFor([remote()]);
    expect(await outcome(verifier, plainToken(issuer.url, { header: { kid: undefined } }))).toBe('let in');
    expect(
      await outcome(verifier, plainToken(issuer.url, { key: forgingKey('RS256'), header: { kid: undefined } })),
    ).toBe('signature_invalid');
  });

  it('in-A20: keys that are for the algorithm alone are tried before the others, and no more than sixteen', async () => {
    const crowd = Array.from({ length: 16 }, (_, index) => ({ ...others[index % 4]!.jwk, kid: `c${index}` }));
    issuer.keys = [...crowd, { ...rsa.jwk, alg: 'RS256' }];
    const token = plainToken(issuer.url, { header: { kid: undefined } });
    expect(await outcome(verifierFor([remote()]), token)).toBe('let in');
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

describe('in-key-1: Ed25519 keys that anyone can sign for', () => {
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
      expect(await outcome(verifier, plainToken(issuer.url, { key: good }))).toBe('let in');
    },
  );

  it('in-key-1: the same key in the options fails the boot', () => {
    const jwks = { keys: [{ kty: 'OKP', crv: 'Ed25519', x: encodings[0]!.toString('base64url'), kid: 'weak' }] };
    expect(() => verifierFor([genericOAuth2({ issuer: issuer.url, jwks })])).toThrow(/a key that is weak/);
  });

  it('in-key-1: RSA keys that anyone can factor are weak as well', async () => {
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

describe('metadata at either of its addresses', () => {
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
      expect(await ask()).toBe('let in');
    }
  });

  it('in-B3: metadata is read whatever its media type, and behind a byte order mark', async () => {
    const body = `\uFEFF${JSON.stringify({ issuer: server.url, jwks_uri: `${server.url}/keys` })}`;
    answers[OIDC] = text(body, { 'content-type': 'binary/octet-stream' });
    expect(await ask()).toBe('let in');
  });

  it('in-B4: an issuer with a path has its metadata below it, or before it', async () => {
    const issuer = `${server.url}/realms/acme`;
    const metadata = json(200, { issuer, jwks_uri: `${server.url}/keys` });
    for (const address of ['/realms/acme/.well-known/openid-configuration', `${OAUTH}/realms/acme`]) {
      answers = { '/keys': answers['/keys']!, [address]: metadata, [OIDC]: page, [OAUTH]: page };
      expect(await outcome(verifierFor([genericOAuth2({ issuer })]), plainToken(issuer))).toBe('let in');
    }
  });

  it('in-B4: where neither is there, both answers are told', async () => {
    answers[OIDC] = json(403, {});
    answers[OAUTH] = document({ issuer: 'https://other.example' });
    expect(await ask()).toBe('issuer_unavailable');
    expect(events).toEqual([
      expect.objectContaining({
        type: 'key_set.refresh_failed',
        problem: expect.stringMatching(
          /openid-configuration answered HTTP 403; .*names the issuer "https:\/\/other\.example" instead/,
        ),
      }),
    ]);
  });

  test.each([429, 502, 503, 504])('in-B4: a server that is down (%i) is not asked twice', async (status) => {
    answers[OIDC] = json(status, {});
    answers[OAUTH] = document();
    expect(await ask()).toBe('issuer_unavailable');
    expect(asked()).toEqual([OIDC]);
  });

  it('in-B3: keys that a product has at a known address are found where a page stands for its metadata', async () => {
    const { fallbackJwksUri, ...tenant } = cyberArkIdentity({ tenantUrl: server.url, applicationId: 'api' });
    const { pathname } = new URL(fallbackJwksUri!);
    const claims = { unique_name: 'svc', scope: 'all' };
    const token = plainToken(tenant.issuer!, { header: { typ: 'JWT' }, claims });
    server.answer = (request, ...rest) => (request.url === pathname ? answers['/keys']! : page)(request, ...rest);
    expect(await outcome(verifierFor([{ ...tenant, fallbackJwksUri }], { clients: ['svc'] }), token)).toBe('let in');
    // A tenant that is down is down there too.
    server.answer = json(503, {});
    server.requests.length = 0;
    expect(await outcome(verifierFor([{ ...tenant, fallbackJwksUri }], { clients: ['svc'] }), token)).toBe(
      'issuer_unavailable',
    );
    expect(server.requests).toHaveLength(1);
  });
});

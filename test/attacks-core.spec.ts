import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { deflateRawSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, it, test } from '@jest/globals';
import {
  type AccessTokenVerifier,
  createAccessTokenVerifier,
  genericOAuth2,
  type GuardOptions,
  IdentityM2MConfigurationError,
  InMemoryRevocations,
  keycloak,
  type RoutePolicy,
} from 'nestjs-identity-m2m';
import { CompactEncrypt, importJWK } from 'jose';
// From inside: reading scopes is a pure rule, tried by a table without tokens.
import { readScopes } from '../libs/identity-m2m/src/verification/caller-identity.js';
import { forge, ForgeableIssuer, forgeHmac, forgingKey, part, signature } from './support/forgeable-issuer.js';
import { growth, TOO_STEEP } from './support/growth.js';
import { ManualClock } from 'nestjs-identity-m2m/testing';

const NOW = new Date('2030-01-01T00:00:00Z').getTime() / 1000;

// One key of each kind for the whole file: making an RSA key takes longer than all that is done with it.
const rsa = forgingKey('RS256', 'rsa');
const otherRsa = forgingKey('RS256', 'rsa');
const ec = forgingKey('ES256', 'ec');
const ec384 = forgingKey('ES384', 'ec384');
const ec521 = forgingKey('ES512', 'ec521');
const ed = forgingKey('EdDSA', 'ed');
const boundToRs256 = forgingKey('RS256', 'rs256-only', { alg: 'RS256' });
const smallRsa = forgingKey('RS256', 'small', {}, 1024);

let issuer: ForgeableIssuer;
let second: ForgeableIssuer;
let verifier: AccessTokenVerifier;

const claims = (more: object = {}) => ({
  iss: issuer.url,
  aud: 'users-api',
  sub: 'billing',
  client_id: 'billing',
  scope: 'users.read',
  iat: NOW,
  exp: NOW + 300,
  ...more,
});

function startVerifier(options: Partial<GuardOptions> = {}, clock = new ManualClock(new Date(NOW * 1000))) {
  return createAccessTokenVerifier(
    {
      issuers: [genericOAuth2({ issuer: issuer.url }), genericOAuth2({ issuer: second.url })],
      audience: 'users-api',
      ...options,
    },
    { clock, production: false },
  );
}

async function outcome(token: string, route?: RoutePolicy, by = verifier): Promise<string> {
  const verdict = await by.verify(token, route);
  return verdict.ok ? 'accepted' : verdict.reason;
}

async function withVerifier(options: Partial<GuardOptions>, test: (by: AccessTokenVerifier) => Promise<void>) {
  const by = startVerifier(options);
  await test(by).finally(() => by.close());
}

/** A token made of a good one by changing its text. */
const altered = (change: (parts: [string, string, string], token: string) => string) => {
  const token = forge(rsa, claims());
  return change(token.split('.') as [string, string, string], token);
};

beforeAll(async () => {
  [issuer, second] = await Promise.all([ForgeableIssuer.start(), ForgeableIssuer.start()]);
  const unusable = [
    { kty: 'oct', k: Buffer.from('known to everybody').toString('base64url'), kid: 'oct', alg: 'HS256' },
    { ...otherRsa.jwk, kid: 'for-encryption', use: 'enc' },
    { ...otherRsa.jwk, kid: 'no-verify', key_ops: ['sign'] },
    { ...otherRsa.jwk, kid: 'wrong-alg', alg: 'ES256' },
    { ...otherRsa.jwk, kid: 'e1', e: 'AQ' },
    { ...otherRsa.privateKey.export({ format: 'jwk' }), kid: 'private' },
    { ...ec.jwk, kid: 'off-curve', x: Buffer.alloc(32, 7).toString('base64url') },
    { ...ec.jwk, kid: 'ed-on-p256', kty: 'OKP' },
    smallRsa.jwk,
    null,
    'a text',
    { kid: 7, kty: 'RSA' },
  ];
  issuer.keys = [...unusable, rsa.jwk, ec.jwk, ec384.jwk, ec521.jwk, ed.jwk, boundToRs256.jwk];
  second.keys = [otherRsa.jwk];
  verifier = startVerifier();
});
afterAll(async () => {
  verifier.close();
  await Promise.all([issuer.close(), second.close()]);
});

type Row = readonly [name: string, token: () => string | Promise<string>, reason: string];

const pem = (type: 'spki' | 'pkcs1') => rsa.publicKey.export({ type, format: 'pem' }) as string;
const jwkText = () => JSON.stringify(rsa.jwk);
const modulus = () => Buffer.from(rsa.jwk.n as string, 'base64url');
const EC_ORDER = Buffer.from('ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551', 'hex');
const ecSignature = (signed: Buffer) =>
  `${forge(ec, claims()).split('.').slice(0, 2).join('.')}.${signed.toString('base64url')}`;

describe('the attack list, signature and algorithm', () => {
  it('has a valid token of each kind of key to compare with', async () => {
    for (const key of [rsa, ec, ec384, ec521, ed, { ...rsa, algorithm: 'PS256' }, { ...rsa, algorithm: 'RS512' }]) {
      expect(await outcome(forge(key, claims()))).toBe('accepted');
    }
    // RFC 9864: with this curve, both names mean the same.
    expect(await outcome(forge(ed, claims(), { alg: 'Ed25519' }))).toBe('accepted');
  });

  const rows: Row[] = [
    ...['none', 'None', 'nOnE', '', null, undefined, 1, ['RS256'], {}].map((alg): Row => [
      `S1 alg ${JSON.stringify(alg)}`,
      () => forge(rsa, claims(), { alg }),
      'algorithm_refused',
    ]),
    ['S1 an empty signature', () => altered(([h, p]) => `${h}.${p}.`), 'token_malformed'],
    ['S1 two parts', () => altered(([h, p]) => `${h}.${p}`), 'token_malformed'],
    ['S1 none and an empty signature', () => `${part({ alg: 'none' })}.${part(claims())}.`, 'token_malformed'],
    ...(
      [
        ['SPKI in PEM', () => pem('spki')],
        ['SPKI in PEM without its last line break', () => pem('spki').trimEnd()],
        ['SPKI in PEM after a space', () => ` ${pem('spki')}`],
        ['SPKI in PEM behind a BOM', () => `\uFEFF${pem('spki')}`],
        ['PKCS#1 in PEM', () => pem('pkcs1')],
        ['DER', () => rsa.publicKey.export({ type: 'spki', format: 'der' })],
        ['a JWK', jwkText],
        ['the modulus', modulus],
      ] as const
    ).map(([name, secret]): Row => [
      `S2 HS256 with the public key as ${name}`,
      () => forgeHmac(secret(), claims(), { kid: 'rsa' }),
      'algorithm_refused',
    ]),
    [
      'S3 HS256 with a secret in the key set',
      () => forgeHmac('known to everybody', claims(), { kid: 'oct' }),
      'algorithm_refused',
    ],
    ['S3 RS256 with the kid of that secret', () => forge(rsa, claims(), { kid: 'oct' }), 'key_unknown'],
    ['S4 an EC token with the kid of an RSA key', () => forge(ec, claims(), { kid: 'rsa' }), 'key_unknown'],
    ['S4 an RSA token with the kid of an EC key', () => forge(rsa, claims(), { kid: 'ec' }), 'key_unknown'],
    ['S4 ES256 with the kid of a P-384 key', () => forge(ec, claims(), { kid: 'ec384' }), 'key_unknown'],
    ['S4 ES512 by the name ES521', () => forge(ec521, claims(), { alg: 'ES521' }), 'algorithm_refused'],
    ['S4 ES256 over secp256k1', () => forge(ec, claims(), { alg: 'ES256K' }), 'algorithm_refused'],
    ['S5 PS256 with a key for RS256', () => forge({ ...boundToRs256, algorithm: 'PS256' }, claims()), 'key_unknown'],
    ['S5 RS512 with a key for RS256', () => forge({ ...boundToRs256, algorithm: 'RS512' }, claims()), 'key_unknown'],
    ['S5 RSA1_5', () => forge(rsa, claims(), { alg: 'RSA1_5' }), 'algorithm_refused'],
    ['S6 ECDSA r = s = 0', () => ecSignature(Buffer.alloc(64)), 'signature_invalid'],
    ['S6 ECDSA r = n', () => ecSignature(Buffer.concat([EC_ORDER, Buffer.alloc(32, 1)])), 'signature_invalid'],
    ['S6 ECDSA s = n', () => ecSignature(Buffer.concat([Buffer.alloc(32, 1), EC_ORDER])), 'signature_invalid'],
    ['S6 ECDSA of the wrong length', () => ecSignature(Buffer.alloc(63, 1)), 'signature_invalid'],
    [
      'S6 ECDSA in DER',
      () => {
        const raw = signature(ec, forge(ec, claims()).split('.').slice(0, 2).join('.'));
        const integer = (bytes: Buffer) => Buffer.concat([Buffer.from([2, 33, 0]), bytes]);
        const both = Buffer.concat([integer(raw.subarray(0, 32)), integer(raw.subarray(32))]);
        return ecSignature(Buffer.concat([Buffer.from([0x30, both.length]), both]));
      },
      'signature_invalid',
    ],
    ['S8 a signature that is cut', () => altered(([h, p, s]) => `${h}.${p}.${s.slice(0, -2)}`), 'signature_invalid'],
    [
      'S8 a bit of the signature turned',
      () => altered(([h, p, s]) => `${h}.${p}.${s.startsWith('A') ? 'B' : 'A'}${s.slice(1)}`),
      'signature_invalid',
    ],
    [
      'S8 the signature of another token',
      () => altered(([h, , s]) => `${h}.${part(claims({ scope: 'admin' }))}.${s}`),
      'signature_invalid',
    ],
    [
      'S9 a key of its own in jwk',
      () => forge(otherRsa, claims(), { jwk: otherRsa.jwk, kid: 'mine' }),
      'token_header_refused',
    ],
    ['S9 the same with a trusted kid', () => forge(otherRsa, claims(), { jwk: otherRsa.jwk }), 'token_header_refused'],
    ['S9 another key with a trusted kid', () => forge(otherRsa, claims()), 'signature_invalid'],
    ...['../../dev/null', '/etc/passwd', "' OR 1=1 --", '| id', '\0', '__proto__', 'constructor', 'toString'].map(
      (kid): Row => [`S11 kid ${JSON.stringify(kid)}`, () => forge(rsa, claims(), { kid }), 'key_unknown'],
    ),
    ['S11 kid of 10 KB', () => forge(rsa, claims(), { kid: 'k'.repeat(10_240) }), 'token_header_refused'],
    ['S11 kid of 20 KB', () => forge(rsa, claims(), { kid: 'k'.repeat(20_480) }), 'token_too_long'],
    ...['', 7, {}, [], null, 'k'.repeat(257), 'k'.repeat(5000)].map((kid): Row => [
      `S11 kid ${JSON.stringify(kid).slice(0, 20)}`,
      () => forge(rsa, claims(), { kid }),
      'token_header_refused',
    ]),
    ...[['exp'], ['unknown'], [], 'exp', ['exp', 'exp'], ['alg'], null].map((crit): Row => [
      `S12 crit ${JSON.stringify(crit)}`,
      () => forge(rsa, claims(), { crit, exp: 1 }),
      'token_header_refused',
    ]),
    ['S12 b64 false', () => forge(rsa, claims(), { b64: false }), 'token_header_refused'],
    ['S12 b64 false with crit', () => forge(rsa, claims(), { b64: false, crit: ['b64'] }), 'token_header_refused'],
    ...['for-encryption', 'no-verify', 'wrong-alg', 'e1', 'private', 'small'].map((kid): Row => [
      `S14 a key that is ${kid}`,
      () => forge(kid === 'small' ? smallRsa : otherRsa, claims(), { kid }),
      'key_unknown',
    ]),
    ['S14 a point that is not on its curve', () => forge(ec, claims(), { kid: 'off-curve' }), 'key_unknown'],
    ['S14 a curve of another kind of key', () => forge(ec, claims(), { kid: 'ed-on-p256' }), 'key_unknown'],
    [
      'S16 an encrypted token',
      async () =>
        new CompactEncrypt(Buffer.from(JSON.stringify(claims())))
          .setProtectedHeader({ alg: 'RSA-OAEP', enc: 'A256GCM', typ: 'at+jwt', kid: 'rsa' })
          .encrypt(await importJWK({ ...rsa.jwk, alg: 'RSA-OAEP', use: 'enc' }, 'RSA-OAEP')),
      'token_malformed',
    ],
    [
      'S16 PBES2 with two thousand million rounds',
      () => `${part({ alg: 'PBES2-HS256+A128KW', enc: 'A128GCM', p2c: 2 ** 31 - 1, p2s: 'AAAA' })}.AAAA.AAAA.AAAA.AAAA`,
      'token_malformed',
    ],
    [
      'S16 a compressed payload that swells',
      () => {
        const bomb = deflateRawSync(Buffer.alloc(1_000_000)).toString('base64url');
        return `${part({ alg: 'dir', enc: 'A128GCM', zip: 'DEF' })}..AAAA.${bomb}.AAAA`;
      },
      'token_malformed',
    ],
    [
      'S16 zip on a signed token',
      () => forge(rsa, deflateRawSync(JSON.stringify(claims())), { zip: 'DEF' }),
      'token_malformed',
    ],
    ['S16 a nested token', () => forge(rsa, forge(rsa, claims()), { cty: 'JWT' }), 'token_malformed'],
    [
      'S17 JSON serialisation',
      () => {
        const [protectedHeader, payload, signed] = forge(rsa, claims()).split('.');
        return JSON.stringify({ payload, protected: protectedHeader, signature: signed, header: { alg: 'none' } });
      },
      'token_malformed',
    ],
    [
      'S17 a list of signatures, one of them good',
      () => {
        const [protectedHeader, payload, signed] = forge(rsa, claims()).split('.');
        const signatures = [{ protected: protectedHeader, signature: signed }, { header: { alg: 'none' } }];
        return JSON.stringify({ payload, signatures });
      },
      'token_malformed',
    ],
  ];
  it.each(rows)('%s', async (_name, token, reason) => {
    // The issuer is asked for a key that it does not have, and then not again at once.
    const by = reason === 'key_unknown' ? startVerifier() : verifier;
    expect(await outcome(await token(), undefined, by)).toBe(reason);
    if (by !== verifier) by.close();
  });

  it('S5 an algorithm that is not configured for the issuer is refused, even if its key supports it', async () => {
    const issuers = [genericOAuth2({ issuer: issuer.url, accessToken: { algorithms: ['RS256'] } })];
    await withVerifier({ issuers }, async (by) => {
      expect(await outcome(forge(rsa, claims()), undefined, by)).toBe('accepted');
      for (const key of [{ ...rsa, algorithm: 'PS256' }, { ...rsa, algorithm: 'RS512' }, ec, ed]) {
        expect(await outcome(forge(key, claims()), undefined, by)).toBe('algorithm_refused');
      }
    });
  });

  it('S7 the other encoding of an ECDSA signature gets the same decision, even when the token is revoked', async () => {
    const revocations = new InMemoryRevocations();
    await withVerifier({ revocations }, async (by) => {
      const token = forge(ec, claims({ jti: 'one' }));
      const [header, payload, signed] = token.split('.') as [string, string, string];
      const raw = Buffer.from(signed, 'base64url');
      const s = BigInt(`0x${EC_ORDER.toString('hex')}`) - BigInt(`0x${raw.subarray(32).toString('hex')}`);
      const other = Buffer.concat([raw.subarray(0, 32), Buffer.from(s.toString(16).padStart(64, '0'), 'hex')]);
      const twin = `${header}.${payload}.${other.toString('base64url')}`;
      expect([await outcome(token, undefined, by), await outcome(twin, undefined, by)]).toEqual([
        'accepted',
        'accepted',
      ]);
      revocations.revoke({ issuer: issuer.url, tokenId: 'one' });
      expect([await outcome(token, undefined, by), await outcome(twin, undefined, by)]).toEqual([
        'token_revoked',
        'token_revoked',
      ]);
    });
  });

  it('S10 nothing in a header makes the guard send a request', async () => {
    let asked = 0;
    const listener: Server = createServer((_request, response) => {
      asked++;
      response.end(JSON.stringify({ keys: [otherRsa.jwk] }));
    });
    await new Promise<void>((resolve) => listener.listen(0, '127.0.0.1', resolve));
    const url = `http://127.0.0.1:${(listener.address() as AddressInfo).port}/keys`;
    const x5c = [otherRsa.publicKey.export({ type: 'spki', format: 'der' }).toString('base64')];
    for (const [header, reason] of [
      [{ jku: url }, 'token_header_refused'],
      [{ x5u: url }, 'token_header_refused'],
      [{ x5c }, 'signature_invalid'],
      [{ x5t: 'AAAA', 'x5t#S256': 'AAAA' }, 'signature_invalid'],
    ] as const) {
      expect(await outcome(forge(otherRsa, claims(), header))).toBe(reason);
    }
    expect(asked).toBe(0);
    listener.close();
  });

  it('S13 of several matching keys, the right one verifies, and at most sixteen are tried', async () => {
    const keys = Array.from({ length: 17 }, () => forgingKey('ES256', 'same'));
    const own = await ForgeableIssuer.start();
    own.keys = keys.map(({ jwk }) => jwk);
    await withVerifier({ issuers: [genericOAuth2({ issuer: own.url })] }, async (by) => {
      const of = (key: (typeof keys)[number], header: object = {}) =>
        outcome(forge(key, claims({ iss: own.url }), header), undefined, by);
      expect(await of(keys[0]!)).toBe('accepted');
      expect(await of(keys[15]!)).toBe('accepted');
      expect(await of(keys[16]!)).toBe('signature_invalid');
      expect(await of(keys[15]!, { kid: undefined })).toBe('accepted');
    });
    await own.close();
  });

  it('S13 a kid selects the keys with that kid, or else those without one', async () => {
    const [named, unnamed, stranger] = [forgingKey('ES256', 'named'), forgingKey('ES256'), forgingKey('ES256')];
    const own = await ForgeableIssuer.start();
    own.keys = [named.jwk, unnamed.jwk];
    const of = async (key: typeof named, header: object = {}) => {
      const by = startVerifier({ issuers: [genericOAuth2({ issuer: own.url })] });
      const found = await outcome(forge(key, claims({ iss: own.url }), header), undefined, by);
      by.close();
      return found;
    };
    expect(await of(unnamed)).toBe('accepted');
    expect(await of(unnamed, { kid: 'other' })).toBe('accepted');
    expect(await of(unnamed, { kid: 'named' })).toBe('signature_invalid');
    expect(await of(named, { kid: 'other' })).toBe('key_unknown');
    expect(await of(stranger)).toBe('signature_invalid');
    expect(await of(stranger, { kid: 'other' })).toBe('key_unknown');
    await own.close();
  });

  it('S14 ROCA: a modulus of the faulty generator is not accepted', async () => {
    // 2048 bits, all of whose remainders are powers of 65537, as CVE-2017-15361 makes them.
    const primorial = [2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59, 61, 67, 71, 73, 79, 83, 89, 97]
      .concat([101, 103, 107, 109, 113, 127, 131, 137, 139, 149, 151, 157, 163, 167])
      .reduce((product, prime) => product * BigInt(prime), 1n);
    let power = 1n;
    for (let round = 0; round < 12_345; round++) power = (power * 65_537n) % primorial;
    let weak = power + ((1n << 2047n) / primorial + 1n) * primorial;
    // With a small factor it would be refused for that.
    const divisors = Array.from({ length: 1000 }, (_, index) => BigInt(index + 2));
    while (divisors.some((divisor) => weak % divisor === 0n)) weak += primorial;
    const own = await ForgeableIssuer.start();
    const n = Buffer.from(weak.toString(16), 'hex').toString('base64url');
    own.keys = [{ kty: 'RSA', kid: 'roca', n, e: 'AQAB' }, ec.jwk];
    await withVerifier({ issuers: [genericOAuth2({ issuer: own.url })] }, async (by) => {
      const ignored: unknown[] = [];
      by.events.subscribe((event) => ignored.push(event));
      expect(await outcome(forge(rsa, claims({ iss: own.url }), { kid: 'roca' }), undefined, by)).toBe('key_unknown');
      expect(await outcome(forge(ec, claims({ iss: own.url })), undefined, by)).toBe('accepted');
      expect(ignored).toContainEqual({ type: 'key_set.key_ignored', issuer: own.url, kid: 'roca', reason: 'weak' });
    });
    await own.close();
  });

  it.each<readonly [string, unknown, RegExp]>([
    ['nothing', undefined, /neither|nothing/],
    ['null', null, /jwks: expected a key set/],
    ['an empty text', '', /jwks: expected a key set/],
    ['an empty set', { keys: [] }, /jwks: expected a key set/],
    ['a key set as text', JSON.stringify({ keys: [rsa.jwk] }), /jwks: expected a key set/],
    ['a key in PEM', pem('spki'), /jwks: expected a key set/],
    ['a key in PEM behind a BOM', `\uFEFF${pem('spki')}`, /jwks: expected a key set/],
    ['a key in PEM behind a comment', `# the key\n${pem('spki')}`, /jwks: expected a key set/],
    ['a key in PEM behind a control character', `\u0001${pem('spki')}`, /jwks: expected a key set/],
    ['a key without a set', rsa.jwk, /jwks: expected a key set/],
    ['a shared secret', { keys: [{ kty: 'oct', k: 'c2VjcmV0', kid: 'a' }] }, /found a key that is symmetric/],
    ['a private key', { keys: [rsa.privateKey.export({ format: 'jwk' })] }, /found a key that is private/],
    ['a weak key', { keys: [smallRsa.jwk] }, /found a key that is weak/],
    ['no key', { keys: [null] }, /found a key that is malformed/],
  ])('S15 the boot refuses %s instead of a key set', (_name, jwks, message) => {
    const issuers = [
      genericOAuth2({ ...(jwks !== undefined && { issuer: 'https://id.example' }), jwks: jwks as never }),
    ];
    expect(() => startVerifier({ issuers })).toThrow(IdentityM2MConfigurationError);
    expect(() => startVerifier({ issuers })).toThrow(message);
  });

  it.each([undefined, null, '', 7, {}])('S15 the boot refuses %j as the guard\u2019s own secret', (clientSecret) => {
    const introspection = [{ clientId: 'users-api', clientSecret: clientSecret as string }];
    expect(() => startVerifier({ introspection, issuers: [genericOAuth2({ issuer: issuer.url })] })).toThrow(
      /introspection\[0\]\.clientSecret/,
    );
  });
});

describe('the attack list, encoding and parsing', () => {
  const duplicate = (member: string, of: object) => JSON.stringify(of).replace('{', `{${member},`);
  const rows: Row[] = [
    ...([0, 1, 2] as const).flatMap((index) =>
      (
        [
          ['padding', (text: string) => `${text}=`],
          ['a trailing space', (text: string) => `${text} `],
          ['a tab before', (text: string) => `\t${text}`],
          ['a line break inside', (text: string) => `${text.slice(0, 4)}\n${text.slice(4)}`],
          ['base64 in place of base64url', (text: string) => `${text.slice(0, -1)}+`],
          ['a slash', (text: string) => `${text.slice(0, 4)}/${text.slice(5)}`],
        ] as const
      ).map(([name, change]): Row => [
        `P1 ${name} in part ${index + 1}`,
        () => altered((parts) => parts.with(index, change(parts[index])).join('.')),
        'token_malformed',
      ]),
    ),
    [
      'P1 bits left over at the end of the signature',
      () => {
        // 256 bytes leave four bits over: `A` and `B` read alike.
        const token = forge(rsa, claims());
        const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';
        return token.slice(0, -1) + alphabet[alphabet.indexOf(token.at(-1)!) + 1]!;
      },
      'token_malformed',
    ],
    ...([0, 1] as const).map((index): Row => [
      `P1 bits left over at the end of part ${index + 1}, under a good signature`,
      () => {
        const texts = [{ alg: 'RS256', kid: 'rsa', typ: 'at+jwt' }, claims()].map((value) => {
          const json = JSON.stringify(value);
          // One byte in the last group leaves four bits over.
          return part(json + ' '.repeat((4 - (json.length % 3)) % 3));
        });
        const last = texts[index]!.at(-1)!;
        texts[index] = `${texts[index]!.slice(0, -1)}${String.fromCharCode(last.charCodeAt(0) + 1)}`;
        const input = texts.join('.');
        return `${input}.${signature(rsa, input).toString('base64url')}`;
      },
      'token_malformed',
    ]),
    ['P2 four dots', () => 'a.b.c.d.e', 'token_malformed'],
    ['P2 three dots', () => 'a.b.c.d', 'token_malformed'],
    ['P2 5,000 dots', () => '.'.repeat(5000), 'token_malformed'],
    ['P2 10,000 dots', () => '.'.repeat(10_000), 'token_malformed'],
    ['P2 20,000 dots', () => '.'.repeat(20_000), 'token_too_long'],
    ['P2 a megabyte', () => 'a'.repeat(1_000_000), 'token_too_long'],
    ['P2 16 KiB', () => 'a'.repeat(16_384), 'token_malformed'],
    ['P2 16 KiB and one', () => 'a'.repeat(16_385), 'token_too_long'],
    ...['[]', '"text"', '1', 'null', 'true', '', '{', '{} {}', '\uFEFF{}', "{'a':1}", '{"a":NaN}'].flatMap(
      (json): Row[] => [
        [`P3 claims ${JSON.stringify(json)}`, () => forge(rsa, json), 'token_malformed'],
        [`P3 a header ${JSON.stringify(json)}`, () => forge(rsa, claims(), json), 'token_malformed'],
      ],
    ),
    ['P3 no claims at all', () => altered(([h, , s]) => `${h}..${s}`), 'token_malformed'],
    ['P3 no header at all', () => altered(([, p, s]) => `.${p}.${s}`), 'token_malformed'],
    [
      'P3 a header that is no UTF-8',
      () => forge(rsa, claims(), Buffer.from('{"alg":"RS256","kid":"rsa","typ":"at+jwt","x":"\xff"}', 'latin1')),
      'token_malformed',
    ],
    [
      'P3 half a character in a header',
      () => forge(rsa, claims(), String.raw`{"alg":"RS256","kid":"rsa","typ":"at+jwt","x":"\udc00"}`),
      'token_malformed',
    ],
    ['P3 claims behind a BOM', () => forge(rsa, `\uFEFF${JSON.stringify(claims())}`), 'token_malformed'],
    [
      'P3 invalid UTF-8',
      () => forge(rsa, Buffer.concat([Buffer.from('{"a":"'), Buffer.from([0xff]), Buffer.from('"}')])),
      'token_malformed',
    ],
    [
      'P3 half a character',
      () => forge(rsa, JSON.stringify(claims()).replace('"billing"', String.raw`"billing\ud800"`)),
      'token_malformed',
    ],
    [
      'P4 alg twice',
      () => forge(rsa, claims(), duplicate('"alg":"none"', { alg: 'RS256', kid: 'rsa', typ: 'at+jwt' })),
      'token_malformed',
    ],
    ['P4 aud twice', () => forge(rsa, duplicate('"aud":"other"', claims())), 'token_malformed'],
    [
      'P4 sub twice, once escaped',
      () => forge(rsa, duplicate(String.raw`"\u0073ub":"x"`, claims())),
      'token_malformed',
    ],
    ['P4 a member twice further inside', () => forge(rsa, duplicate('"a":{"b":1,"b":2}', claims())), 'token_malformed'],
    [
      'P6 1,000 levels',
      () => forge(rsa, duplicate(`"a":${'['.repeat(1000)}${']'.repeat(1000)}`, claims())),
      'token_malformed',
    ],
    [
      'P6 10,000 levels',
      () => forge(rsa, duplicate(`"a":${'['.repeat(10_000)}${']'.repeat(10_000)}`, claims())),
      'token_too_long',
    ],
    ...['aud', 'scope', 'roles'].map((name): Row => [
      `P6 100,000 members of ${name}`,
      () => forge(rsa, claims({ [name]: Array(100_000).fill('x') })),
      'token_too_long',
    ]),
    [
      'P6 exp 1e400',
      () => forge(rsa, JSON.stringify(claims()).replace(String(NOW + 300), '1e400')),
      'time_claim_malformed',
    ],
    ['P6 exp -0', () => forge(rsa, JSON.stringify(claims()).replace(String(NOW + 300), '-0')), 'token_expired'],
    [
      'P6 exp 2^53 + 1',
      () => forge(rsa, JSON.stringify(claims()).replace(String(NOW + 300), '9007199254740993')),
      'time_claim_malformed',
    ],
    [
      'P6 a thousand audiences, none of them ours',
      () => forge(rsa, claims({ aud: Array(1000).fill('x') })),
      'audience_mismatch',
    ],
    ['P7 16 KiB of spaces', () => ' '.repeat(16_384), 'token_malformed'],
    ['P7 a scope of 3,000 spaces', () => forge(rsa, claims({ scope: ' '.repeat(3000) })), 'accepted'],
  ];
  it.each(rows)('%s', async (_name, token, reason) => expect(await outcome(await token())).toBe(reason));

  const signed = (payload: string) => `${part({ alg: 'RS256', kid: 'rsa', typ: 'at+jwt' })}.${part(payload)}.AAAA`;
  const member = (text: string) => signed(duplicate(`"a":${text}`, claims({ aud: 'other' })));
  // Refused before anything is waited for: what is measured is the reading.
  const texts: readonly (readonly [string, (length: number) => string])[] = [
    ['P2 dots', (length) => '.'.repeat(length)],
    ['P2 letters', (length) => 'a'.repeat(length)],
    ['P7 spaces', (length) => ' '.repeat(length)],
    ['P1 a strange character at the end', (length) => `${'a'.repeat(length * 3)}+.a.a`],
    ['P6 lists in lists', (length) => member(`${'['.repeat(length)}${']'.repeat(length)}`)],
    ['P6 a list', (length) => member(`[${'1,'.repeat(length)}1]`)],
    ['P6 audiences', (length) => signed(JSON.stringify(claims({ aud: Array(length / 4).fill('x') })))],
    ['P4 members', (length) => member(`{${Array.from({ length: length / 8 }, (_, at) => `"${at}":1`).join(',')}}`)],
    ['P4 quotes', (length) => member(`"${String.raw`\"`.repeat(length)}"`)],
    ['P3 backslashes and a half character', (length) => member(`"${String.raw`\\`.repeat(length)}\\ud800"`)],
    ['P3 whole characters', (length) => member(`"${String.raw`\ud83d\ude00`.repeat(length / 8)}"`)],
    ['P7 white space', (length) => signed(`${' '.repeat(length)}${JSON.stringify(claims({ aud: 'other' }))}`)],
  ];
  it.each(texts)('%s are read in linear time', (_name, text) => {
    const [short, long] = [text(320), text(2560)];
    expect(verifier.verify(long)).toMatchObject({ ok: false });
    expect(
      growth(
        () => verifier.verify(short),
        () => verifier.verify(long),
      ),
    ).toBeLessThan(TOO_STEEP);
  });

  it('P7 a scope is read in linear time', () => {
    for (const letter of [' ', 'a', 'a ', '"']) {
      const [short, long] = [letter.repeat(500), letter.repeat(4000)];
      expect(
        growth(
          () => readScopes({ scope: short }),
          () => readScopes({ scope: long }),
        ),
      ).toBeLessThan(TOO_STEEP);
    }
  });

  test.each([undefined, null, 1, {}, ['a.b.c']])(
    'P2 a value that is not a string is not a token: %j',
    async (nothing) => {
      expect(await outcome(nothing as never)).toBe('token_malformed');
    },
  );

  it('P2 a valid token is accepted by a policy without requirements', async () => {
    expect(await outcome(forge(rsa, claims()), {})).toBe('accepted');
  });

  it('P3 a complete character in escape sequences is accepted', async () => {
    const token = forge(rsa, JSON.stringify(claims()).replace('{', String.raw`{"emoji":"\ud83d\ude00 \\ud800",`));
    expect(await outcome(token)).toBe('accepted');
  });

  it('P5 names of Object.prototype are ordinary names', async () => {
    const own = `{"__proto__":{"client_id":"billing","scope":"admin"},${JSON.stringify({ ...claims(), client_id: undefined }).slice(1)}`;
    expect(await outcome(forge(rsa, own))).toBe('claim_missing');
    const scopes = ['__proto__', 'constructor', 'toString', 'hasOwnProperty'];
    for (const scope of scopes) {
      const route = { scopes: [scope], clients: undefined };
      expect(await outcome(forge(rsa, claims()), route)).toBe('scope_insufficient');
      const claimsRoute = { scopes: [], clients: undefined, claims: { [scope]: 'x' } };
      expect(await outcome(forge(rsa, claims()), claimsRoute)).toBe('claims_insufficient');
      expect(await outcome(forge(rsa, claims()), { scopes: [], clients: [scope] })).toBe('client_not_allowed');
    }
    await withVerifier({ clients: [{ clientId: 'x', issuer: issuer.url }] }, async (by) => {
      const token = forge(rsa, claims({ sub: 'constructor', client_id: 'constructor' }));
      expect(await outcome(token, undefined, by)).toBe('client_not_allowed');
    });
  });

  it('P8 expected values are strings, never patterns', () => {
    expect(() => startVerifier({ audience: /users/g as never })).toThrow(/options\.audience/);
    expect(() => startVerifier({ audience: [/(a+)+$/ as never] })).toThrow(/options\.audience/);
    expect(() => startVerifier({ clients: [/billing/ as never] })).toThrow(/options\.clients\[0\]/);
    expect(() => startVerifier({ issuers: [genericOAuth2({ issuer: /id/ as never })] })).toThrow(/issuers\[0\]/);
  });
});

describe('the attack list, claims', () => {
  const evil = (iss: unknown) => () => forge(rsa, claims({ iss }));
  const port = () => new URL(issuer.url).port;
  const rows: Row[] = [
    ...[undefined, null, String(NOW + 300), 'NaN', -1, -0.5, 1e20, [], {}, true].map((exp): Row => [
      `C1 exp ${JSON.stringify(exp)}`,
      () => forge(rsa, claims({ exp })),
      'time_claim_malformed',
    ]),
    [
      'C1 over by as much as clocks may differ',
      () => forge(rsa, claims({ iat: NOW - 300, exp: NOW - 30 })),
      'token_expired',
    ],
    ['C1 over by one second more', () => forge(rsa, claims({ iat: NOW - 300, exp: NOW - 31 })), 'token_expired'],
    ['C1 over by one second less', () => forge(rsa, claims({ iat: NOW - 300, exp: NOW - 29 })), 'accepted'],
    ['C2 nbf ahead', () => forge(rsa, claims({ nbf: NOW + 31 })), 'token_not_yet_valid'],
    ['C2 nbf ahead by no more than clocks may differ', () => forge(rsa, claims({ nbf: NOW + 30 })), 'accepted'],
    ['C2 iat ahead', () => forge(rsa, claims({ iat: NOW + 31 })), 'token_not_yet_valid'],
    ['C2 iat a text', () => forge(rsa, claims({ iat: String(NOW) })), 'time_claim_malformed'],
    [
      'C1 over by a fraction of a second',
      () => forge(rsa, claims({ exp: NOW - 30.001, iat: NOW - 60 })),
      'token_expired',
    ],
    ['C1 not over, by a fraction', () => forge(rsa, claims({ exp: NOW - 29.999, iat: NOW - 60 })), 'accepted'],
    ['C2 nbf ahead by a fraction too much', () => forge(rsa, claims({ nbf: NOW + 30.001 })), 'token_not_yet_valid'],
    ['C2 iat ahead by a fraction too much', () => forge(rsa, claims({ iat: NOW + 30.001 })), 'token_not_yet_valid'],
    ['C2 nbf null, as if it were absent', () => forge(rsa, claims({ nbf: null })), 'accepted'],
    ['C2 nbf a list', () => forge(rsa, claims({ nbf: [NOW] })), 'time_claim_malformed'],
    ['C2 no iat', () => forge(rsa, claims({ iat: undefined })), 'claim_missing'],
    ['C2 iat null', () => forge(rsa, claims({ iat: null })), 'claim_missing'],
    ['C2 exp before iat', () => forge(rsa, claims({ iat: NOW + 20, exp: NOW + 10 })), 'time_claim_malformed'],
    ['C4 no iss', evil(undefined), 'issuer_unknown'],
    ['C4 a list of issuers', () => forge(rsa, claims({ iss: [issuer.url, 'https://evil.example'] })), 'issuer_unknown'],
    ['C4 a slash more', () => evil(`${issuer.url}/`)(), 'issuer_unknown'],
    ['C4 a path more', () => evil(`${issuer.url}/realms/other`)(), 'issuer_unknown'],
    ['C4 a character less', () => evil(issuer.url.slice(0, -1))(), 'issuer_unknown'],
    ['C4 another case', () => evil(issuer.url.toUpperCase())(), 'issuer_unknown'],
    ['C4 a user name in front', () => evil(issuer.url.replace('://', '://x@'))(), 'issuer_unknown'],
    ['C4 a longer host', () => evil(`${issuer.url}.evil.example`)(), 'issuer_unknown'],
    ['C4 percent-encoded', () => evil(issuer.url.replace('127', '%3127'))(), 'issuer_unknown'],
    ['C4 another name of the same host', () => evil(`http://localhost:${port()}`)(), 'issuer_unknown'],
    ['C4 a trailing space', () => evil(`${issuer.url} `)(), 'issuer_unknown'],
    ['C5 signed by the key of another issuer, with the same kid', () => forge(otherRsa, claims()), 'signature_invalid'],
    ['C5 the same the other way round', () => forge(rsa, claims({ iss: second.url })), 'signature_invalid'],
    ...[
      undefined,
      null,
      '',
      [],
      [[]],
      [['users-api']],
      { 0: 'users-api' },
      1,
      ['users-api', 1],
      'users-ap',
      'users-api2',
    ].map((aud): Row => [`C6 aud ${JSON.stringify(aud)}`, () => forge(rsa, claims({ aud })), 'audience_mismatch']),
    ...['USERS-API', 'users-api/', ' users-api', 'users-api,other', 'other users-api'].map((aud): Row => [
      `C6 aud ${JSON.stringify(aud)}`,
      () => forge(rsa, claims({ aud })),
      'audience_mismatch',
    ]),
    ['C6 ours among others', () => forge(rsa, claims({ aud: ['other', 'users-api'] })), 'accepted'],
    ...['a\tb', 'a\u00a0b', 'a\u3000b', 'a\nb', 'a"b', 1, false, {}, ['a', {}], ['a b'], [''], [null], true].map(
      (scope): Row => [`C7 scope ${JSON.stringify(scope)}`, () => forge(rsa, claims({ scope })), 'scope_malformed'],
    ),
    [
      'C7 a scope and scp that differ, with spaces',
      () => forge(rsa, claims({ scope: ' a ', scp: 'b ' })),
      'scope_malformed',
    ],
    ['C7 scope and scp that differ', () => forge(rsa, claims({ scope: 'a', scp: ['b'] })), 'scope_malformed'],
    ['C9 client_id a list', () => forge(rsa, claims({ client_id: ['billing'], sub: 'billing' })), 'client_unknown'],
    ['C9 client_id empty', () => forge(rsa, claims({ client_id: '', sub: '' })), 'client_unknown'],
    ...['nonce', 'at_hash', 'c_hash', 's_hash'].map((name): Row => [
      `C11 an ID token with ${name}`,
      () => forge(rsa, claims({ [name]: 'x' })),
      'foreign_token',
    ]),
    [
      'C11 a logout token',
      () => forge(rsa, claims({ events: { 'http://schemas.openid.net/event/backchannel-logout': {} } })),
      'foreign_token',
    ],
    [
      'C11 an introspection answer',
      () => forge(rsa, claims({ token_introspection: { active: true } })),
      'foreign_token',
    ],
    ...[
      'logout+jwt',
      'dpop+jwt',
      'secevent+jwt',
      'token-introspection+jwt',
      'JWT',
      'refresh+jwt',
      'client-authentication+jwt',
      'id_token+jwt',
      1,
      null,
      'at+jwt2',
    ].map((typ): Row => [`C11 typ ${JSON.stringify(typ)}`, () => forge(rsa, claims(), { typ }), 'token_type_refused']),
    [
      'C11 a client assertion',
      () => forge(rsa, { iss: 'billing', sub: 'billing', aud: issuer.url, jti: 'one', exp: NOW + 60 }, { typ: 'JWT' }),
      'issuer_unknown',
    ],
    ['C11 an access token of another API', () => forge(rsa, claims({ aud: 'orders-api' })), 'audience_mismatch'],
    ['C11 no typ', () => forge(rsa, claims(), { typ: undefined }), 'token_type_refused'],
    ['C11 typ with application/', () => forge(rsa, claims(), { typ: 'application/at+jwt' }), 'accepted'],
    ['C11 typ in capitals', () => forge(rsa, claims(), { typ: 'AT+JWT' }), 'accepted'],
    ['C12 a person', () => forge(rsa, claims({ sub: 'jane' })), 'not_a_machine'],
    ['C12 a client that acts for another', () => forge(rsa, claims({ act: { sub: 'other' } })), 'delegated_token'],
    [
      'C12 a person for whom a service acts',
      () => forge(rsa, claims({ sub: 'jane', act: { sub: 'x' } })),
      'delegated_token',
    ],
    ['C12 act null', () => forge(rsa, claims({ act: null })), 'delegated_token'],
    ...['text', [], {}, { jkt: 'a', extra: 1 }, { jkt: null }, { jkt: 'a', 'x5t#S256': 'b' }, { unknown: 1 }, null].map(
      (cnf): Row => [`C13 cnf ${JSON.stringify(cnf)}`, () => forge(rsa, claims({ cnf })), 'confirmation_unsupported'],
    ),
  ];
  it.each(rows)('%s', async (_name, token, reason) => expect(await outcome(await token())).toBe(reason));

  describe.each<readonly [string, number, (value: number) => Partial<GuardOptions>]>([
    ['clockToleranceSeconds', 121, (value) => ({ clockToleranceSeconds: value })],
    ['maxTokenLength', 65_537, (value) => ({ maxTokenLength: value })],
    ['maxTokenLifetimeSeconds', 31_536_001, (value) => ({ maxTokenLifetimeSeconds: value })],
    ['verifiedTokens.maxEntries', 10_000_001, (value) => ({ verifiedTokens: { maxEntries: value } })],
    ['verifiedTokens.maxBytes', 2 ** 36 + 1, (value) => ({ verifiedTokens: { maxBytes: value } })],
  ])('C3 %s', (path, tooMuch, options) => {
    it.each([NaN, Infinity, -1, '30', null, [30], tooMuch])('can\u2019t be %p: the boot refuses it', (value) => {
      expect(() => startVerifier(options(value as number))).toThrow(`options.${path}`);
    });
  });

  it('C4 issuers are compared exactly and not as URLs: other spellings are other issuers', async () => {
    const own = 'https://b\u00fccher.example/';
    await withVerifier({ issuers: [genericOAuth2({ issuer: own, jwks: { keys: [rsa.jwk] } })] }, async (by) => {
      const of = (iss: string) => outcome(forge(rsa, claims({ iss })), undefined, by);
      expect(await of(own)).toBe('accepted');
      for (const iss of [
        new URL(own).href,
        own.slice(0, -1),
        own.normalize('NFD'),
        own.toUpperCase(),
        'https://b\u00fccher.example:443/',
        'https://b%C3%BCcher.example/',
        'https://bucher.example/',
        'https://b\u00fccher.example./',
        'https://b\u00fccher.example/./',
        'HTTPS://b\u00fccher.example/',
        'http://b\u00fccher.example/',
      ]) {
        expect(await of(iss)).toBe('issuer_unknown');
      }
    });
  });

  it('C2 a token that lives longer than allowed is refused from the start', async () => {
    await withVerifier({ maxTokenLifetimeSeconds: 300 }, async (by) => {
      expect(await outcome(forge(rsa, claims()), undefined, by)).toBe('accepted');
      expect(await outcome(forge(rsa, claims({ exp: NOW + 301 })), undefined, by)).toBe('token_lifetime_excessive');
      const noIat = { ...claims(), iat: undefined };
      expect(await outcome(forge(rsa, noIat), undefined, by)).toBe('token_lifetime_excessive');
    });
  });

  it('C7 scopes are compared exactly, and an empty list allows no caller by accident', async () => {
    const token = forge(rsa, claims({ scope: 'read write:all' }));
    const needs = (scopesMode: 'all' | 'any', ...scopes: string[]) =>
      outcome(token, { scopes, scopesMode, clients: undefined });
    expect(await needs('all', 'read', 'write:all')).toBe('accepted');
    for (const scope of ['READ', 'rea', 'read:all', 'write', 'read write:all']) {
      expect(await needs('any', scope)).toBe('scope_insufficient');
    }
    expect(await needs('any', 'admin', 'read')).toBe('accepted');
    expect(await needs('all', 'admin', 'read')).toBe('scope_insufficient');
    expect(await outcome(forge(rsa, claims({ scope: '' })), { scopes: ['read'], clients: undefined })).toBe(
      'scope_insufficient',
    );
  });

  it('C7 a comma separates no scopes, and a list means the same as a string', async () => {
    const needs = (scope: unknown, ...scopes: string[]) =>
      outcome(forge(rsa, claims({ scope })), { scopes, clients: undefined });
    expect(await needs('read,write', 'read')).toBe('scope_insufficient');
    expect(await needs('read,write', 'read,write')).toBe('accepted');
    expect(await needs(['read', 'write'], 'read', 'write')).toBe('accepted');
    expect(await needs(['read'], 'write')).toBe('scope_insufficient');
    expect(await needs([], 'read')).toBe('scope_insufficient');
  });

  it('C8 claims are compared as a whole, at their own place, and only own members count', async () => {
    const of = (more: object, rules: RoutePolicy['claims']) =>
      outcome(forge(rsa, claims(more)), { scopes: [], clients: undefined, claims: rules });
    expect(await of({ roles: ['admin'] }, { roles: 'admin' })).toBe('accepted');
    expect(await of({ roles: ['reader', 'admin'] }, { roles: ['admin', 'root'] })).toBe('accepted');
    expect(await of({ roles: 'admin' }, { roles: 'admin' })).toBe('accepted');
    expect(await of({ roles: 'administrator' }, { roles: 'admin' })).toBe('claims_insufficient');
    expect(await of({ roles: { 0: 'admin', length: 1 } }, { roles: 'admin' })).toBe('claims_insufficient');
    expect(await of({ realm_access: { roles: ['admin'] } }, { realm_access: { roles: 'admin' } })).toBe('accepted');
    expect(await of({ 'realm_access.roles': ['admin'] }, { realm_access: { roles: 'admin' } })).toBe(
      'claims_insufficient',
    );
    expect(await of({ 'https://example.com/tenant': 'acme' }, { 'https://example.com/tenant': 'acme' })).toBe(
      'accepted',
    );
    expect(await of({ level: '3' }, { level: 3 })).toBe('claims_insufficient');
    expect(await of({ list: [['admin']] }, { list: 'admin' })).toBe('claims_insufficient');
  });

  it('C9 two different client claims are refused, and clients are compared exactly', async () => {
    const options: Partial<GuardOptions> = {
      issuers: [
        genericOAuth2({
          issuer: issuer.url,
          accessToken: { clientIdClaims: ['client_id', 'azp'], requiredClaims: [] },
        }),
      ],
      clients: ['billing', 'caf\u00e9'],
    };
    await withVerifier(options, async (by) => {
      const of = (more: object) => outcome(forge(rsa, claims(more)), undefined, by);
      const client = (id: string) => of({ client_id: id, sub: id });
      expect(await of({ azp: 'billing' })).toBe('accepted');
      expect(await of({ azp: 'other' })).toBe('client_ambiguous');
      expect(await client('caf\u00e9')).toBe('accepted');
      for (const id of ['cafe\u0301', 'Billing', 'billing ', 'billing\u200b', 'bi\u217cling', 'billing\0']) {
        expect(await client(id)).toBe('client_not_allowed');
      }
    });
  });

  it('C10 a character counts the same escaped or not, and no similar one counts for it', async () => {
    const admin = { scopes: ['admin'], clients: undefined };
    const written = (scope: string) =>
      forge(rsa, JSON.stringify(claims({ scope: '?' })).replace('"scope":"?"', `"scope":"${scope}"`));
    expect(await outcome(written(String.raw`\u0061dmin`), admin)).toBe('accepted');
    for (const scope of [String.raw`\u0430dmin`, String.raw`admin\u0000`, String.raw`\u202eadmin`, 'admi\u0301n']) {
      expect(await outcome(written(scope), admin)).toBe('scope_malformed');
    }
    await withVerifier({ clients: [{ clientId: 'billing', issuer: issuer.url }] }, async (by) => {
      for (const id of ['billing\0', '\u202ebilling', 'bill\u00ading']) {
        const token = forge(rsa, claims({ client_id: id, sub: id }));
        expect(await outcome(token, undefined, by)).toBe('client_not_allowed');
      }
    });
  });

  it('C11 types of other kinds of tokens can\u2019t be configured', () => {
    const issuers = [genericOAuth2({ issuer: issuer.url, accessToken: { tokenTypes: ['logout+jwt'] } })];
    expect(() => startVerifier({ issuers })).toThrow(/accessToken\.tokenTypes/);
  });

  it('C11 ID, refresh and logout tokens of Keycloak are recognised by their claims', async () => {
    const realm = keycloak({ url: issuer.url, realm: 'acme' });
    const issuers = [{ ...realm, jwksUri: `${issuer.url}/keys` }];
    await withVerifier({ issuers, clients: ['billing'] }, async (by) => {
      const of = (more: object) =>
        outcome(forge(rsa, claims({ iss: realm.issuer, azp: 'billing', ...more }), { typ: 'JWT' }), undefined, by);
      expect(await of({ typ: 'Bearer' })).toBe('accepted');
      for (const typ of ['ID', 'Refresh', 'Offline', 'Logout', undefined, ['Bearer']])
        expect(await of({ typ })).toBe('foreign_token');
      expect(await of({ typ: 'Bearer', sid: 'a-session' })).toBe('not_a_machine');
      expect(await of({ typ: 'Bearer', preferred_username: 'jane' })).toBe('not_a_machine');
    });
  });

  it('C14 a revocation applies to a cached token, by any criterion', async () => {
    const { url } = issuer;
    for (const revocation of [
      { issuer: url, tokenId: 'one' },
      { issuer: url, clientId: 'billing' },
      { issuer: url, clientId: 'billing', issuedBefore: new Date((NOW + 1) * 1000) },
      { issuer: url, subject: 'billing' },
      { issuer: url, keyId: 'rsa' },
      { issuer: url, issuedBefore: new Date((NOW + 1) * 1000) },
    ]) {
      const revocations = new InMemoryRevocations();
      await withVerifier({ revocations }, async (by) => {
        const token = forge(rsa, claims({ jti: 'one' }));
        expect(await outcome(token, undefined, by)).toBe('accepted');
        revocations.revoke(revocation);
        expect(by.verify(token)).toMatchObject({ ok: false, reason: 'token_revoked' });
      });
    }
    for (const revocation of [
      { issuer: url, tokenId: 'two' },
      { issuer: second.url, clientId: 'billing' },
      { issuer: url, clientId: 'billing', issuedBefore: new Date(NOW * 1000) },
      { issuer: url, keyId: 'ec' },
      { issuer: url, subject: 'billing', until: new Date(0) },
    ]) {
      const revocations = new InMemoryRevocations();
      revocations.revoke(revocation);
      await withVerifier({ revocations }, async (by) => {
        expect(await outcome(forge(rsa, claims({ jti: 'one' })), undefined, by)).toBe('accepted');
      });
    }
  });
});

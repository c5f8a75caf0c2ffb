import { generateKeyPairSync, type KeyObject, sign } from 'node:crypto';
import { describe, expect, it } from '@jest/globals';
import { decodeProtectedHeader, type JWK, jwtVerify } from 'jose';
import { privateKeyJwt, type PrivateKeyJwtOptions, type RemoteSigner } from './private-key-jwt.js';

const NOW = new Date('2026-03-01T12:00:00.900Z');

const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 });
const p256 = generateKeyPairSync('ec', { namedCurve: 'P-256' });
const p384 = generateKeyPairSync('ec', { namedCurve: 'P-384' });
const p521 = generateKeyPairSync('ec', { namedCurve: 'P-521' });
const secp256k1 = generateKeyPairSync('ec', { namedCurve: 'secp256k1' });
const ed25519 = generateKeyPairSync('ed25519');
const x25519 = generateKeyPairSync('x25519');

const pem = (key: KeyObject) => key.export({ type: 'pkcs8', format: 'pem' }) as string;
const jwk = (key: KeyObject, members: JWK = {}): JWK => ({ ...(key.export({ format: 'jwk' }) as JWK), ...members });

/** Reads the credential, and returns it with the assertion of a token request. */
async function request(options: PrivateKeyJwtOptions) {
  const credential = await privateKeyJwt(options).credentials[0]!();
  const body = new URLSearchParams();
  await credential.authenticate(NOW)(
    { issuer: 'https://login.example.com' },
    { client_id: 'svc' },
    body,
    new Headers(),
  );
  return { credential, body, assertion: body.get('client_assertion')! };
}

describe('an assertion that the client signs', () => {
  it.each<[string, PrivateKeyJwtOptions, KeyObject, object]>([
    ['RSA', { key: rsa.privateKey }, rsa.publicKey, { alg: 'RS256' }],
    ['RSA and an algorithm', { key: rsa.privateKey, algorithm: 'PS384' }, rsa.publicKey, { alg: 'PS384' }],
    ['P-256', { key: p256.privateKey }, p256.publicKey, { alg: 'ES256' }],
    ['P-384', { key: p384.privateKey }, p384.publicKey, { alg: 'ES384' }],
    ['P-521', { key: p521.privateKey }, p521.publicKey, { alg: 'ES512' }],
    ['Ed25519', { key: ed25519.privateKey }, ed25519.publicKey, { alg: 'EdDSA' }],
    ['PEM and a key id', { key: pem(p256.privateKey), keyId: 'k1' }, p256.publicKey, { alg: 'ES256', kid: 'k1' }],
    [
      'a JWK with algorithm and key id',
      { key: jwk(rsa.privateKey, { alg: 'PS256', kid: 'k2' }) },
      rsa.publicKey,
      { alg: 'PS256', kid: 'k2' },
    ],
    [
      'a JWK, and other ones in the options',
      { key: jwk(rsa.privateKey, { alg: 'PS256', kid: 'k2' }), algorithm: 'RS512', keyId: 'k3' },
      rsa.publicKey,
      { alg: 'RS512', kid: 'k3' },
    ],
    [
      'the JSON of a JWK, after blanks',
      { key: `\n ${JSON.stringify(jwk(p256.privateKey, { kid: 'k4' }))}` },
      p256.publicKey,
      { alg: 'ES256', kid: 'k4' },
    ],
    ['a function', { key: () => pem(p256.privateKey) }, p256.publicKey, { alg: 'ES256' }],
  ])(
    'with %s: has its header, is for one issuer and one minute, and verifies',
    async (_key, options, publicKey, header) => {
      const { assertion, body } = await request(options);
      expect(decodeProtectedHeader(assertion)).toEqual(header);
      const { payload } = await jwtVerify(assertion, publicKey, { currentDate: NOW });
      const seconds = Date.parse('2026-03-01T12:00:00Z') / 1000;
      expect(payload).toEqual({
        iss: 'svc',
        sub: 'svc',
        aud: 'https://login.example.com',
        jti: expect.stringMatching(/^[0-9a-f-]{36}$/),
        iat: seconds,
        nbf: seconds,
        exp: seconds + 60,
      });
      expect([body.get('client_id'), body.get('client_secret')]).toEqual(['svc', null]);
    },
  );

  it('has a fingerprint of the key, contains a time, and reveals nothing that an error has to hide', async () => {
    const [one, same, other] = await Promise.all(
      [p256.privateKey, pem(p256.privateKey), p384.privateKey].map((key) => request({ key })),
    );
    expect(one!.credential).toMatchObject({ isTimed: true, secrets: [] });
    expect(one!.credential.fingerprint).toMatch(/^[\w-]{12}$/);
    expect(same!.credential.fingerprint).toBe(one!.credential.fingerprint);
    expect(other!.credential.fingerprint).not.toBe(one!.credential.fingerprint);
  });

  it.each([
    ['a string that is no key', 'not a key'],
    ['JSON that is no JWK', '{"kty":"EC"}'],
    ['damaged JSON', '{"kty":'],
  ])('cannot be made of %s, and the error does not quote it', async (_what, text) => {
    const error = await request({ key: () => text }).catch((thrown: unknown) => thrown);
    expect(error).toEqual(new TypeError('the key is neither a private key in PEM nor the JSON of a private JWK'));
    expect((error as Error).cause).toBeUndefined();
  });
});

describe('an assertion that a remote signer signs', () => {
  const signer: RemoteSigner = {
    algorithm: 'ES256',
    keyId: 'key/7',
    sign: (data) => sign('sha256', data, { key: p256.privateKey, dsaEncoding: 'ieee-p1363' }),
  };

  it.each<[string, Partial<PrivateKeyJwtOptions>, object]>([
    ['its own header', {}, { alg: 'ES256', kid: 'key/7' }],
    ['the key id of the options', { keyId: 'k1' }, { alg: 'ES256', kid: 'k1' }],
  ])('has %s, and verifies', async (_what, options, header) => {
    const { assertion, credential } = await request({ key: signer, ...options });
    expect(decodeProtectedHeader(assertion)).toEqual(header);
    const { payload } = await jwtVerify(assertion, p256.publicKey, { currentDate: NOW });
    expect(payload).toMatchObject({ iss: 'svc', sub: 'svc', aud: 'https://login.example.com' });
    expect(credential).toMatchObject({ isTimed: true, secrets: [], fingerprint: decodeProtectedHeader(assertion).kid });
  });

  it('has the algorithm of the options', async () => {
    const { assertion } = await request({ key: signer, algorithm: 'PS512' });
    expect(decodeProtectedHeader(assertion)).toEqual({ alg: 'PS512', kid: 'key/7' });
  });

  it('is not made if the signer fails, and the error names the key id and not the signer’s error', async () => {
    const cause = new Error('https://kms.example.com/?token=abc');
    const sign = () => Promise.reject(cause);
    await expect(request({ key: { ...signer, sign } })).rejects.toMatchObject({
      code: 'M2M_SIGNER_FAILED',
      message: 'the signer of key key/7 failed (see the cause)',
      cause,
    });
  });
});

describe('the boot', () => {
  const UNSUITABLE = 'a key that cannot sign with the chosen algorithm';
  const UNUSABLE = 'a key that cannot sign: not a private key, or an unsupported kind of key';
  const faultOf = (options: PrivateKeyJwtOptions) => privateKeyJwt(options).fault();

  it.each(['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512'])('accepts an RSA key for %s', (algorithm) => {
    expect(faultOf({ key: rsa.privateKey, algorithm })).toBeUndefined();
    expect(faultOf({ key: jwk(rsa.privateKey, { alg: algorithm }) })).toBeUndefined();
  });

  it.each<[string, string, KeyObject]>([
    ['RSA', 'RS1', rsa.privateKey],
    ['RSA', 'HS256', rsa.privateKey],
    ['RSA', 'RS2560', rsa.privateKey],
    ['RSA', 'XRS256', rsa.privateKey],
    ['RSA', 'ES256', rsa.privateKey],
    ['RSA', 'EdDSA', rsa.privateKey],
    ['P-256', 'ES384', p256.privateKey],
    ['P-256', 'RS256', p256.privateKey],
    ['P-256', 'Ed25519', p256.privateKey],
    ['P-384', 'ES256', p384.privateKey],
    ['Ed25519', 'ES256', ed25519.privateKey],
    ['Ed25519', 'Ed448', ed25519.privateKey],
  ])('refuses a key of %s for %s', (_kind, algorithm, key) => {
    expect(faultOf({ key: pem(key), algorithm })).toBe(UNSUITABLE);
    expect(faultOf({ key: jwk(key, { alg: algorithm }) })).toBe(UNSUITABLE);
  });

  it.each<[string, string, KeyObject]>([
    ['P-256', 'ES256', p256.privateKey],
    ['P-521', 'ES512', p521.privateKey],
    ['Ed25519', 'EdDSA', ed25519.privateKey],
    ['Ed25519', 'Ed25519', ed25519.privateKey],
  ])('accepts a key of %s for %s', (_kind, algorithm, key) => {
    expect(faultOf({ key, algorithm })).toBeUndefined();
  });

  it('accepts a key that decides the algorithm', () => {
    for (const { privateKey: key } of [rsa, p256, p384, p521, ed25519]) expect(faultOf({ key })).toBeUndefined();
  });

  it.each<[string, PrivateKeyJwtOptions['key']]>([
    ['a public key', rsa.publicKey],
    ['a public key in PEM', rsa.publicKey.export({ type: 'spki', format: 'pem' }) as string],
    ['a public JWK', jwk(p256.publicKey)],
    ['a curve without an algorithm', secp256k1.privateKey],
    ['a curve without an algorithm, in PEM', pem(secp256k1.privateKey)],
    ['a key that agrees and does not sign', x25519.privateKey],
    ['another text', 'not a key'],
  ])('refuses %s', (_what, key) => {
    expect(faultOf({ key })).toBe(UNUSABLE);
  });

  it.each<[string, PrivateKeyJwtOptions['key'], string | undefined]>([
    ['a function', () => 'not a key', undefined],
    ['a good source', { description: 'x', read: () => Promise.reject(new Error()), fault: () => undefined }, undefined],
    ['a bad source', { description: 'x', read: () => Promise.reject(new Error()), fault: () => 'bad' }, 'bad'],
    ['a remote signer', { algorithm: 'any', keyId: '1', sign: () => new Uint8Array() }, undefined],
  ])('reads nothing from %s', (_what, key, fault) => {
    expect(faultOf({ key })).toBe(fault);
  });
});

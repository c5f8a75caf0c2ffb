import { describe, expect, it } from '@jest/globals';
import { toSecretSource } from '../foundation/secret-source.js';
import { federatedAssertion, readSignedAssertion, SignedAssertion } from './signed-assertion.js';
import { clientCredentials, jwtBearer } from './token-grant.js';

const encoded = (part: object) => Buffer.from(JSON.stringify(part)).toString('base64url');
const CLAIMS = {
  iss: 'https://cluster.example',
  sub: 'system:serviceaccount:a:b',
  aud: 'https://login.example',
  exp: 1,
};
const assertion = (claims: object = {}, header: object = {}) =>
  `${encoded({ alg: 'ES256', kid: 'k1', ...header })}.${encoded({ ...CLAIMS, ...claims })}.c2ln`;

describe('the fingerprint of a signed assertion', () => {
  const fingerprint = (text: string) => new SignedAssertion(text).fingerprint;

  it.each<[string, object]>([
    ['another lifetime', { exp: 2, iat: 1, nbf: 1 }],
    ['another identifier', { jti: 'x' }],
  ])('stays the same with %s', (_what, claims) => {
    expect(fingerprint(assertion(claims))).toBe(fingerprint(assertion()));
  });

  it.each<[string, string]>([
    ['issuer', assertion({ iss: 'https://other.example' })],
    ['subject', assertion({ sub: 'other' })],
    ['audience', assertion({ aud: ['https://login.example'] })],
    ['key', assertion({}, { kid: 'k2' })],
  ])('changes with the %s', (_what, text) => {
    expect(fingerprint(text)).not.toBe(fingerprint(assertion()));
  });

  it('is that of the whole string if it cannot be read', () => {
    expect(fingerprint('opaque-1')).not.toBe(fingerprint('opaque-2'));
    expect(fingerprint('opaque-1')).toBe(fingerprint('opaque-1'));
  });
});

describe('the expiry of a signed assertion', () => {
  it.each<[string, string, Date | undefined]>([
    ['a number', assertion({ exp: 1_800_000_000 }), new Date('2027-01-15T08:00:00Z')],
    ['a string', assertion({ exp: '1800000000' }), undefined],
    ['absent', assertion({ exp: undefined }), undefined],
    ['unreadable', 'opaque', undefined],
  ])('if exp is %s', (_what, text, expiresAt) => {
    expect(new SignedAssertion(text).expiresAt).toEqual(expiresAt);
  });
});

describe('a signed assertion', () => {
  it('is sent as the credential of the client, and removed from errors', async () => {
    const authentication = federatedAssertion(() => `${assertion({ exp: 1_800_000_000 })}\n`);
    const credential = await authentication.credentials[0]!();
    expect(authentication.method).toBe('federated_assertion');
    expect(credential).toMatchObject({ isTimed: false, expiresAt: new Date('2027-01-15T08:00:00Z') });
    const text = assertion({ exp: 1_800_000_000 });
    expect(credential.secrets.map((secret) => secret.reveal())).toEqual([text]);
    expect(credential.fingerprint).toBe(new SignedAssertion(text).fingerprint);
    const body = new URLSearchParams();
    await credential.authenticate(new Date())(
      { issuer: 'https://login.example' },
      { client_id: 'svc' },
      body,
      new Headers(),
    );
    expect(Object.fromEntries(body)).toEqual({
      client_id: 'svc',
      client_assertion_type: 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer',
      client_assertion: text,
    });
  });

  it('is read for each grant', async () => {
    let reads = 0;
    const grant = jwtBearer(() => assertion({ jti: String(++reads) }));
    expect(grant.grantType).toBe('urn:ietf:params:oauth:grant-type:jwt-bearer');
    const [first, second] = [await grant.readAssertion(), await grant.readAssertion()];
    expect([first!.reveal(), second!.reveal()]).toEqual([assertion({ jti: '1' }), assertion({ jti: '2' })]);
  });

  it('is not part of the grant with client credentials', async () => {
    expect([clientCredentials.grantType, clientCredentials.fault()]).toEqual(['client_credentials', undefined]);
    await expect(clientCredentials.readAssertion()).resolves.toBeUndefined();
  });

  it('has the fault of its source', () => {
    expect([federatedAssertion('').fault(), jwtBearer('').fault()]).toEqual(['an empty string', 'an empty string']);
    expect([federatedAssertion('a').fault(), jwtBearer('a').fault()]).toEqual([undefined, undefined]);
  });

  it('cannot be empty', async () => {
    await expect(readSignedAssertion(toSecretSource(() => '\n'))).rejects.toThrow(
      'the secret from a function is empty',
    );
  });
});

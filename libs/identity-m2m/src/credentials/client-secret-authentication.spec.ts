import { describe, expect, it } from '@jest/globals';
import { decodeProtectedHeader, jwtVerify } from 'jose';
import { toSecretSource } from '../foundation/secret-source.js';
import { clientSecretAuthentication, type ClientSecretMethod } from './client-secret-authentication.js';

const NOW = new Date('2026-03-01T12:00:00.900Z');
const ISSUER = 'https://login.example.com';

/** Returns the headers and the body of a token request with the proof of a method's first credential. */
async function request(method: ClientSecretMethod, secret: string, clientId = 'svc') {
  const credential = await clientSecretAuthentication(method, toSecretSource(secret)).credentials[0]!();
  const body = new URLSearchParams({ grant_type: 'client_credentials' });
  const headers = new Headers();
  await credential.authenticate(NOW)({ issuer: ISSUER }, { client_id: clientId }, body, headers);
  return { credential, body: Object.fromEntries(body), headers: Object.fromEntries(headers) };
}

const basic = (credentials: string) => ({ authorization: `Basic ${Buffer.from(credentials).toString('base64')}` });

describe('a client secret is sent', () => {
  it.each<[ClientSecretMethod, string, string, string]>([
    ['client_secret_basic', 'svc@acme', 'p ss:wörd/+%~*-._', 'svc%40acme:p+ss%3Aw%C3%B6rd%2F%2B%25~*-._'],
    ['client_secret_basic_raw', 'svc@acme', 'p ss:wörd/+%~*-._', 'svc@acme:p ss:wörd/+%~*-._'],
  ])('by %s of %s with %s in Basic credentials %s', async (method, clientId, secret, credentials) => {
    const { body, headers } = await request(method, secret, clientId);
    expect([body, headers]).toEqual([{ grant_type: 'client_credentials' }, basic(credentials)]);
  });

  it('by client_secret_post in the body', async () => {
    const { body, headers } = await request('client_secret_post', 'p ss:wörd');
    expect(body).toEqual({ grant_type: 'client_credentials', client_id: 'svc', client_secret: 'p ss:wörd' });
    expect(headers).toEqual({});
  });

  it('by client_secret_jwt not at all: it signs an assertion for one issuer and one minute', async () => {
    const secret = 'a secret with its 32 bytes, as is';
    const { body, headers } = await request('client_secret_jwt', secret);
    expect([body.client_id, body.client_assertion_type, headers]).toEqual([
      'svc',
      'urn:ietf:params:oauth:client-assertion-type:jwt-bearer',
      {},
    ]);
    expect(JSON.stringify(body)).not.toContain(secret);
    const assertion = body.client_assertion!;
    expect(decodeProtectedHeader(assertion)).toEqual({ alg: 'HS256' });
    const { payload } = await jwtVerify(assertion, new TextEncoder().encode(secret), { currentDate: NOW });
    const seconds = Date.parse('2026-03-01T12:00:00Z') / 1000;
    expect(payload).toEqual({
      iss: 'svc',
      sub: 'svc',
      aud: ISSUER,
      jti: expect.stringMatching(/^[0-9a-f-]{36}$/),
      iat: seconds,
      nbf: seconds,
      exp: seconds + 60,
    });
  });
});

describe('a credential with a client secret', () => {
  it.each<[ClientSecretMethod, boolean]>([
    ['client_secret_basic', false],
    ['client_secret_basic_raw', false],
    ['client_secret_post', false],
    ['client_secret_jwt', true],
  ])('by %s: its proof contains a time: %s', async (method, isTimed) => {
    const { credential } = await request(method, 'a secret with its 32 bytes, as is');
    expect(credential.isTimed).toBe(isTimed);
  });

  it('names the secret, which is removed from errors, and a fingerprint that differs for each', async () => {
    const [one, other] = await Promise.all(['one', 'other'].map((text) => request('client_secret_post', text)));
    expect(one!.credential.secrets.map((secret) => secret.reveal())).toEqual(['one']);
    expect(one!.credential.fingerprint).toMatch(/^[0-9a-f]{12}$/);
    expect(one!.credential.fingerprint).not.toBe(other!.credential.fingerprint);
  });

  it.each([
    ['plain', undefined],
    ['"plain"', 'The client secret is in quotation marks, which were sent with it.'],
    ["'plain'", 'The client secret is in quotation marks, which were sent with it.'],
    ['`pl\nain`', 'The client secret is in quotation marks, which were sent with it.'],
    ['"plain', undefined],
    ['plain"', undefined],
    ['a "plain"', undefined],
    ['"plain" b', undefined],
    ['"plain\'', undefined],
    ['"', undefined],
  ])('%j: remarks %j', async (secret, remark) => {
    expect((await request('client_secret_post', secret)).credential.remark).toBe(remark);
  });

  it.each([' plain', 'plain ', 'pl\tain'])('%j: remarks on the character that may be wrong', async (secret) => {
    const { remark } = (await request('client_secret_post', secret)).credential;
    expect(remark).toMatch(/^The client secret .+\.$/);
    expect(remark).not.toContain('plain');
  });

  it('that is too short to sign is not used', async () => {
    await expect(request('client_secret_jwt', 'ä'.repeat(15) + 'x')).rejects.toThrow(
      new RangeError('the secret is shorter than the 32 bytes that client_secret_jwt needs'),
    );
    await expect(request('client_secret_jwt', 'ä'.repeat(16))).resolves.toBeDefined();
    await expect(request('client_secret_post', 'short')).resolves.toBeDefined();
  });

  it('is the current one, and then the next one if there is one', async () => {
    const [current, next] = ['current', 'next'].map(toSecretSource);
    const secretsOf = async (...sources: Parameters<typeof clientSecretAuthentication>) => {
      const read = await Promise.all(clientSecretAuthentication(...sources).credentials.map((one) => one()));
      return read.flatMap(({ secrets }) => secrets.map((secret) => secret.reveal()));
    };
    expect(await secretsOf('client_secret_post', current!)).toEqual(['current']);
    expect(await secretsOf('client_secret_post', current!, next)).toEqual(['current', 'next']);
  });

  it('has the fault of the current one, for the next one need not exist yet', () => {
    const [good, bad] = ['good', ''].map(toSecretSource);
    const authentication = clientSecretAuthentication('client_secret_post', bad!, good);
    expect([authentication.method, authentication.fault()]).toEqual(['client_secret_post', 'an empty string']);
    expect(clientSecretAuthentication('client_secret_post', good!, bad).fault()).toBeUndefined();
  });
});

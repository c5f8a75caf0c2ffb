import { describe, expect, it, test } from '@jest/globals';
import type { SecretInput } from '../foundation/secret-source.js';
import { introspectionClient, type IntrospectionMethod } from './introspection-authentication.js';

const request = { endpoint: 'https://id.example/introspect' };
const prove = (clientSecret: unknown, method: IntrospectionMethod = 'client_secret_post') =>
  Promise.resolve(
    introspectionClient({ clientId: 'my api', clientSecret: clientSecret as SecretInput, method })(request),
  );
const basic = (credentials: string) => ({
  headers: { authorization: `Basic ${Buffer.from(credentials).toString('base64')}` },
});

describe('a client of introspection', () => {
  test.each<[IntrospectionMethod, object]>([
    ['client_secret_post', { body: { client_id: 'my api', client_secret: 'a: +%' } }],
    ['client_secret_basic', basic('my+api:a%3A+%2B%25')],
    ['client_secret_basic_raw', basic('my api:a: +%')],
  ])('sends its secret as %s', async (method, proof) => {
    expect(await prove('a: +%', method)).toEqual(proof);
  });

  test.each<[string, unknown]>([
    ['text', 'secret'],
    ['a function', () => 'secret'],
    ['a function that takes its time', async () => 'secret'],
    ['a source', { read: async () => ({ reveal: () => 'secret' }) }],
    ['text that a tool has added to', '\ufeffsecret\r\n'],
  ])('has its secret from %s', async (_name, secret) => {
    expect(await prove(secret)).toEqual({ body: { client_id: 'my api', client_secret: 'secret' } });
  });

  it('has its secret of the moment, each time', async () => {
    let count = 0;
    const authenticate = introspectionClient({
      clientId: 'a',
      clientSecret: () => `secret ${++count}`,
      method: 'client_secret_post',
    });
    for (const number of [1, 2]) {
      expect(await authenticate(request)).toEqual({ body: { client_id: 'a', client_secret: `secret ${number}` } });
    }
  });

  test.each<[string, unknown, string]>([
    ['empty text', '', 'the secret from a fixed value is empty'],
    ['stray characters alone', '\ufeff\r\n', 'the secret from a fixed value is empty'],
    ['a function that has none', () => undefined, 'the function that fetches the secret returned no string'],
    ['a function that has a number', () => 1, 'the function that fetches the secret returned no string'],
    ['a source without text', { read: async () => ({ reveal: () => null }) }, ''],
  ])('sends nothing where its secret is %s', async (_name, secret, message) => {
    for (const method of ['client_secret_post', 'client_secret_basic'] as const) {
      await expect(prove(secret, method)).rejects.toThrow(message);
    }
  });

  it('fails as its source does', async () => {
    const error = new Error('no such variable');
    await expect(prove({ read: () => Promise.reject(error) })).rejects.toBe(error);
  });
});

import { afterAll, afterEach, beforeAll, beforeEach, expect, it } from '@jest/globals';
import {
  type AccessTokenVerifier,
  createAccessTokenVerifier,
  genericOAuth2,
  type RevocableToken,
  type RevocationStore,
} from 'nestjs-identity-m2m';
import { TestIssuer } from 'nestjs-identity-m2m/testing';

class PolledRevocations implements RevocationStore {
  #revoked: ReadonlySet<string> | undefined;

  /** @param read Returns the revoked tokens, each as its issuer and its `jti`. */
  constructor(private readonly read: () => Promise<readonly (readonly [issuer: string, tokenId: string])[]>) {}

  /** Call it at boot, and then by a timer. A failed read leaves the last known revocations in force. */
  async refresh(): Promise<void> {
    this.#revoked = new Set((await this.read()).map((revoked) => JSON.stringify(revoked)));
  }

  isRevoked({ issuer, tokenId }: RevocableToken): boolean {
    // The guard refuses the call with 503.
    if (!this.#revoked) throw new Error('the revocations have not been read yet');
    return tokenId !== undefined && this.#revoked.has(JSON.stringify([issuer, tokenId]));
  }
}

let issuer: TestIssuer;
beforeAll(async () => {
  issuer = await TestIssuer.start();
});
afterAll(() => issuer.close());

let list: [string, string][] | Error;
let store: PolledRevocations;
let verifier: AccessTokenVerifier;
beforeEach(() => {
  list = [];
  store = new PolledRevocations(() => (list instanceof Error ? Promise.reject(list) : Promise.resolve(list)));
  verifier = createAccessTokenVerifier({
    issuers: [genericOAuth2({ issuer: issuer.url, jwksUri: issuer.jwksUri })],
    audience: 'api',
    revocations: store,
  });
});
afterEach(() => verifier.close());

async function outcome(tokenId: string | undefined): Promise<string> {
  const token = await issuer.tokenFor({ clientId: 'billing', audience: 'api', claims: { jti: tokenId } });
  const verdict = await verifier.verify(token);
  return verdict.ok ? 'accepted' : verdict.reason;
}

it('refuses every token until the revocations have been read', async () => {
  expect(await outcome('a')).toBe('revocation_unavailable');
  await store.refresh();
  expect(await outcome('a')).toBe('accepted');
});

it('refuses a revoked token from the next read on, and no other', async () => {
  await store.refresh();
  list = [
    [issuer.url, 'a'],
    ['https://other.example', 'b'],
  ];
  expect(await outcome('a')).toBe('accepted');
  await store.refresh();
  expect(await outcome('a')).toBe('token_revoked');
  expect(await outcome('b')).toBe('accepted');
});

it('keeps the last known revocations if a read fails', async () => {
  list = [[issuer.url, 'a']];
  await store.refresh();
  list = new Error('the database is down');
  await expect(store.refresh()).rejects.toThrow('the database is down');
  expect(await outcome('a')).toBe('token_revoked');
});

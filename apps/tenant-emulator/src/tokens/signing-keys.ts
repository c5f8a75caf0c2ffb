import { calculateJwkThumbprint, type CryptoKey, exportJWK, generateKeyPair, type JWK } from 'jose';

/** A key that signs tokens. */
export interface SigningKey {
  /** The key's thumbprint (RFC 7638). */
  readonly kid: string;
  readonly privateKey: CryptoKey;
  readonly publicJwk: JWK;
}

/** The RS256 keys of the tenant. All its applications share them. */
export class SigningKeys {
  /** Newest first. */
  #keys: readonly [SigningKey, ...SigningKey[]];

  private constructor(first: SigningKey) {
    this.#keys = [first];
  }

  static async generate(): Promise<SigningKeys> {
    return new SigningKeys(await generateKey());
  }

  /** The key that signs new tokens. */
  get current(): SigningKey {
    return this.#keys[0];
  }

  /** The published key set, newest key first. */
  get publicKeySet(): { readonly keys: readonly JWK[] } {
    return { keys: this.#keys.map(({ publicJwk }) => publicJwk) };
  }

  /**
   * Adds a new signing key. The tenant itself still accepts tokens signed with an older key, even if that key is no
   * longer published.
   *
   * @param dropOld Publishes the new key only. Default: the older keys stay published.
   */
  async rotate({ dropOld = false }: { dropOld?: boolean } = {}): Promise<{ readonly kid: string }> {
    const key = await generateKey();
    this.#keys = dropOld ? [key] : [key, ...this.#keys];
    return { kid: key.kid };
  }
}

async function generateKey(): Promise<SigningKey> {
  const { publicKey, privateKey } = await generateKeyPair('RS256', { modulusLength: 2048 });
  const { kty, n, e } = await exportJWK(publicKey);
  const kid = await calculateJwkThumbprint({ kty, n, e });
  return { kid, privateKey, publicJwk: { kty, n, e, alg: 'RS256', use: 'sig', kid } };
}

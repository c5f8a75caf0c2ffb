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

  /** The key set to publish, newest key first. */
  get publicKeySet(): { readonly keys: readonly JWK[] } {
    return { keys: this.#keys.map(({ publicJwk }) => publicJwk) };
  }

  /**
   * Puts a new key in front. Tokens signed with an older one stay alive in the tenant's own eyes, even if the key is no
   * longer published.
   *
   * @param dropOld Publishes the new key alone. Default: the older ones stay published.
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

import type { PublicKeySet } from '../config/public-key-set.js';

/**
 * Not of CyberArk Identity: the public keys of clients that prove themselves by private key JWT, by the UUID of their
 * service user.
 */
export class ClientKeys {
  readonly #byUuid: Map<string, PublicKeySet>;

  constructor(keySets: Iterable<readonly [uuid: string, PublicKeySet]> = []) {
    this.#byUuid = new Map(keySets);
  }

  of(uuid: string): PublicKeySet | undefined {
    return this.#byUuid.get(uuid);
  }

  /** Puts these keys in the place of all that the client had. */
  register(uuid: string, keySet: PublicKeySet): void {
    this.#byUuid.set(uuid, keySet);
  }
}

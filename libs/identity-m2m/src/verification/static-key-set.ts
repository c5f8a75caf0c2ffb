import type { KeyLookup, KeySet, VerificationKeys } from './key-set.js';

/** Keys that were given and never change. */
export class StaticKeySet implements KeySet {
  constructor(private readonly keys: VerificationKeys) {}

  current(): VerificationKeys {
    return this.keys;
  }

  find(kid: string | undefined, algorithm: string): KeyLookup {
    const keys = this.keys.candidates(kid, algorithm);
    return keys.length > 0 ? { kind: 'found', keys, set: this.keys } : { kind: 'unknown' };
  }

  close(): void {}
}

import type { KeyLookup, KeySet, VerificationKeys } from './key-set.js';

/** Keys that were given and never change. */
export class StaticKeySet implements KeySet {
  readonly problem = undefined;

  constructor(private readonly keys: VerificationKeys) {}

  current(): VerificationKeys {
    return this.keys;
  }

  find(kid: string | undefined, algorithm: string, tried?: VerificationKeys): KeyLookup {
    const keys = tried === this.keys ? [] : this.keys.candidates(kid, algorithm);
    return keys.length > 0
      ? { kind: 'found', keys, set: this.keys, areNamed: this.keys.has(kid) }
      : { kind: 'unknown' };
  }

  async warmUp(): Promise<void> {}

  retire(): void {}

  close(): void {}
}

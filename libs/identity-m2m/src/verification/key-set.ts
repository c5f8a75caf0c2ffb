import type { Instant } from '../foundation/clock.js';
import type { VerificationKey } from './verification-key.js';

/** What a key set says of a token's header. */
export type KeyLookup =
  /** Keys that may have signed it, and the set that they are of. */
  | { readonly kind: 'found'; readonly keys: readonly VerificationKey[]; readonly set: VerificationKeys }
  /** The issuer has no such key. */
  | { readonly kind: 'unknown' }
  /** The issuer's keys can't be had. */
  | { readonly kind: 'unavailable'; readonly retryAfterSeconds: number };

/** The public keys of one issuer. */
export interface KeySet {
  /**
   * The keys as they are now: as long as a key is among them, what it has signed counts.
   *
   * @returns undefined where there are none, or none that can be relied on before the issuer has been asked again.
   */
  current(now: Instant): VerificationKeys | undefined;
  /**
   * The keys that fit a token's header. Answers without a promise where nothing has to be waited for.
   *
   * @param kid Key identifier in the header (RFC 7515 §4.1.4), where it has one.
   */
  find(kid: string | undefined, algorithm: string): KeyLookup | Promise<KeyLookup>;
  /** Ends whatever goes on behind the scenes. */
  close(): void;
}

/** Most keys that a signature is tried with, where several fit the header. */
const MAX_CANDIDATES = 4;

/** The keys of a set as they were at one moment. */
export class VerificationKeys {
  readonly #byKid = new Map<string | undefined, VerificationKey[]>();

  constructor(readonly list: readonly VerificationKey[]) {
    for (const key of list) this.#byKid.set(key.kid, [...(this.#byKid.get(key.kid) ?? []), key]);
  }

  /** Those that fit a header: of the same `kid`, or all that fit the algorithm where the header names none. */
  candidates(kid: string | undefined, algorithm: string): readonly VerificationKey[] {
    const named = kid === undefined ? this.list : (this.#byKid.get(kid) ?? []);
    return named.filter((key) => key.algorithms.includes(algorithm)).slice(0, MAX_CANDIDATES);
  }
}

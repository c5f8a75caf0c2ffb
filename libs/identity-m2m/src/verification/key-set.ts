import type { Instant } from '../foundation/clock.js';
import type { VerificationKey } from './verification-key.js';

/** The keys of a key set for a token's header. */
export type KeyLookup =
  | {
      /** Keys that may have signed the token, and the set that holds them. */
      readonly kind: 'found';
      readonly keys: readonly VerificationKey[];
      readonly set: VerificationKeys;
      /** Whether the header names them. Otherwise the issuer may have signed with a newer key. */
      readonly areNamed: boolean;
    }
  /** The issuer has no such key. */
  | { readonly kind: 'unknown' }
  /** The issuer's keys are not available, or it is too early to read them again. */
  | { readonly kind: 'unavailable'; readonly retryAfterSeconds: number };

/** The public keys of one issuer. */
export interface KeySet {
  /**
   * Returns the current keys. A token is valid only while the key that signed it is among them.
   *
   * @returns undefined if there are none, or if they have to be read again first.
   */
  current(now: Instant): VerificationKeys | undefined;
  /**
   * Finds the keys for a token's header. Returns without a promise if they are known.
   *
   * @param kid Key identifier in the header (RFC 7515 §4.1.4), if it has one.
   * @param tried A set whose keys did not sign the token: only a newer set counts.
   */
  find(kid: string | undefined, algorithm: string, tried?: VerificationKeys): KeyLookup | Promise<KeyLookup>;
  /**
   * Fetches the keys before a token needs them, and retries until it has them.
   *
   * @returns Settles once the keys are held. Never rejects, and stays pending if the set is closed first.
   */
  warmUp(): Promise<void>;
  /** Error of the last read; undefined if it succeeded. */
  readonly problem: unknown;
  /** Stops background reads; a read under way finishes, and callers are served. */
  stopRefreshing(): void;
  /** Ends background reads and the read under way. */
  close(): void;
}

/** Maximum number of keys that a signature is tried with, if several fit the header. Each costs about 0.15 ms. */
const MAX_CANDIDATES = 16;

/** The keys of a set at one moment. */
export class VerificationKeys {
  readonly #byKid = new Map<string | undefined, VerificationKey[]>();

  /** @param unused Identifiers of published keys that are not used. */
  constructor(
    readonly list: readonly VerificationKey[],
    readonly unused: ReadonlySet<string> = new Set(),
  ) {
    for (const key of list) {
      const namesakes = this.#byKid.get(key.kid);
      if (namesakes) namesakes.push(key);
      else this.#byKid.set(key.kid, [key]);
    }
  }

  /** Whether the issuer publishes a key with this identifier, used or not. */
  has(kid: string | undefined): boolean {
    return kid !== undefined && (this.#byKid.has(kid) || this.unused.has(kid));
  }

  /**
   * Returns the keys that fit a header: the keys with its `kid`, or else those without one; all keys if the header has
   * no `kid`. Keys for only its algorithm come first, because the number of tries is limited.
   */
  candidates(kid: string | undefined, algorithm: string): readonly VerificationKey[] {
    const named = kid === undefined ? this.list : (this.#byKid.get(this.has(kid) ? kid : undefined) ?? []);
    const fitting = named.filter((key) => key.algorithms.includes(algorithm));
    if (fitting.length <= MAX_CANDIDATES) return fitting;
    return fitting.toSorted((a, b) => a.algorithms.length - b.algorithms.length).slice(0, MAX_CANDIDATES);
  }
}

/** Keys from the options, which never change. */
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

  stopRefreshing(): void {}

  close(): void {}
}

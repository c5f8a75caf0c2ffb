import type { Instant } from '../foundation/clock.js';
import type { VerificationKey } from './verification-key.js';

/** What a key set says of a token's header. */
export type KeyLookup =
  | {
      /** Keys that may have signed it, and the set that they are of. */
      readonly kind: 'found';
      readonly keys: readonly VerificationKey[];
      readonly set: VerificationKeys;
      /** Whether the header names them. Otherwise the issuer may have a newer key that signed it. */
      readonly areNamed: boolean;
    }
  /** The issuer has no such key. */
  | { readonly kind: 'unknown' }
  /** The issuer's keys can't be had, or it can't be asked for such a key yet. */
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
   * @param tried A set whose keys have not signed the token: only a newer one counts.
   */
  find(kid: string | undefined, algorithm: string, tried?: VerificationKeys): KeyLookup | Promise<KeyLookup>;
  /**
   * Fetches the keys before a token needs them, again and again until it has them.
   *
   * @returns Settles once they are held. Never rejects, and stays pending where the set is closed first.
   */
  warmUp(): Promise<void>;
  /** Why the keys could not be had the last time; undefined where they could. */
  readonly problem: unknown;
  /** Stops all background work; what is under way is still finished, and callers are answered. */
  retire(): void;
  /** Ends background work, and what is under way. */
  close(): void;
}

/** Most keys that a signature is tried with, where several fit the header. Each costs some 0.15 ms. */
export const MAX_CANDIDATES = 16;

/** The keys of a set as they were at one moment. */
export class VerificationKeys {
  readonly #byKid = new Map<string | undefined, VerificationKey[]>();

  /** @param unused Names of keys that the issuer publishes as well, and that are not used. */
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

  /** Whether the issuer publishes a key of this name, be it used or not. */
  has(kid: string | undefined): boolean {
    return kid !== undefined && (this.#byKid.has(kid) || this.unused.has(kid));
  }

  /**
   * Those that fit a header: the keys of its `kid`, or else those without one; all of them where it names none. Keys that
   * are for its algorithm alone come first, because only so many are tried.
   */
  candidates(kid: string | undefined, algorithm: string): readonly VerificationKey[] {
    const named = kid === undefined ? this.list : (this.#byKid.get(this.has(kid) ? kid : undefined) ?? []);
    const fitting = named.filter((key) => key.algorithms.includes(algorithm));
    if (fitting.length <= MAX_CANDIDATES) return fitting;
    return fitting.toSorted((a, b) => a.algorithms.length - b.algorithms.length).slice(0, MAX_CANDIDATES);
  }
}

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

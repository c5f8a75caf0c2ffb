import { BoundedMap, type BoundedMapLimits } from '../foundation/bounded-map.js';
import type { VerifiedToken } from './verified-token.js';

/** Characters of a token that it is found by: the end of its signature, which differs as a whole hash does. */
const TAIL_LENGTH = 64;

/** What an entry takes besides the token and its claims, in bytes. */
const ENTRY_BYTES = 1024;

export const VERIFIED_TOKENS_LIMITS: BoundedMapLimits = { maxEntries: 10_000, maxBytes: 67_108_864 };

/**
 * Tokens whose signature was verified, so that it need not be again.
 *
 * Hashing a whole token costs several times what the rest of a warm check does; the end of its signature tells tokens
 * apart as well. It is no proof of anything, though: a token counts as known only where all of it is the same.
 */
export class VerifiedTokens {
  readonly #tokens: BoundedMap<VerifiedToken>;

  constructor(limits: BoundedMapLimits) {
    this.#tokens = new BoundedMap(limits);
  }

  get(token: string): VerifiedToken | undefined {
    const known = this.#tokens.get(token.slice(-TAIL_LENGTH));
    return known?.token === token ? known : undefined;
  }

  add(token: VerifiedToken): void {
    // The text, its claims, which are about as long, and what is made of them.
    this.#tokens.set(token.token.slice(-TAIL_LENGTH), token, token.token.length * 4 + ENTRY_BYTES);
  }

  delete(token: VerifiedToken): void {
    this.#tokens.delete(token.token.slice(-TAIL_LENGTH));
  }

  clear(): void {
    this.#tokens.clear();
  }
}

import { BoundedMap } from '../foundation/bounded-map.js';
import type { RefreshedToken } from './refreshed-token.js';
import type { RetryBackoff } from './retry-policy.js';
import type { TokenParameters } from './token-parameters.js';

/** Maximum number of back-offs kept of evicted tokens. */
const MAX_BACKOFFS = 1000;

/** The client's tokens for parameters other than its own, by `tokenKey`. Evicts the least recently used ones. */
export class TokenCache {
  /** In the order of their last use, the least recent first. */
  readonly #tokens = new Map<string, RefreshedToken>();
  /** Back-offs of tokens that were evicted after a failure: eviction does not end them. */
  readonly #backoffs = new BoundedMap<RetryBackoff>({ maxEntries: MAX_BACKOFFS });

  constructor(
    private readonly max: number,
    private readonly create: (parameters: TokenParameters, backoff: RetryBackoff | undefined) => RefreshedToken,
  ) {}

  find(key: string): RefreshedToken | undefined {
    const token = this.#tokens.get(key);
    if (token) {
      this.#tokens.delete(key);
      this.#tokens.set(key, token);
    }
    return token;
  }

  /**
   * Adds a token for parameters that have none, and evicts the least recently used one if the cache is full. It does
   * not evict a token that is being fetched, because a caller waits for it.
   *
   * @throws The error of `overload` if all are being fetched.
   */
  add(key: string, parameters: TokenParameters, overload: () => Error): RefreshedToken {
    if (this.#tokens.size >= this.max) this.#evict(overload);
    const token = this.create(parameters, this.#backoffs.get(key));
    this.#backoffs.delete(key);
    this.#tokens.set(key, token);
    return token;
  }

  all(): Iterable<RefreshedToken> {
    return this.#tokens.values();
  }

  /** Ends the back-off of every token, also of evicted ones. */
  retryNow(): void {
    for (const token of this.#tokens.values()) token.retryNow();
    for (const backoff of this.#backoffs.values()) backoff.retryNow();
  }

  #evict(overload: () => Error): void {
    for (const [key, token] of this.#tokens) {
      if (token.isBusy) continue;
      this.#tokens.delete(key);
      token.close();
      if (token.backoff.lastError) this.#backoffs.set(key, token.backoff);
      return;
    }
    throw overload();
  }
}

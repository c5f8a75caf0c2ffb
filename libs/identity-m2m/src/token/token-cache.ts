import type { RefreshedToken } from './refreshed-token.js';
import type { RetryBackoff } from './retry-policy.js';
import { tokenKey, type TokenParameters } from './token-parameters.js';

/** Most parameters of which no manager is left and something is remembered. */
const MAX_REMEMBERED = 1000;

/**
 * The managers of tokens with parameters of their own, by what they ask for: as many as were wanted lately, up to a
 * number.
 */
export class TokenCache {
  /** In the order of their last use, the longest ago first. */
  readonly #managers = new Map<string, RefreshedToken>();
  /** Those of managers that were given up after a failure: it is over when its time has come, not with the manager. */
  readonly #closedGates = new Map<string, RetryBackoff>();

  constructor(
    private readonly max: number,
    private readonly managerFor: (parameters: TokenParameters, gate: RetryBackoff | undefined) => RefreshedToken,
  ) {}

  find(parameters: TokenParameters): RefreshedToken | undefined {
    const key = tokenKey(parameters);
    const manager = this.#managers.get(key);
    if (manager) {
      this.#managers.delete(key);
      this.#managers.set(key, manager);
    }
    return manager;
  }

  /**
   * A manager for parameters that have none, in the place of the one that was used the longest ago. One that is fetching
   * a token is not given up: somebody waits for it.
   *
   * @throws What `overload` makes, where all are fetching one.
   */
  make(parameters: TokenParameters, overload: () => Error): RefreshedToken {
    if (this.#managers.size >= this.max) this.#giveUpOne(overload);
    const key = tokenKey(parameters);
    const manager = this.managerFor(parameters, this.#closedGates.get(key));
    this.#closedGates.delete(key);
    this.#managers.set(key, manager);
    return manager;
  }

  all(): Iterable<RefreshedToken> {
    return this.#managers.values();
  }

  /** Ends the waits for the next attempts. */
  retryNow(): void {
    for (const manager of this.#managers.values()) manager.retryNow();
    for (const gate of this.#closedGates.values()) gate.retryNow();
  }

  #giveUpOne(overload: () => Error): void {
    for (const [key, manager] of this.#managers) {
      if (manager.isBusy) continue;
      this.#managers.delete(key);
      manager.dispose();
      if (manager.gate.lastError) this.#remember(key, manager.gate);
      return;
    }
    throw overload();
  }

  #remember(key: string, gate: RetryBackoff): void {
    this.#closedGates.set(key, gate);
    if (this.#closedGates.size > MAX_REMEMBERED) this.#closedGates.delete(this.#closedGates.keys().next().value!);
  }
}

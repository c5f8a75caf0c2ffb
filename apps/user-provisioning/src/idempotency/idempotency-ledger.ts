import { setTimeout as sleep } from 'node:timers/promises';
import { Logger } from '@nestjs/common';
import { IdempotencyKeyInUseError, IdempotencyKeyReusedError } from './idempotency-errors.js';
import type { Execution, IdempotencyStore } from './idempotency-store.js';
import { contentDigestOf, type RequestContent, requestIdOf } from './request-digests.js';

/** One request that a caller may repeat: it is carried out once, and its outcome is given to every repetition. */
export interface RepeatableRequest<Outcome> {
  /** Whose key it is: two callers may happen to use the same one. */
  readonly clientId: string;
  readonly key: string;
  /** What the caller asks for, to tell a repetition from another request under the same key. */
  readonly content: RequestContent;
  /** Time of this attempt, by the clock of whoever carries it out. */
  readonly startedAt: number;
  /**
   * Carries the request out. An error means that there is no outcome yet; a refusal for good is an outcome.
   *
   * @param inDoubtSince Since when it may have been carried out, by the same clock as `startedAt`; undefined where it
   * surely was not.
   * @param confirm To be called before each step that must not be taken twice; rejects where it is too late for that.
   */
  readonly carryOut: (inDoubtSince: number | undefined, confirm: () => Promise<void>) => Promise<Outcome>;
  /** Whether the request may have been carried out although `carryOut` threw this. */
  readonly isInDoubt: (error: unknown) => boolean;
}

export interface Settlement<Outcome> {
  readonly outcome: Outcome;
  /** Whether the outcome is that of another request with the same key. */
  readonly replayed: boolean;
}

/**
 * Sees to it that requests with an idempotency key are carried out once.
 *
 * That a request was begun is in the store before it is carried out. Whoever finds it begun and not completed, after a
 * crash or an outage, carries it out again and is told since when it is in doubt. A repetition that comes while the
 * first is still under way waits for the same outcome.
 */
export class IdempotencyLedger {
  readonly #logger = new Logger('UserProvisioning');
  readonly #underWay = new Map<string, UnderWay>();

  /**
   * @param scope Keys of another scope are other keys, even in the same store.
   * @param patienceMs How long a request waits for another instance of this service that has the same one in hand.
   */
  constructor(
    private readonly store: IdempotencyStore,
    private readonly scope: string,
    private readonly patienceMs = 5000,
  ) {}

  /**
   * @throws {@link IdempotencyKeyReusedError}; {@link IdempotencyKeyInUseError}; `IdempotencyStoreUnavailableError`;
   * whatever `carryOut` throws
   */
  async outcomeOf<Outcome>(request: RepeatableRequest<Outcome>): Promise<Settlement<Outcome>> {
    const id = requestIdOf(this.scope, request.clientId, request.key);
    const contentDigest = await contentDigestOf(id, request.content);
    const name = id.client + id.key;
    const other = this.#underWay.get(name);
    if (other) {
      if (other.contentDigest !== contentDigest) throw new IdempotencyKeyReusedError();
      return { outcome: (await other.settlement).outcome as Outcome, replayed: true };
    }
    const settlement = this.#settle(() => this.store.begin(id, contentDigest, request.startedAt), request).finally(() =>
      this.#underWay.delete(name),
    );
    this.#underWay.set(name, { contentDigest, settlement });
    return settlement;
  }

  /** Resolves when no request is under way. */
  async idle(): Promise<void> {
    await Promise.allSettled([...this.#underWay.values()].map(({ settlement }) => settlement));
  }

  async #settle<Outcome>(
    begin: () => ReturnType<IdempotencyStore['begin']>,
    request: RepeatableRequest<Outcome>,
  ): Promise<Settlement<Outcome>> {
    for (let waitedMs = 0, pauseMs = 50; ; waitedMs += pauseMs, pauseMs = Math.min(pauseMs * 2, 1000)) {
      const beginning = await begin();
      switch (beginning.kind) {
        case 'begun':
          return { outcome: await this.#carryOut(request, beginning), replayed: false };
        case 'completed':
          return { outcome: beginning.outcome as Outcome, replayed: true };
        case 'other content':
          throw new IdempotencyKeyReusedError();
        case 'under way':
          if (waitedMs >= this.patienceMs) throw new IdempotencyKeyInUseError();
          await sleep(pauseMs);
      }
    }
  }

  async #carryOut<Outcome>(
    request: RepeatableRequest<Outcome>,
    { execution, inDoubtSince }: { execution: Execution; inDoubtSince: number | undefined },
  ): Promise<Outcome> {
    let outcome: Outcome;
    try {
      outcome = await request.carryOut(inDoubtSince, () => execution.confirm());
    } catch (error) {
      // Nothing that comes after a doubt began ends it, but an outcome.
      const wasCarriedOut = inDoubtSince !== undefined || request.isInDoubt(error) ? 'perhaps' : 'no';
      await this.#write(() => execution.giveUp(wasCarriedOut));
      throw error;
    }
    await this.#write(() => execution.complete(outcome));
    return outcome;
  }

  /** What cannot be written down at the end leaves the request in doubt, and so costs a repetition a second look. */
  async #write(write: () => Promise<void>): Promise<void> {
    try {
      await write();
    } catch (error) {
      this.#logger.warn(`The end of a request was not written down: ${String(error)}`);
    }
  }
}

interface UnderWay {
  readonly contentDigest: string;
  readonly settlement: Promise<Settlement<unknown>>;
}

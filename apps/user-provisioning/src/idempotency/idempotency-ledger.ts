import { createHash, scrypt, type ScryptOptions } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { Logger } from '@nestjs/common';
import {
  type Execution,
  IdempotencyKeyInUseError,
  IdempotencyKeyReusedError,
  type IdempotencyStore,
  type RequestId,
} from './idempotency-store.js';

/** A request that a caller may repeat: it is carried out once, and every repetition gets its outcome. */
export interface RepeatableRequest<Outcome> {
  /** Owner of the key: two callers may use the same one. */
  readonly clientId: string;
  readonly key: string;
  /** Distinguishes a repetition from another request under the same key. */
  readonly content: RequestContent;
  /** Time of this attempt, by the clock that `inDoubtSince` uses. */
  readonly startedAt: number;
  /**
   * Carries the request out. An error means that there is no outcome yet; a final refusal is an outcome.
   *
   * @param inDoubtSince Since when it may have been carried out, by the clock of `startedAt`; undefined if it certainly
   * was not.
   * @param confirm Call it before each step that must not happen twice; it rejects if that step is no longer allowed.
   */
  readonly execute: (inDoubtSince: number | undefined, confirm: () => Promise<void>) => Promise<Outcome>;
  /** Whether the request may have been carried out although `execute` threw this error. */
  readonly isInDoubt: (error: unknown) => boolean;
}

export interface Settlement<Outcome> {
  readonly outcome: Outcome;
  /** Whether the outcome is of another request with the same key. */
  readonly replayed: boolean;
}

/**
 * Carries out requests with an idempotency key once.
 *
 * The store records that a request has begun before it is carried out. After a crash or an outage, the next request
 * with that key is carried out again, and knows since when the first one is in doubt. A repetition that arrives while
 * the first is under way waits for the same outcome.
 */
export class IdempotencyLedger {
  readonly #logger = new Logger('UserProvisioning');
  readonly #underWay = new Map<string, UnderWay>();

  /**
   * @param scope Keys of another scope are other keys, even in the same store.
   * @param patienceMs How long a request waits for another instance of this service that is carrying it out.
   */
  constructor(
    private readonly store: IdempotencyStore,
    private readonly scope: string,
    private readonly patienceMs = 5000,
  ) {}

  /**
   * @throws {@link IdempotencyKeyReusedError}; {@link IdempotencyKeyInUseError}; `IdempotencyStoreUnavailableError`; and
   * the errors of `execute`
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
          return { outcome: await this.#executeAndRecord(request, beginning), replayed: false };
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

  async #executeAndRecord<Outcome>(
    request: RepeatableRequest<Outcome>,
    { execution, inDoubtSince }: { execution: Execution; inDoubtSince: number | undefined },
  ): Promise<Outcome> {
    let outcome: Outcome;
    try {
      outcome = await request.execute(inDoubtSince, () => execution.confirm());
    } catch (error) {
      // Only an outcome ends a doubt.
      const wasCarriedOut = inDoubtSince !== undefined || request.isInDoubt(error) ? 'perhaps' : 'no';
      await this.#write(() => execution.giveUp(wasCarriedOut));
      throw error;
    }
    await this.#write(() => execution.complete(outcome));
    return outcome;
  }

  /** A failed write leaves the request in doubt, so a repetition looks the user up. */
  async #write(write: () => Promise<void>): Promise<void> {
    try {
      await write();
    } catch (error) {
      this.#logger.warn(`The end of a request was not stored: ${String(error)}`);
    }
  }
}

interface UnderWay {
  readonly contentDigest: string;
  readonly settlement: Promise<Settlement<unknown>>;
}

/** @param scope Where the client's keys are valid: at another tenant the same key is another key. */
export function requestIdOf(scope: string, clientId: string, key: string): RequestId {
  const client = digest(scope, clientId);
  return { client, key: digest(client, key) };
}

/** A request's content. The part that an attacker could guess from a plain digest is separate. */
export interface RequestContent {
  readonly open: unknown;
  readonly secret: string | undefined;
}

/**
 * Returns the digest of a content, to be stored.
 *
 * An attacker could try likely passwords against a plain digest, so a password goes through scrypt (RFC 7914) first,
 * with a salt of its own. That costs about 10 ms of one core, for each guess too.
 */
export async function contentDigestOf({ client, key }: RequestId, { open, secret }: RequestContent): Promise<string> {
  const stretched =
    secret === undefined ? '' : (await stretch(secret, client + key, 32, { N: 4096 })).toString('base64url');
  return digest(JSON.stringify(open), stretched);
}

const stretch: (secret: string, salt: string, length: number, options: ScryptOptions) => Promise<Buffer> =
  promisify(scrypt);

function digest(...parts: readonly string[]): string {
  return createHash('sha256').update(JSON.stringify(parts)).digest('base64url');
}

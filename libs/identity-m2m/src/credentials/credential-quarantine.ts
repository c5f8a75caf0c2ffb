import { type Clock, elapsedMs, type Instant, doublingDelayMs } from '../foundation/clock.js';
import { waitAtMost } from '../foundation/promises.js';

export interface QuarantinePolicy {
  /**
   * Refusals in a row after which attempts are halted. Well below the failure budgets that identity providers are known
   * to lock clients out by.
   */
  readonly maxRefusals: number;
  /** Time between single attempts after that, in milliseconds; Infinity for none. */
  readonly probeIntervalMs: number;
}

/** Most credentials of which something is remembered. */
const MAX_CREDENTIALS = 1000;

/** For how long one acceptance speaks for other requests with the same credential, in milliseconds. */
const TRUST_MS = 5000;

/** How long requests wait for the one that goes ahead with a credential which was good before, in milliseconds. */
const LEAD_MS = 2000;

export interface Quarantine {
  /** How long from now until the credential may be shown again, in milliseconds; Infinity for never. */
  readonly delayMs: number;
  /** Whether only an occasional probe is left. */
  readonly halted: boolean;
  /** Whether the credential is taken for what was refused. If not, the answer may have come from a gateway. */
  readonly isConfirmed: boolean;
}

export interface ShownCredential {
  /** When the request was sent. Of several that were under way at the same time, one counts. */
  readonly shownAt: Instant;
  /** As how many refusals it counts: two where a second attempt shows it as well. */
  readonly requests: number;
  /** Whether the answer says that the client was refused (an OAuth error), and not only a status of 401 or 403. */
  readonly isConfirmed: boolean;
  /** Shortest time until the next request that the server asked for, in milliseconds. */
  readonly minDelayMs: number;
}

interface CredentialRecord {
  /** Refusals in a row, and requests whose answer was not waited for. */
  readonly count: number;
  readonly refusal: { readonly since: Instant; readonly quarantine: Quarantine } | undefined;
  /** Whether a request with it was aborted in favour of another. */
  readonly isSuperseded: boolean;
}

/**
 * Keeps refused credentials away from the identity provider, which may lock the client out.
 *
 * One entry stands for one credential of one client at one token endpoint, and so covers every scope and audience. A
 * new credential has a new fingerprint and is free at once. Many scopes that are asked for at once would cost as many
 * failed logins: so until a credential has been accepted one request at a time may show it, and later on one goes ahead
 * of the others.
 */
export class CredentialQuarantine {
  readonly #records = new Map<string, CredentialRecord>();
  /** When credentials were accepted last that were not refused since. */
  readonly #acceptedAt = new Map<string, Instant>();
  /** The one request that finds out whether a credential is good, by its key. Resolves when that is done. */
  readonly #turns = new Map<string, Promise<true>>();

  constructor(
    private readonly clock: Clock,
    private readonly random: () => number,
  ) {}

  /**
   * Waits until this credential may be shown by one more request: at once where it was accepted just now, and for no
   * longer than a moment where it ever was.
   *
   * @param signal Ends the wait, and the turn as well.
   * @param isSecond Whether the same token request is under way already, and silent: it is not waited for.
   * @returns Ends the turn.
   */
  async turn(key: string, signal: AbortSignal, isSecond: boolean): Promise<() => void> {
    const begin = this.clock.now();
    for (;;) {
      const others = this.#turns.get(key);
      const acceptedAt = this.#acceptedAt.get(key);
      if (acceptedAt && (isSecond || elapsedMs(acceptedAt, this.clock.now()) < TRUST_MS)) return () => {};
      if (!others) return this.#beginTurn(key, signal);
      if (!acceptedAt) await others;
      else {
        // A server that does not answer refuses nothing, and must not hold up what else is asked for.
        const patienceMs = Math.max(LEAD_MS - elapsedMs(begin, this.clock.now()), 0);
        if (!(await waitAtMost(others, patienceMs, this.clock, signal))) return () => {};
      }
      signal.throwIfAborted();
    }
  }

  /** What still stands against using this credential now; undefined when nothing does. */
  remaining(key: string): Quarantine | undefined {
    const refusal = this.#records.get(key)?.refusal;
    if (!refusal) return undefined;
    const delayMs = refusal.quarantine.delayMs - elapsedMs(refusal.since, this.clock.now());
    return delayMs > 0 ? { ...refusal.quarantine, delayMs } : undefined;
  }

  /** Records that the identity provider refused the credential. */
  refused(key: string, policy: QuarantinePolicy, shown: ShownCredential): Quarantine {
    const { shownAt, requests, isConfirmed, minDelayMs } = shown;
    this.#acceptedAt.delete(key);
    const before = this.#records.get(key);
    if (before?.refusal && before.refusal.since.monotonicMs >= shownAt.monotonicMs) {
      return this.remaining(key) ?? before.refusal.quarantine;
    }
    const count = (before?.count ?? 0) + requests;
    const decided = quarantineAfter(count, policy, isConfirmed, this.random);
    const quarantine = { ...decided, delayMs: Math.max(decided.delayMs, minDelayMs) };
    const refusal = { since: this.clock.now(), quarantine };
    this.#record(key, { count, refusal, isSuperseded: before?.isSuperseded ?? false });
    return quarantine;
  }

  /** Whether the credential was accepted, and was not refused since. */
  wasAccepted(key: string): boolean {
    return this.#acceptedAt.has(key);
  }

  /**
   * How a second request may join one with this credential that is silent: beside it where the credential was accepted
   * before; otherwise in its place, once, if the budget of refusals has room for both; or not at all.
   */
  secondRequest(key: string, policy: QuarantinePolicy): 'beside' | 'instead' | undefined {
    if (this.wasAccepted(key)) return 'beside';
    const { count, isSuperseded } = this.#records.get(key) ?? { count: 0, isSuperseded: false };
    return isSuperseded || count + 2 > policy.maxRefusals ? undefined : 'instead';
  }

  /** Counts a request whose answer is not known, because it was aborted for a second one, or is that second one. */
  unanswered(key: string): void {
    const before = this.#records.get(key);
    this.#record(key, { count: (before?.count ?? 0) + 1, refusal: before?.refusal, isSuperseded: true });
  }

  /** Forgets what stood against the credential, because it was accepted. */
  release(key: string): void {
    this.#records.delete(key);
    this.#acceptedAt.delete(key);
    this.#acceptedAt.set(key, this.clock.now());
    if (this.#acceptedAt.size > MAX_CREDENTIALS) this.#acceptedAt.delete(this.#acceptedAt.keys().next().value!);
  }

  /** Forgets what stood against all credentials whose keys begin like this: somebody has mended what was wrong. */
  releaseAll(keyPrefix: string): void {
    for (const key of this.#records.keys()) if (key.startsWith(keyPrefix)) this.#records.delete(key);
  }

  #record(key: string, record: CredentialRecord): void {
    // Set anew, so that the map stays ordered by the last change and the oldest entry can be dropped.
    this.#records.delete(key);
    this.#records.set(key, record);
    if (this.#records.size > MAX_CREDENTIALS) this.#records.delete(this.#records.keys().next().value!);
  }

  #beginTurn(key: string, signal: AbortSignal): () => void {
    let resolve!: (done: true) => void;
    const turn = new Promise<true>((settle) => (resolve = settle));
    this.#turns.set(key, turn);
    const end = () => {
      signal.removeEventListener('abort', end);
      if (this.#turns.get(key) === turn) this.#turns.delete(key);
      resolve(true);
    };
    // A signer that never comes to an end must not keep the others waiting.
    signal.addEventListener('abort', end, { once: true });
    return end;
  }
}

/** Answers of 401 or 403 without an OAuth error that are retried within seconds. */
const UNCONFIRMED_RETRIES = 3;

/**
 * The quarantine after a number of refusals in a row: 30 s, doubling to 15 min, then halted.
 *
 * @param isConfirmed Whether the last answer was an OAuth error. Without one it may have come from a gateway, which will
 * be gone when the server has restarted: so the first three are retried within seconds. They count all the same, so that
 * a wrong credential is not shown more often than with an OAuth error.
 */
export function quarantineAfter(
  refusals: number,
  policy: QuarantinePolicy,
  isConfirmed: boolean,
  random: () => number,
): Quarantine {
  if (refusals >= policy.maxRefusals) return { delayMs: policy.probeIntervalMs, halted: true, isConfirmed: true };
  if (!isConfirmed && refusals <= UNCONFIRMED_RETRIES) {
    return { delayMs: unconfirmedDelayMs(refusals, random), halted: false, isConfirmed: false };
  }
  const delayMs = doublingDelayMs(30_000, 900_000, refusals - 1) * (1 + 0.2 * random());
  return { delayMs, halted: false, isConfirmed: true };
}

/**
 * The first retry follows as after any outage. The others are so far apart that the last one comes 10 s after the first
 * refusal, and none later than 5 s after the one before: a gateway that refused for up to 10 s costs no more than that.
 */
function unconfirmedDelayMs(refusals: number, random: () => number): number {
  return refusals === 1 ? 500 + 500 * random() : 4750 + 250 * random();
}

import { type Clock, elapsedMs, type Instant } from '../foundation/clock.js';
import { doublingDelayMs } from '../foundation/doubling-delay.js';
import { waitAtMost } from '../foundation/wait-at-most.js';

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
  readonly #refusals = new Map<string, { count: number; since: Instant; quarantine: Quarantine }>();
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
   * @returns Ends the turn.
   */
  async turn(key: string, signal: AbortSignal): Promise<() => void> {
    const begin = this.clock.now();
    for (;;) {
      const others = this.#turns.get(key);
      const acceptedAt = this.#acceptedAt.get(key);
      if (acceptedAt && elapsedMs(acceptedAt, this.clock.now()) < TRUST_MS) return () => {};
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
    const refusal = this.#refusals.get(key);
    if (!refusal) return undefined;
    const delayMs = refusal.quarantine.delayMs - elapsedMs(refusal.since, this.clock.now());
    return delayMs > 0 ? { delayMs, halted: refusal.quarantine.halted } : undefined;
  }

  /**
   * Records that the identity provider refused the credential.
   *
   * @param shownAt When the request was sent. Of several that were under way at the same time, one counts.
   */
  refused(key: string, policy: QuarantinePolicy, shownAt: Instant): Quarantine {
    this.#acceptedAt.delete(key);
    const before = this.#refusals.get(key);
    if (before && before.since.monotonicMs >= shownAt.monotonicMs) return this.remaining(key) ?? before.quarantine;
    const count = (before?.count ?? 0) + 1;
    const quarantine = quarantineAfter(count, policy, this.random);
    // Set anew, so that the map stays ordered by the last refusal and the oldest entry can be dropped.
    this.#refusals.delete(key);
    this.#refusals.set(key, { count, since: this.clock.now(), quarantine });
    if (this.#refusals.size > MAX_CREDENTIALS) this.#refusals.delete(this.#refusals.keys().next().value!);
    return quarantine;
  }

  /** Forgets what stood against the credential, because it was accepted. */
  release(key: string): void {
    this.#refusals.delete(key);
    this.#acceptedAt.delete(key);
    this.#acceptedAt.set(key, this.clock.now());
    if (this.#acceptedAt.size > MAX_CREDENTIALS) this.#acceptedAt.delete(this.#acceptedAt.keys().next().value!);
  }

  /** Forgets what stood against all credentials whose keys begin like this: somebody has mended what was wrong. */
  releaseAll(keyPrefix: string): void {
    for (const key of this.#refusals.keys()) if (key.startsWith(keyPrefix)) this.#refusals.delete(key);
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

/** The quarantine after a number of refusals in a row: 30 s, doubling to 15 min, then halted. */
export function quarantineAfter(refusals: number, policy: QuarantinePolicy, random: () => number): Quarantine {
  if (refusals >= policy.maxRefusals) return { delayMs: policy.probeIntervalMs, halted: true };
  return { delayMs: doublingDelayMs(30_000, 900_000, refusals - 1) * (1 + 0.2 * random()), halted: false };
}

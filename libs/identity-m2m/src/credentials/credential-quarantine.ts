import { type Clock, elapsedMs, type Instant, doublingDelayMs } from '../foundation/clock.js';
import { BoundedMap } from '../foundation/bounded-map.js';
import { waitAtMost } from '../foundation/promises.js';

export interface QuarantinePolicy {
  /**
   * Number of consecutive refusals after which attempts stop. It is well below the number after which identity
   * providers are known to lock clients out.
   */
  readonly maxRefusals: number;
  /** Interval between single attempts after that, in milliseconds; Infinity for none. */
  readonly probeIntervalMs: number;
}

/** Maximum number of credentials with a record. */
const MAX_CREDENTIALS = 1000;

/** Time after an acceptance during which other requests with the same credential take no turns, in milliseconds. */
const TRUST_MS = 5000;

/** How long requests wait for the first one with a credential that was accepted before, in milliseconds. */
const LEAD_MS = 2000;

export interface Quarantine {
  /** Time until the credential may be sent again, in milliseconds; Infinity for never. */
  readonly delayMs: number;
  /** Whether only occasional probes are sent. */
  readonly halted: boolean;
  /** Whether the server refused the credential. If not, the response may be that of a gateway. */
  readonly isConfirmed: boolean;
}

export interface SentCredential {
  /** When the request was sent. Of several concurrent requests, one counts. */
  readonly sentAt: Instant;
  /** Number of refusals that it counts as: two if a second try sends it as well. */
  readonly requests: number;
  /** Whether the response has an OAuth error that refuses the client, and not only a status of 401 or 403. */
  readonly isConfirmed: boolean;
  /** Minimum delay before the next request, as the server asked for, in milliseconds. */
  readonly minDelayMs: number;
}

interface CredentialRecord {
  /** Number of consecutive refusals, and of requests that were aborted before their response. */
  readonly count: number;
  readonly refusal: { readonly since: Instant; readonly quarantine: Quarantine } | undefined;
  /** Whether a request with it was aborted in favour of another. */
  readonly isSuperseded: boolean;
}

/**
 * Stops sending refused credentials to the identity provider, which may otherwise lock the client out.
 *
 * There is one record for each credential of a client at a token endpoint, which covers every scope and audience. A new
 * credential has a new fingerprint and can be sent at once. Concurrent requests for many scopes would cost as many
 * failed logins. So requests take turns until the credential is accepted; after that, only the first one has a turn.
 */
export class CredentialQuarantine {
  readonly #records = new BoundedMap<CredentialRecord>({ maxEntries: MAX_CREDENTIALS });
  /** Last acceptance of each credential that was not refused since then. */
  readonly #acceptedAt = new BoundedMap<Instant>({ maxEntries: MAX_CREDENTIALS });
  /** The request whose turn it is, by the credential's key. Resolves when the turn ends. */
  readonly #turns = new Map<string, Promise<true>>();

  constructor(
    private readonly clock: Clock,
    private readonly random: () => number,
  ) {}

  /**
   * Waits until another request may send this credential: not at all if it was accepted just now, and at most 2 s if it
   * was accepted before.
   *
   * @param signal Ends the wait, and the turn.
   * @param isSecond Whether this is a second try of a token request that has no response yet. It does not wait for the
   * first one.
   * @returns Ends the turn.
   */
  async waitForTurn(key: string, signal: AbortSignal, isSecond: boolean): Promise<() => void> {
    const begin = this.clock.now();
    for (;;) {
      const others = this.#turns.get(key);
      const acceptedAt = this.#acceptedAt.get(key);
      if (acceptedAt && (isSecond || elapsedMs(acceptedAt, this.clock.now()) < TRUST_MS)) return () => {};
      if (!others) return this.#beginTurn(key, signal);
      if (!acceptedAt) await others;
      else {
        // A server that does not respond refuses nothing, and must not delay other requests.
        const patienceMs = Math.max(LEAD_MS - elapsedMs(begin, this.clock.now()), 0);
        if (!(await waitAtMost(others, patienceMs, this.clock, signal))) return () => {};
      }
      signal.throwIfAborted();
    }
  }

  /** Returns the rest of the credential's quarantine; undefined if it may be sent. */
  remaining(key: string): Quarantine | undefined {
    const refusal = this.#records.get(key)?.refusal;
    if (!refusal) return undefined;
    const delayMs = refusal.quarantine.delayMs - elapsedMs(refusal.since, this.clock.now());
    return delayMs > 0 ? { ...refusal.quarantine, delayMs } : undefined;
  }

  /** Records a refusal, and returns the quarantine that follows. */
  recordRefusal(key: string, policy: QuarantinePolicy, sent: SentCredential): Quarantine {
    const { sentAt, requests, isConfirmed, minDelayMs } = sent;
    this.#acceptedAt.delete(key);
    const before = this.#records.get(key);
    if (before?.refusal && before.refusal.since.monotonicMs >= sentAt.monotonicMs) {
      return this.remaining(key) ?? before.refusal.quarantine;
    }
    const count = (before?.count ?? 0) + requests;
    const decided = quarantineAfter(count, policy, isConfirmed, this.random);
    const quarantine = { ...decided, delayMs: Math.max(decided.delayMs, minDelayMs) };
    const refusal = { since: this.clock.now(), quarantine };
    this.#records.set(key, { count, refusal, isSuperseded: before?.isSuperseded ?? false });
    return quarantine;
  }

  /** Whether the credential was accepted, and was not refused since. */
  wasAccepted(key: string): boolean {
    return this.#acceptedAt.get(key) !== undefined;
  }

  /**
   * Returns how a second try may follow one without a response. In parallel, if the credential was accepted before.
   * Otherwise instead of it, once, if two refusals do not reach `maxRefusals`; or not at all.
   */
  secondTry(key: string, policy: QuarantinePolicy): 'beside' | 'instead' | undefined {
    if (this.wasAccepted(key)) return 'beside';
    const { count, isSuperseded } = this.#records.get(key) ?? { count: 0, isSuperseded: false };
    return isSuperseded || count + 2 > policy.maxRefusals ? undefined : 'instead';
  }

  /** Records a request without a response: one that was aborted in favour of a second one, or that second one. */
  recordUnanswered(key: string): void {
    const before = this.#records.get(key);
    this.#records.set(key, { count: (before?.count ?? 0) + 1, refusal: before?.refusal, isSuperseded: true });
  }

  /** Records an acceptance, and forgets earlier refusals. */
  recordAcceptance(key: string): void {
    this.#records.delete(key);
    this.#acceptedAt.set(key, this.clock.now());
  }

  /** Forgets the refusals of all credentials whose keys have this prefix. */
  forgetRefusals(keyPrefix: string): void {
    for (const key of this.#records.keys()) if (key.startsWith(keyPrefix)) this.#records.delete(key);
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
    // A signer that never settles must not block the other requests.
    signal.addEventListener('abort', end, { once: true });
    return end;
  }
}

/** Number of responses of 401 or 403 without an OAuth error that are retried within seconds. */
const UNCONFIRMED_RETRIES = 3;

/**
 * Returns the quarantine after a number of consecutive refusals: 30 s, doubling up to 15 min, then halted.
 *
 * @param isConfirmed Whether the last response was an OAuth error. Any other may come from a gateway while the server
 * restarts, so the first three are retried within seconds. They count nevertheless: a wrong credential is not sent more
 * often than after OAuth errors.
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
 * The first retry follows as after any outage. The others are at most 5 s apart, and the last comes 10 s after the
 * first refusal. So a gateway that refuses for up to 10 s causes no longer outage than that.
 */
function unconfirmedDelayMs(refusals: number, random: () => number): number {
  return refusals === 1 ? 500 + 500 * random() : 4750 + 250 * random();
}

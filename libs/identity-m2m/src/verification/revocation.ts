import { type Clock, systemClock } from '../foundation/clock.js';
import { IdentityM2MError } from '../foundation/identity-m2m-error.js';
import { waitAtMost } from '../foundation/promises.js';
import { type Refusal, refuse } from './refusal.js';

/** The facts of a verified token that a revocation can match. Never the token itself. */
export interface RevocableToken {
  readonly issuer: string;
  readonly clientId: string;
  /** `jti` (RFC 7519 §4.1.7). */
  readonly tokenId: string | undefined;
  /** `sub`. */
  readonly subject: string | undefined;
  /** `kid` of the key that signed it. */
  readonly keyId: string | undefined;
  /** `iat`, in milliseconds since the epoch. */
  readonly issuedAtMs: number | undefined;
}

/**
 * Knows which tokens are revoked. The guard calls it for each request, even if the token's signature was verified
 * before. A store outside of this process should cache its results.
 */
export interface RevocationStore {
  /**
   * Whether a token is revoked. Return without a promise if you can. If this throws, rejects or takes longer than 2 s,
   * the guard refuses the call, with 503.
   */
  isRevoked(token: RevocableToken): boolean | Promise<boolean>;
}

/** Timeout of one call of the store, in milliseconds. */
const TIMEOUT_MS = 2000;

/** Returns why a store refuses a token; undefined if it does not. */
export function revocationRefusal(
  store: RevocationStore,
  token: RevocableToken,
  clock: Clock,
): Refusal | undefined | Promise<Refusal | undefined> {
  try {
    const answer = store.isRevoked(token);
    if (typeof answer === 'boolean') return refusalFor(answer);
    return waitAtMost(Promise.resolve(answer), TIMEOUT_MS, clock).then(refusalFor, undecided);
  } catch {
    return undecided();
  }
}

function refusalFor(isRevoked: unknown): Refusal | undefined {
  if (isRevoked === false) return undefined;
  return isRevoked === true ? refuse('token_revoked') : undecided();
}

function undecided(): Refusal {
  return { ...refuse('revocation_unavailable'), retryAfterSeconds: 5 };
}

/** What to revoke: tokens of one issuer, by exactly one criterion. */
export type Revocation = {
  readonly issuer: string;
  /** When the revocation ends: its tokens have expired by then. Default: never. */
  readonly until?: Date;
} & (
  | { /** One token, by its `jti`. */ readonly tokenId: string }
  | { /** All tokens of a client. */ readonly clientId: string; readonly issuedBefore?: Date }
  | { /** All tokens about a subject. */ readonly subject: string; readonly issuedBefore?: Date }
  | { /** All tokens that a key signed, by its `kid`. */ readonly keyId: string }
  | {
      /** All tokens that the issuer issued before this time, and all tokens without `iat`. */
      readonly issuedBefore: Date;
    }
);

/** The store is full, and nothing was revoked. The store never evicts a revocation that is in force. */
export class RevocationsFullError extends IdentityM2MError {
  readonly code = 'M2M_REVOCATIONS_FULL';
}

interface Entry {
  /** Tokens from before this moment are revoked, in milliseconds since the epoch; Infinity: all. */
  readonly beforeMs: number;
  readonly untilMs: number;
}

/** Whether one entry revokes everything that another does, for at least as long. */
function includes(one: Entry, other: Entry): boolean {
  return one.beforeMs >= other.beforeMs && one.untilMs >= other.untilMs;
}

/** Keeps revocations in the memory of this process. Each is in force as soon as `revoke` returns. */
export class InMemoryRevocations implements RevocationStore {
  /** By their criterion; none of several entries includes another. */
  readonly #entries = new Map<string, readonly Entry[]>();
  #size = 0;
  readonly #maxEntries: number;
  readonly #clock: Clock;

  /** @param options.maxEntries Maximum number of revocations. Default: 100,000. */
  constructor({ maxEntries = 100_000, clock = systemClock }: { maxEntries?: number; clock?: Clock } = {}) {
    this.#maxEntries = maxEntries;
    this.#clock = clock;
  }

  /**
   * Revokes tokens.
   *
   * @throws {@link RevocationsFullError} if the store is full: then nothing is revoked. TypeError if the revocation is
   * invalid.
   */
  revoke(revocation: Revocation): void {
    const key = keyOf(revocation);
    const entry = {
      beforeMs: 'issuedBefore' in revocation && revocation.issuedBefore ? timeOf(revocation.issuedBefore) : Infinity,
      untilMs: revocation.until ? timeOf(revocation.until) : Infinity,
    };
    const now = this.#clock.now().wallMs;
    const held = (this.#entries.get(key) ?? []).filter(({ untilMs }) => now < untilMs);
    if (held.some((one) => includes(one, entry))) return;
    const kept = held.filter((one) => !includes(entry, one));
    if (kept.length === held.length && this.#size >= this.#maxEntries) this.#makeRoom(now);
    this.#put(key, [...kept, entry]);
  }

  isRevoked({ issuer, tokenId, clientId, subject, keyId, issuedAtMs }: RevocableToken): boolean {
    if (this.#entries.size === 0) return false;
    return (
      this.#covers(['issuer', issuer], issuedAtMs) ||
      this.#covers(['client', issuer, clientId], issuedAtMs) ||
      (tokenId !== undefined && this.#covers(['token', issuer, tokenId], issuedAtMs)) ||
      (subject !== undefined && this.#covers(['subject', issuer, subject], issuedAtMs)) ||
      (keyId !== undefined && this.#covers(['key', issuer, keyId], issuedAtMs))
    );
  }

  #covers(key: readonly string[], issuedAtMs: number | undefined): boolean {
    const entries = this.#entries.get(JSON.stringify(key));
    if (!entries) return false;
    const now = this.#clock.now().wallMs;
    return entries.some(
      ({ beforeMs, untilMs }) => now < untilMs && (issuedAtMs === undefined || issuedAtMs < beforeMs),
    );
  }

  #put(key: string, entries: readonly Entry[]): void {
    this.#size += entries.length - (this.#entries.get(key)?.length ?? 0);
    if (entries.length > 0) this.#entries.set(key, entries);
    else this.#entries.delete(key);
  }

  #makeRoom(now: number): void {
    for (const [key, entries] of this.#entries) {
      this.#put(
        key,
        entries.filter(({ untilMs }) => now < untilMs),
      );
    }
    if (this.#size < this.#maxEntries) return;
    throw new RevocationsFullError(
      `The store is full: ${this.#maxEntries} revocations are in force. Give each an end (until), or revoke a whole client, key or period instead.`,
    );
  }
}

const NAMED = { tokenId: 'token', clientId: 'client', subject: 'subject', keyId: 'key' } as const;

/** Returns a list in JSON, so that no two criteria share a key. */
function keyOf(revocation: Revocation): string {
  const { issuer } = revocation;
  const [named, ...others] = Object.entries(NAMED).flatMap(([member, kind]) =>
    Object.hasOwn(revocation, member) ? [[kind, (revocation as unknown as Record<string, unknown>)[member]]] : [],
  );
  const [kind, name] = named ?? ['issuer', issuer];
  if (others.length > 0 || typeof name !== 'string' || name === '' || typeof issuer !== 'string' || issuer === '') {
    throw misshapen();
  }
  if (named) return JSON.stringify([kind, issuer, name]);
  if (!('issuedBefore' in revocation) || !revocation.issuedBefore) throw misshapen();
  return JSON.stringify([kind, issuer]);
}

function timeOf(date: Date): number {
  const time = date.getTime();
  if (Number.isNaN(time)) throw misshapen();
  return time;
}

function misshapen(): TypeError {
  return new TypeError(
    'A revocation needs an issuer, and one of tokenId, clientId, subject, keyId and issuedBefore; its dates must be valid.',
  );
}

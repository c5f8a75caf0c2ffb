import type { Clock } from '../foundation/clock.js';
import { type Refusal, refuse } from './refusal.js';

/** What a revocation can be about: facts of a token that its issuer vouches for, never its text. */
export interface RevocableToken {
  readonly issuer: string;
  readonly clientId: string;
  /** `jti` (RFC 7519 §4.1.7). */
  readonly tokenId: string | undefined;
  /** `sub`. */
  readonly subject: string | undefined;
  /** `kid` of the key that has signed it. */
  readonly keyId: string | undefined;
  /** `iat`, in milliseconds since the epoch. */
  readonly issuedAtMs: number | undefined;
}

/**
 * What has been taken back. Asked for each request, also when the token's signature was verified before; a store that is
 * not in this process should keep what it knows near.
 */
export interface RevocationStore {
  /** Answers without a promise where it can. Where it throws, rejects or is silent for 2 s, nobody is let in. */
  isRevoked(token: RevocableToken): boolean | Promise<boolean>;
}

/** How long a store may take, in milliseconds. */
const TIMEOUT_MS = 2000;

/** What stands against a token in a store; undefined where nothing does. */
export function revocationRefusal(
  store: RevocationStore,
  token: RevocableToken,
  clock: Clock,
): Refusal | undefined | Promise<Refusal | undefined> {
  try {
    const answer = store.isRevoked(token);
    if (typeof answer === 'boolean') return refusalFor(answer);
    return inTime(answer, clock).then(refusalFor, () => undecided());
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

function inTime<T>(answer: Promise<T>, clock: Clock): Promise<T> {
  return new Promise((resolve, reject) => {
    const cancel = clock.setTimer(TIMEOUT_MS, () => reject(new Error('the revocation store does not answer')), true);
    Promise.resolve(answer).then(resolve, reject).finally(cancel);
  });
}

import { doublingDelayMs } from '../foundation/doubling-delay.js';

/**
 * What kind of failure a token request ended in. It decides how soon the next one may follow.
 *
 * - `transient`: the server could not be reached, or is not able to answer now.
 * - `malformed`: the server answered with success and with something that is no token.
 * - `blocked`: something in front of the server refused (403 without an OAuth error).
 * - `certificate`: a TLS certificate was rejected, the server's by this client or the client's by the server.
 * - `configuration`: the request itself is wrong and will stay so (scope, grant, address).
 * - `credential`: the server refused the client. See `credentials/credential-quarantine.ts` for its schedule.
 */
export const TOKEN_FAILURE_KINDS = [
  'transient',
  'malformed',
  'blocked',
  'certificate',
  'configuration',
  'credential',
] as const;

export type TokenFailureKind = (typeof TOKEN_FAILURE_KINDS)[number];

/** Kinds that last until a person corrects something: a caller gains nothing by waiting for the next attempt. */
const LASTING_KINDS: readonly TokenFailureKind[] = ['certificate', 'configuration', 'credential'];

/** Whether a failure of this kind may be over by the next attempt without anybody's help. */
export function isMendedByWaiting(kind: TokenFailureKind): boolean {
  return !LASTING_KINDS.includes(kind);
}

export interface RetryInput {
  readonly kind: Exclude<TokenFailureKind, 'credential'>;
  /** Failures in a row before this one, of whatever kind. */
  readonly priorFailures: number;
  /** Time that the current token leaves for retries ({@link retryRoomMs}), in milliseconds. */
  readonly retryRoomMs: number;
  /** What the server asked for with `Retry-After`, in milliseconds. */
  readonly retryAfterMs?: number | undefined;
  readonly random: () => number;
}

/** Longest `Retry-After` that is obeyed, in milliseconds. */
const MAX_RETRY_AFTER_MS = 3600_000;

/**
 * How long to leave the token endpoint alone after a failure, in milliseconds.
 *
 * One schedule serves timers and callers alike, so that the load on an ailing server does not depend on traffic.
 * Delays double up to a cap. After an outage they are drawn from their upper half, so that processes fall out of step
 * without ever retrying at once; a wrong request is only ever retried later than planned, never sooner.
 */
export function retryDelayMs({ kind, priorFailures, retryRoomMs, retryAfterMs, random }: RetryInput): number {
  const delay =
    kind === 'configuration'
      ? doublingDelayMs(60_000, 900_000, priorFailures) * (1 + 0.2 * random())
      : equalJitter(backoff(kind, retryRoomMs, priorFailures), random);
  if (retryAfterMs === undefined) return delay;
  return Math.max(delay, Math.min(retryAfterMs, MAX_RETRY_AFTER_MS) * (1 + 0.1 * random()));
}

function backoff(
  kind: Exclude<RetryInput['kind'], 'configuration'>,
  retryRoomMs: number,
  priorFailures: number,
): number {
  if (kind === 'blocked') return doublingDelayMs(60_000, 900_000, priorFailures);
  const capMs = Math.min(Math.max(retryRoomMs / 8, 5000), 60_000);
  return doublingDelayMs(kind === 'malformed' ? 5000 : 1000, capMs, priorFailures);
}

function equalJitter(delayMs: number, random: () => number): number {
  return delayMs / 2 + (delayMs / 2) * random();
}

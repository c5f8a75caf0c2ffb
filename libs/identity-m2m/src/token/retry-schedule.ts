import { doublingDelayMs } from '../foundation/doubling-delay.js';

/**
 * What kind of failure a token request ended in. It decides how soon the next one may follow.
 *
 * - `transient`: the server could not be reached, or is not able to answer now.
 * - `malformed`: the server answered with success and with something that is no token.
 * - `unexplained`: an HTTP status without an OAuth error (404, 405, 400 …). It says more about what stands in front of
 *   the server than about the request: transient until it has lasted for 2 minutes, then taken for `configuration`.
 * - `blocked`: HTTP 401 or 403 without an OAuth error: the client was refused, or something in front of the server
 *   refuses this machine. Retried three times within seconds, then taken for `credential`.
 * - `proxy`: a proxy on the way wants credentials of its own (407). The server was not asked.
 * - `certificate`: a TLS certificate was rejected, the server's by this client or the client's by the server.
 * - `configuration`: the request itself is wrong and will stay so (scope, grant, address).
 * - `credential`: the server refused the client. See `credentials/credential-quarantine.ts` for its schedule.
 */
export const TOKEN_FAILURE_KINDS = [
  'transient',
  'malformed',
  'unexplained',
  'blocked',
  'proxy',
  'certificate',
  'configuration',
  'credential',
] as const;

export type TokenFailureKind = (typeof TOKEN_FAILURE_KINDS)[number];

/** Kinds that last until a person corrects something: a caller gains nothing by waiting for the next attempt. */
const LASTING_KINDS: readonly TokenFailureKind[] = ['proxy', 'certificate', 'configuration', 'credential'];

/** Whether a failure of this kind may be over by the next attempt without anybody's help. */
export function isMendedByWaiting(kind: TokenFailureKind): boolean {
  return !LASTING_KINDS.includes(kind);
}

/** The curves on which token requests back off. Each counts its own failures. */
export type RetryCurve = 'transient' | 'malformed' | 'certificate' | 'configuration';

/** How long statuses without an OAuth error count as transient, in milliseconds. */
const UNEXPLAINED_IS_TRANSIENT_MS = 120_000;

/**
 * What a status without an OAuth error is taken for.
 *
 * @param lastedMs How long the server has answered so, with no other answer in between, in milliseconds.
 */
export function unexplainedCurve(lastedMs: number): 'transient' | 'configuration' {
  return lastedMs < UNEXPLAINED_IS_TRANSIENT_MS ? 'transient' : 'configuration';
}

export interface RetryInput {
  readonly curve: RetryCurve;
  /** Failures on this curve since the last success, this one aside. */
  readonly priorFailures: number;
  /** Time since the first failure after the last success, on whatever curve, in milliseconds. */
  readonly failingForMs: number;
  /** Time that the current token leaves for retries ({@link retryRoomMs}), in milliseconds. */
  readonly retryRoomMs: number;
  /** What the server asked for with `Retry-After`, in milliseconds. */
  readonly retryAfterMs?: number | undefined;
  readonly random: () => number;
}

/** Longest `Retry-After` that is obeyed, in milliseconds. */
const MAX_RETRY_AFTER_MS = 3600_000;

/** Outages of up to this length end without further delay … */
const SHORT_OUTAGE_MS = 10_000;

/** … than this, in milliseconds. */
const SHORT_OUTAGE_DELAY_MS = 5000;

/**
 * How long to leave the token endpoint alone after a failure, in milliseconds.
 *
 * One schedule serves timers and callers alike, so that the load on an ailing server does not depend on traffic.
 * Delays double up to a cap, and are no longer than the outage itself has been: a short one ends within 5 s of the
 * server's recovery. They are drawn from their upper half, so that processes fall out of step without ever retrying at
 * once; a wrong request is only ever retried later than planned, never sooner.
 */
export function retryDelayMs(input: RetryInput): number {
  const { random, retryAfterMs } = input;
  const delay =
    input.curve === 'configuration'
      ? doublingDelayMs(60_000, 900_000, input.priorFailures) * (1 + 0.2 * random())
      : equalJitter(outageDelayMs(input), random);
  return Math.max(delay, obeyedRetryAfterMs(retryAfterMs, random));
}

/** How long `Retry-After` is obeyed, in milliseconds. */
export function obeyedRetryAfterMs(retryAfterMs: number | undefined, random: () => number): number {
  return retryAfterMs === undefined ? 0 : Math.min(retryAfterMs, MAX_RETRY_AFTER_MS) * (1 + 0.1 * random());
}

function outageDelayMs({ curve, priorFailures, failingForMs, retryRoomMs }: RetryInput): number {
  const capMs = Math.min(Math.max(retryRoomMs / 8, 5000), 60_000);
  const outageMs = failingForMs < SHORT_OUTAGE_MS ? SHORT_OUTAGE_DELAY_MS : failingForMs;
  return doublingDelayMs(curve === 'malformed' ? 5000 : 1000, Math.min(capMs, outageMs), priorFailures);
}

function equalJitter(delayMs: number, random: () => number): number {
  return delayMs / 2 + (delayMs / 2) * random();
}

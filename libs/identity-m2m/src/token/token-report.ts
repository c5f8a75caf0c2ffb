import { elapsedMs, type Instant } from '../foundation/clock.js';
import type { EventStream } from '../foundation/event-stream.js';
import { type AcquiredToken, expiresAt, type HeldToken, refreshAt } from './held-token.js';
import type { OutboundEvent, RequestedAccess } from './outbound-events.js';
import { type TokenFreshness, tokenFreshness } from './refresh-policy.js';
import { type BackoffDecision, dateAfter } from './retry-policy.js';
import { type FailureContext, TokenUnavailableError } from './token-errors.js';
import type { TokenFailure } from './token-result.js';

/** State of a token at one moment. Never holds the token. */
export interface AccessTokenStatus {
  readonly freshness: TokenFreshness | 'none';
  readonly fingerprint?: string;
  readonly expiresAt?: Date;
  readonly refreshAt?: Date;
  readonly refreshing: boolean;
  /** Whether refreshes have stopped because no call uses the token. The next call ends this. */
  readonly dormant: boolean;
  /** The last failure, if no success followed. */
  readonly lastError?: TokenUnavailableError;
}

/** Returns the state of a token for applications. */
export function tokenStatus(
  held: HeldToken | undefined,
  now: Instant,
  state: { isRefreshing: boolean; isDormant: boolean; lastError: TokenUnavailableError | undefined },
): AccessTokenStatus {
  return {
    freshness: held ? tokenFreshness(held.schedule, elapsedMs(held.since, now)) : 'none',
    ...(held && { fingerprint: held.token.fingerprint, expiresAt: expiresAt(held), refreshAt: refreshAt(held) }),
    refreshing: state.isRefreshing,
    dormant: state.isDormant,
    ...(state.lastError && { lastError: state.lastError }),
  };
}

/** Emits the events of one token, and creates the errors that are not about a failed request. */
export class TokenReport {
  constructor(
    private readonly context: FailureContext,
    private readonly requestedAccess: RequestedAccess,
    private readonly events: EventStream<OutboundEvent>,
  ) {}

  /** Reports a grant. Call it once the token is held, because a listener may request it. */
  granted({ granted, rotation }: AcquiredToken, held: HeldToken, replaced: HeldToken | undefined): void {
    const { source: lifetimeSource } = granted.lifetime;
    const facts = this.#tokenFacts(held);
    if (rotation) this.events.emit({ type: 'credential.rotated', client: this.context.client, ...rotation });
    if (!replaced) this.events.emit({ type: 'token.acquired', ...facts, lifetimeSource });
    else if (replaced.token === held.token) this.events.emit({ type: 'token.reissued', ...facts });
    else {
      const previousFingerprint = replaced.token.fingerprint;
      this.events.emit({ type: 'token.refreshed', ...facts, lifetimeSource, previousFingerprint });
    }
  }

  /** @param held The token that is used until the next attempt, if any. */
  failed(
    { kind, refusal }: TokenFailure,
    { error, problem, delayMs }: BackoffDecision,
    held: HeldToken | undefined,
    now: Instant,
  ): void {
    const { client, server } = this.context;
    const retryAt = dateAfter(now, delayMs);
    const degraded = !held || elapsedMs(held.since, now) + delayMs >= held.schedule.expiresAtMs;
    const facts = { ...this.#requestFacts(), server, problem, expiresAt: held && expiresAt(held), retryAt, degraded };
    this.events.emit({ type: 'token.refresh_failed', ...facts, error });
    if (!refusal) return;
    const { halted, isWithheld, clockSkewMs } = refusal;
    if (kind === 'credential' && !isWithheld) {
      this.events.emit({ type: 'credential.quarantined', client, retryAt, halted });
    }
    if (clockSkewMs !== undefined) this.events.emit({ type: 'client.clock_skew', client, clockSkewMs });
  }

  servedStale(held: HeldToken): void {
    this.events.emit({ type: 'token.served_stale', ...this.#tokenFacts(held) });
  }

  secondTry(isFirstAborted: boolean): void {
    this.events.emit({ type: 'token.second_attempt', ...this.#requestFacts(), isFirstAborted });
  }

  dormant(): void {
    this.events.emit({ type: 'token.dormant', ...this.#requestFacts() });
  }

  waitTimeoutError(timeoutMs: number, cause: TokenUnavailableError | undefined): TokenUnavailableError {
    const { client, server } = this.context;
    return new TokenUnavailableError(
      'wait_timeout',
      `No access token for client "${client}" from ${server} within ${timeoutMs} ms. The token request continues; try again.`,
      { client, cause },
    );
  }

  closedError(): TokenUnavailableError {
    const { client } = this.context;
    return new TokenUnavailableError('shut_down', `No access token for client "${client}": the client is closed.`, {
      client,
    });
  }

  #requestFacts() {
    return { client: this.context.client, ...this.requestedAccess };
  }

  #tokenFacts(held: HeldToken) {
    return {
      ...this.#requestFacts(),
      fingerprint: held.token.fingerprint,
      requestedAt: new Date(held.since.wallMs),
      expiresAt: expiresAt(held),
      refreshAt: refreshAt(held),
    };
  }
}

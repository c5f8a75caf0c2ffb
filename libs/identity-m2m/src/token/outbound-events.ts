import type { EventStream } from '../foundation/event-stream.js';
import type { OriginDecision } from './allowed-origins.js';
import type { TokenUnavailableError } from './token-errors.js';
import type { AccessTokenLifetime } from './access-token-lifetime.js';

interface OfClient {
  /** Name of the client in the module's options. */
  readonly client: string;
}

/** What a token was requested for. Other parameters are left out, because they may hold secrets. */
export interface RequestedAccess {
  readonly scope?: string;
  readonly audience?: string;
  readonly resource?: readonly string[];
}

interface OfRequest extends OfClient, RequestedAccess {}

interface OfToken extends OfRequest {
  /** Identifies the token without revealing it; see `AccessToken`. */
  readonly fingerprint: string;
  readonly requestedAt: Date;
  readonly expiresAt: Date;
  /** When the token will be refreshed in the background. */
  readonly refreshAt: Date;
}

/** A problem of a client that still works. An operator should look at it. */
export type ClientWarning =
  /** Grants have no `token_type`. */
  | 'token_type_missing'
  /** The secret is so short that it can be guessed, and it is not removed from the server's error texts. */
  | 'secret_too_short'
  /** The token has no allowed origins, so no call carries it. */
  | 'no_allowed_origins';

/** The channel of `node:diagnostics_channel` that {@link OutboundEvent}s are published on. */
export const OUTBOUND_CHANNEL = 'nestjs-identity-m2m:outbound';

/** An event of the outbound side. Holds no token and no secret. */
export type OutboundEvent =
  /** The client got a token, and had no usable one before. */
  | (OfToken & {
      readonly type: 'token.acquired';
      /** Where its lifetime comes from. */
      readonly lifetimeSource: AccessTokenLifetime['source'];
    })
  /** A new token replaced one that had not expired. */
  | (OfToken & {
      readonly type: 'token.refreshed';
      readonly previousFingerprint: string;
      readonly lifetimeSource: AccessTokenLifetime['source'];
    })
  /** The server returned the same token again. */
  | (OfToken & { readonly type: 'token.reissued' })
  /** A token request failed. */
  | (OfRequest & {
      readonly type: 'token.refresh_failed';
      /** The error that calls get, unless they use a token that they have. */
      readonly error: TokenUnavailableError;
      /** The token endpoint, or the issuer. */
      readonly server: string;
      /** What was found, and what to do. */
      readonly problem: string;
      /** When the token that calls use meanwhile expires; undefined if they have none. */
      readonly expiresAt: Date | undefined;
      /** Time of the next automatic attempt; undefined for none. */
      readonly retryAt: Date | undefined;
      /** Whether calls will fail before the next attempt, because the token expires first. */
      readonly degraded: boolean;
    })
  /** A token close to its expiry was used, because there was no newer one. Once per token. */
  | (OfToken & { readonly type: 'token.served_stale' })
  /**
   * A token request had no response for a third of `acquireTimeoutMs` while callers waited without a token. The client
   * sent a second one on another connection. If the credential was never accepted, it aborted the first one before.
   */
  | (OfRequest & { readonly type: 'token.second_attempt'; readonly isFirstAborted: boolean })
  /** Tokens could not be revoked (`revokeOnShutdown`). They stay valid until they expire. */
  | (OfClient & {
      readonly type: 'token.revocation_failed';
      readonly fingerprints: readonly string[];
      /** Why the first of them was not revoked: for example `HTTP 503`. */
      readonly problem: string;
    })
  /** No call used the token since its last two refreshes, so it is not refreshed until the next call (`keepWarm`). */
  | (OfRequest & { readonly type: 'token.dormant' })
  /** The identity provider rejected the credential. The client does not send it again before `retryAt`. */
  | (OfClient & {
      readonly type: 'credential.quarantined';
      /** undefined: not until the credential changes or `retryNow()` is called. */
      readonly retryAt: Date | undefined;
      readonly halted: boolean;
    })
  /** `retryNow()` was called, which ended every back-off and quarantine of the client. */
  | (OfClient & { readonly type: 'client.retry_now' })
  /** The server accepted another credential than before: it was rotated. */
  | (OfClient & {
      readonly type: 'credential.rotated';
      readonly fingerprint: string;
      readonly previousFingerprint: string;
    })
  /** A problem of the client. Once per `warning`. */
  | (OfClient & { readonly type: 'client.warning'; readonly warning: ClientWarning; readonly message: string })
  /**
   * The server may have rejected a credential because its clock differs from this machine's. Positive if the server's
   * clock is ahead.
   */
  | (OfClient & { readonly type: 'client.clock_skew'; readonly clockSkewMs: number })
  /**
   * A resource server rejected the token, with 401 or `UNAUTHENTICATED`, and the client repeated the call with a newer
   * one. For a message, `origin` is the broker or receiver of its client proxy.
   */
  | (OfClient & { readonly type: 'call.replayed'; readonly origin: string; readonly fingerprint: string })
  /**
   * A resource server rejected a token that was issued a moment ago, while the previous one has not expired. Most
   * likely its clock is behind. Calls use the previous token for 2 s.
   */
  | (OfClient & {
      readonly type: 'call.clock_behind';
      readonly origin: string;
      readonly fingerprint: string;
      readonly previousFingerprint: string;
    })
  /** A call was sent without a token, because its origin is not allowed. Once per origin. */
  | (OfClient & {
      readonly type: 'call.refused_origin';
      readonly origin: string;
      readonly reason: OriginDecision['reason'];
    })
  /** A function in the client's options threw, or returned an invalid value, and was ignored. Once per option. */
  | (OfClient & {
      readonly type: 'option.failed';
      /** Name of the option. */
      readonly option: string;
      /** For example `threw a TypeError`. Leaves out the error's message, which may repeat the function's arguments. */
      readonly problem: string;
    });

/** @param message The sentence after the client's name. Holds no token and no secret. */
export type EmitClientWarning = (warning: ClientWarning, message: string) => void;

/** Emits each of these events once per client, not once per token request. */
export interface ClientWarnings {
  readonly emitWarning: EmitClientWarning;
  /** Emits `option.failed`. */
  readonly emitOptionFailure: (option: string, problem: string) => void;
}

export function clientWarnings(client: string, events: EventStream<OutboundEvent>): ClientWarnings {
  const emitted = new Set<string>();
  const once = (event: OutboundEvent, key: string) => {
    if (emitted.has(key)) return;
    emitted.add(key);
    events.emit(event);
  };
  return {
    emitWarning: (warning, message) => once({ type: 'client.warning', client, warning, message }, warning),
    emitOptionFailure: (option, problem) => once({ type: 'option.failed', client, option, problem }, option),
  };
}

/**
 * Calls a synchronous function in the client's options.
 *
 * @param read Converts what the function returned; undefined if it may not return that.
 * @param expected What it may return, after `returned neither`.
 * @returns The converted value; or the `problem` of `option.failed`.
 */
export function callOption<Value>(
  call: () => unknown,
  read: (returned: unknown) => Value | undefined,
  expected: string,
): { readonly value: Value } | { readonly problem: string } {
  try {
    const returned = call();
    if (isThenable(returned)) {
      // The unhandled rejection of an async function would end the process.
      Promise.resolve(returned).catch(() => {});
      return { problem: 'returned a promise' };
    }
    const value = read(returned);
    return value === undefined ? { problem: `returned neither ${expected}` } : { value };
  } catch (error) {
    return { problem: `threw a ${error instanceof Error ? error.constructor.name : typeof error}` };
  }
}

function isThenable(value: unknown): value is PromiseLike<unknown> {
  return typeof (value as Partial<PromiseLike<unknown>> | null | undefined)?.then === 'function';
}

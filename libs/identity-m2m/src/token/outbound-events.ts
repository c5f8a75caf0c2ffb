import type { EventStream } from '../foundation/event-stream.js';
import type { OriginDecision } from './allowed-origins.js';
import type { TokenUnavailableError } from './token-errors.js';
import type { AccessTokenLifetime } from './access-token-lifetime.js';

interface OfClient {
  /** Name of the client in the module's configuration. */
  readonly client: string;
}

/** What the token was asked for, as far as it may be told: other parameters may hold anything. */
export interface RequestedAccess {
  readonly scope?: string;
  readonly audience?: string;
  readonly resource?: readonly string[];
}

interface OfRequest extends OfClient, RequestedAccess {}

interface OfToken extends OfRequest {
  /** Names the token without telling it; see `AccessToken`. */
  readonly fingerprint: string;
  readonly requestedAt: Date;
  readonly expiresAt: Date;
  /** When it will be refreshed in the background. */
  readonly refreshAt: Date;
}

/** Something about a client that works, and that a person should look at. */
export type ClientWarning =
  /** Grants come without `token_type`. */
  | 'token_type_missing'
  /** The secret is so short that it could be guessed, and it is not taken out of messages. */
  | 'secret_too_short'
  /** The token is bound to no place, so no call carries it. */
  | 'no_allowed_origins';

/** The channel of `node:diagnostics_channel` that {@link OutboundEvent}s are published on. */
export const OUTBOUND_CHANNEL = 'nestjs-identity-m2m:outbound';

/** Something that the outbound side decided or found out. Holds no token and no secret. */
export type OutboundEvent =
  /** There was no usable token, and now there is one. */
  | (OfToken & {
      readonly type: 'token.acquired';
      /** Where its lifetime was learned. */
      readonly lifetimeSource: AccessTokenLifetime['source'];
    })
  /** A new token has taken the place of one that was still usable. */
  | (OfToken & {
      readonly type: 'token.refreshed';
      readonly previousFingerprint: string;
      readonly lifetimeSource: AccessTokenLifetime['source'];
    })
  /** The server handed out the same token again. */
  | (OfToken & { readonly type: 'token.reissued' })
  /** A token request failed. */
  | (OfRequest & {
      readonly type: 'token.refresh_failed';
      readonly error: TokenUnavailableError;
      /** undefined: not by itself. */
      readonly retryAt: Date | undefined;
      /** Whether calls will fail before the next attempt, because the token does not live that long. */
      readonly degraded: boolean;
    })
  /** A token close to its end was used, because no better one could be had. Once per token. */
  | (OfToken & { readonly type: 'token.served_stale' })
  /**
   * A token request was silent for a third of `acquireTimeoutMs` while callers waited without a token: a second one was
   * sent on a connection of its own. Where the credential was never accepted, the first was aborted before.
   */
  | (OfRequest & { readonly type: 'token.second_attempt'; readonly isFirstAborted: boolean })
  /** The token was not used since its last two refreshes, so it is not refreshed until the next call (`keepWarm`). */
  | (OfRequest & { readonly type: 'token.dormant' })
  /** The identity provider refused the credential; it is not shown again before `retryAt`. */
  | (OfClient & {
      readonly type: 'credential.quarantined';
      /** undefined: not before it is another one, or `retryNow()` is called. */
      readonly retryAt: Date | undefined;
      readonly halted: boolean;
    })
  /** `retryNow()` was called: every wait of the client is over. */
  | (OfClient & { readonly type: 'client.retry_now' })
  /** Another credential was accepted than the last time: it was rotated. */
  | (OfClient & {
      readonly type: 'credential.rotated';
      readonly fingerprint: string;
      readonly previousFingerprint: string;
    })
  /** Once for each `warning`. */
  | (OfClient & { readonly type: 'client.warning'; readonly warning: ClientWarning; readonly message: string })
  /** A refused credential may have been refused because the clocks differ: the server's is ahead by so much. */
  | (OfClient & { readonly type: 'client.clock_skew'; readonly clockSkewMs: number })
  /**
   * A resource server rejected the token, with 401 or as unauthenticated, and the call was sent again with a newer one.
   * `origin` of a message is the broker or receiver that its client proxy leads to.
   */
  | (OfClient & { readonly type: 'call.replayed'; readonly origin: string; readonly fingerprint: string })
  /**
   * A resource server rejected a token that was issued a moment ago, while the one before it lives: its clock is most likely
   * behind. Calls use the one before for 2 s.
   */
  | (OfClient & {
      readonly type: 'call.clock_behind';
      readonly origin: string;
      readonly fingerprint: string;
      readonly previousFingerprint: string;
    })
  /** A call went out without a token, because the token is not bound to where it went. Once for each origin. */
  | (OfClient & {
      readonly type: 'call.refused_origin';
      readonly origin: string;
      readonly reason: OriginDecision['reason'];
    })
  /** A function among the client's options threw or returned what it should not, and was ignored. Once for each option. */
  | (OfClient & {
      readonly type: 'option.failed';
      /** Name of the option. */
      readonly option: string;
      /** Such as `threw a TypeError`. Without the error's text, which may repeat what the function was given. */
      readonly problem: string;
    });

/** @param message The sentence after the client's name. Holds no token and no secret. */
export type EmitClientWarning = (warning: ClientWarning, message: string) => void;

/** Emits events of a client once each, not with each token request. */
export interface ClientWarnings {
  readonly emitWarning: EmitClientWarning;
  /** Emits that `readTokenResponse` threw, or returned a value that it may not return. */
  readonly emitReaderFailure: (problem: string) => void;
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
    emitReaderFailure: (problem) => {
      const option = 'readTokenResponse';
      once({ type: 'option.failed', client, option, problem }, option);
    },
  };
}

import type { EventStream } from '../foundation/event-stream.js';
import type { AccessTokenStatus } from './token-report.js';
import type { AccessToken } from './access-token.js';
import type { OriginDecision } from './allowed-origins.js';
import type { OutboundEvent } from './outbound-events.js';
import type { TokenParameters } from './token-parameters.js';

/** Which token a call needs, and for how long. Omitted members default to the client's options. */
export interface GetTokenOptions extends TokenParameters {
  /**
   * Minimum remaining lifetime of the token, in seconds, for calls that take long. A token with less is renewed first,
   * unless a new one would not live longer. Default: 0.
   */
  readonly minTtlSeconds?: number | undefined;
  /** Aborts this caller's wait. The token request continues for other callers. Default: none. */
  readonly signal?: AbortSignal | undefined;
}

/**
 * Provides the access tokens of one client and keeps them fresh.
 *
 * Inject it to send a token by other means than the module's `HttpService`. Each set of parameters has its own token.
 */
export abstract class TokenProvider {
  /** Name of the client in the module's options. */
  abstract readonly clientName: string;

  /** Events of the tokens, and of the calls that carry them. */
  abstract readonly events: EventStream<OutboundEvent>;

  /**
   * Returns whether the token may be sent to a URL, and by which rule; or why not. Carriers call this before they send
   * it.
   */
  abstract explain(url: string): OriginDecision;

  /**
   * Returns the cached token; undefined if a call would have to wait for one. Starts a background refresh if one is
   * due.
   */
  abstract peek(options?: GetTokenOptions): AccessToken | undefined;

  /**
   * Returns the cached token, or fetches one.
   *
   * @throws `TokenUnavailableError` or one of its subclasses; `TokenParametersError`; the signal's reason once that has
   * aborted.
   */
  abstract getToken(options?: GetTokenOptions): Promise<AccessToken>;

  /**
   * Returns a token other than the one that a resource server has just rejected with 401; undefined if there is none.
   *
   * Callers with the same rejected token share one token request. As with `getToken`, they wait for the next attempt if
   * it is due within `acquireTimeoutMs`.
   */
  abstract renewToken(rejected: AccessToken, options?: GetTokenOptions): Promise<AccessToken | undefined>;

  /**
   * Returns the token that a scheduled refresh has just replaced with the given one, while it is still valid; undefined
   * if there is none. A receiver whose clock is behind rejects a token issued a moment ago, but accepts the one before.
   *
   * The default implementation returns undefined, which is always safe.
   */
  previousToken(_token: AccessToken, _options?: GetTokenOptions): AccessToken | undefined {
    return undefined;
  }

  /** Returns the state of a token, without secrets. Never contacts the identity provider. */
  abstract status(options?: TokenParameters): AccessTokenStatus;

  /**
   * Ends every wait of this client, for all its tokens: the quarantine of rejected credentials, the back-off after
   * failures, a `Retry-After`. Resets the counts of failures. The next attempt is made at once if a caller waits or a
   * token is kept fresh; otherwise by the next call.
   *
   * Call it after an operator has corrected a setting at the identity provider or a firewall. A changed credential
   * needs no call. Each call may cost a failed login, so do not call it from a timer or per request. The default
   * implementation does nothing.
   */
  retryNow(): void {}

  /**
   * Returns the `DPoP` header for one call with this token (RFC 9449 §7.1); undefined for a token that is not bound to
   * a key. The default implementation returns undefined.
   */
  async proof(_token: AccessToken, _method: string, _url: string): Promise<string | undefined> {
    return undefined;
  }

  /**
   * Remembers the nonce that a resource server requires in further proofs (`DPoP-Nonce`, RFC 9449 §9). The default
   * implementation does nothing.
   *
   * @returns Whether the nonce is a new one.
   */
  learnNonce(_url: string, _nonce: string | null | undefined): boolean {
    return false;
  }
}

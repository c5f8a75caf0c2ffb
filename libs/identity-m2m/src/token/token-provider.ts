import type { EventStream } from '../foundation/event-stream.js';
import type { AccessTokenStatus } from './token-report.js';
import type { AccessToken } from './access-token.js';
import type { OriginDecision } from './allowed-origins.js';
import type { OutboundEvent } from './outbound-events.js';
import type { TokenParameters } from './token-parameters.js';

/** Which token a call needs, and for how long. What is left out is as in the client's options. */
export interface GetTokenOptions extends TokenParameters {
  /**
   * How long the token should still live, in seconds: for calls that take long. One that lives shorter is renewed
   * first, as long as a new one would live longer. Default: 0.
   */
  readonly minTtlSeconds?: number | undefined;
  /** Aborts this caller's wait. The token request continues for other callers. */
  readonly signal?: AbortSignal | undefined;
}

/**
 * Provides the access tokens of one client, and keeps them usable.
 *
 * Inject it to put a token where the module's `HttpService` does not reach. Each set of parameters has its own token.
 */
export abstract class TokenProvider {
  /** Name of the client in the module's configuration. */
  abstract readonly clientName: string;

  /** Emits what happens to the tokens, and to the calls that carry them. */
  abstract readonly events: EventStream<OutboundEvent>;

  /**
   * Returns whether the token may be sent to an address, by which rule, or why not. Carriers ask before they send it.
   */
  abstract explain(url: string): OriginDecision;

  /** Returns the token if there is no need to wait, which is nearly always; starts a refresh where one is due. */
  abstract peek(options?: GetTokenOptions): AccessToken | undefined;

  /**
   * Returns the cached token, or fetches one.
   *
   * @throws `TokenUnavailableError` or one of its subclasses; `TokenParametersError`; the signal's reason once that has
   * aborted.
   */
  abstract getToken(options?: GetTokenOptions): Promise<AccessToken>;

  /**
   * Returns a token other than the one that a resource server has just rejected with 401; undefined where there is
   * none.
   *
   * Callers with the same rejected token share one token request. As in `getToken`, they wait for the next attempt
   * where it is due within `acquireTimeoutMs`.
   */
  abstract renewToken(rejected: AccessToken, options?: GetTokenOptions): Promise<AccessToken | undefined>;

  /**
   * Returns the token that the given one has just replaced by schedule, while it can still be used; undefined where
   * there is none. For a receiver whose clock is behind: it rejects a token issued a moment ago, and accepts the one
   * before.
   *
   * By default there is none, which is always safe.
   */
  previousToken(_token: AccessToken, _options?: GetTokenOptions): AccessToken | undefined {
    return undefined;
  }

  /** Returns the state of a token, without any secret. Never contacts the identity provider. */
  abstract status(options?: TokenParameters): AccessTokenStatus;

  /**
   * Ends every wait of this client, for all its tokens: the quarantine of refused credentials, the back-off after
   * failures, a `Retry-After`. Counts begin anew. The next attempt is made at once where a caller waits or a token is
   * kept fresh, otherwise by the next call.
   *
   * Call it after an operator has corrected a setting at the identity provider or a firewall. A credential that changed
   * at its source needs no such call. Each call may cost a failed login, so do not call it from a timer or per request.
   * By default it does nothing.
   */
  retryNow(): void {}

  /**
   * Returns the `DPoP` header for one call with this token (RFC 9449 §7.1); undefined for a token that is not bound to
   * a key. By default no token is.
   */
  async proof(_token: AccessToken, _method: string, _url: string): Promise<string | undefined> {
    return undefined;
  }

  /**
   * Remembers the nonce that a resource server wants in further proofs (`DPoP-Nonce`, RFC 9449 §9). By default there
   * are no proofs.
   *
   * @returns Whether it is another one than before.
   */
  learnNonce(_url: string, _nonce: string | null | undefined): boolean {
    return false;
  }
}

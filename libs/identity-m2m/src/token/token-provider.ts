import type { EventStream } from '../foundation/event-stream.js';
import type { AccessTokenStatus } from './refreshed-token.js';
import type { AccessToken } from './access-token.js';
import type { OriginDecision } from './allowed-origins.js';
import type { OutboundEvent } from './outbound-events.js';
import type { TokenParameters } from './token-parameters.js';

/** Which token is wanted, and by when. What is not said is as in the client's options. */
export interface GetTokenOptions extends TokenParameters {
  /**
   * How long the token should live still when it is handed out, in seconds: for a call that is long under way. One that
   * does not is renewed first, as long as a new one would live longer. Default: 0.
   */
  readonly minTtlSeconds?: number | undefined;
  /** Ends this caller's wait. The token request goes on for the others. */
  readonly signal?: AbortSignal | undefined;
}

/**
 * Gives out the access tokens of one client, always usable ones, and keeps them so.
 *
 * Inject it to put the token somewhere that the module's `HttpService` does not reach. Each set of parameters has a token
 * of its own.
 */
export abstract class TokenProvider {
  /** Name of the client in the module's configuration. */
  abstract readonly clientName: string;

  /** What happens to the tokens and to the calls that carry them, as it happens. */
  abstract readonly events: EventStream<OutboundEvent>;

  /** Whether the token may go to an address, by which rule, or why not. Carriers ask this before they send it. */
  abstract explain(url: string): OriginDecision;

  /** The token where it can be had without waiting, which is nearly always; starts a refresh where one is due. */
  abstract peek(options?: GetTokenOptions): AccessToken | undefined;

  /**
   * The token, after waiting for it where it has to be fetched first.
   *
   * @throws `TokenUnavailableError` or one of its subclasses; `TokenParametersError`; the signal's reason once that has
   * aborted.
   */
  abstract getToken(options?: GetTokenOptions): Promise<AccessToken>;

  /**
   * A token other than the one that a resource server has just rejected with 401, or undefined where there is none to
   * be had. Any number of callers with the same rejected token share one token request; like those of `getToken`, they
   * wait for the next one where it is due within `acquireTimeoutMs`.
   */
  abstract renewToken(rejected: AccessToken, options?: GetTokenOptions): Promise<AccessToken | undefined>;

  /**
   * Returns the token that the given one has just replaced by schedule, while it can still be used; undefined where there
   * is none. For a receiver whose clock is behind: it rejects a token that was issued a moment ago, and accepts the one
   * before.
   *
   * Returns undefined unless a provider knows better, which is always safe.
   */
  previousToken(_token: AccessToken, _options?: GetTokenOptions): AccessToken | undefined {
    return undefined;
  }

  /** State of a token at this moment, without any secret. Never contacts the identity provider. */
  abstract status(options?: TokenParameters): AccessTokenStatus;

  /**
   * Ends every wait of this client, for all its tokens: the quarantine of refused credentials, the back-off after
   * failures, a `Retry-After`. Counts begin anew. The next attempt is made at once where a caller waits or a token is
   * kept fresh, otherwise by the next call.
   *
   * For whoever has corrected something: a setting at the identity provider, a firewall. A credential that changed at its
   * source needs no such call. Each call may cost a failed login, so do not make it from a timer or for each request.
   */
  retryNow(): void {}

  /**
   * The `DPoP` header for a call that carries this token (RFC 9449 §7.1); undefined for a token that is not bound to a
   * key. Each is good for one call.
   */
  abstract proof(token: AccessToken, method: string, url: string): Promise<string | undefined>;

  /**
   * Takes note of the nonce that a resource server wants in the proofs to come (`DPoP-Nonce`).
   *
   * @returns Whether it is another one than before.
   */
  abstract learnNonce(url: string, nonce: string | null | undefined): boolean;
}

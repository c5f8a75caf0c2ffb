import { EventStream } from '../foundation/event-stream.js';
import type { AccessTokenStatus } from '../token/token-report.js';
import { AccessToken } from '../token/access-token.js';
import { type OriginDecision, AllowedOrigins } from '../token/allowed-origins.js';
import type { OutboundEvent } from '../token/outbound-events.js';
import { TokenProvider } from '../token/token-provider.js';

/**
 * A `TokenProvider` with a fixed token, which sends no token requests: for tests of code that makes calls with a token.
 *
 * @example
 * Test.createTestingModule({ imports: [AppModule] })
 *   .overrideProvider(TokenProvider)
 *   .useValue(new FixedTokenProvider('a-token', { allowedOrigins: ['https://billing.example'] }));
 */
export class FixedTokenProvider extends TokenProvider {
  readonly clientName = 'fixed';
  readonly events = new EventStream<OutboundEvent>();
  #token: AccessToken;
  readonly #allowedOrigins: AllowedOrigins;

  /** @param options.allowedOrigins Origins that receive the token, as in the client's options. Default: none. */
  constructor(token: string, { allowedOrigins = [] }: { readonly allowedOrigins?: readonly string[] } = {}) {
    super();
    this.#token = new AccessToken(token);
    this.#allowedOrigins = new AllowedOrigins(allowedOrigins);
  }

  /** Provides this token from now on, as after a refresh. */
  replaceToken(token: string): void {
    this.#token = new AccessToken(token);
  }

  explain(url: string): OriginDecision {
    return this.#allowedOrigins.explain(url);
  }

  peek(): AccessToken {
    return this.#token;
  }

  async getToken(): Promise<AccessToken> {
    return this.#token;
  }

  /** Returns the token that replaced the rejected one, if any. */
  async renewToken(rejected: AccessToken): Promise<AccessToken | undefined> {
    return this.#token.equals(rejected) ? undefined : this.#token;
  }

  status(): AccessTokenStatus {
    return { freshness: 'fresh', fingerprint: this.#token.fingerprint, refreshing: false, dormant: false };
  }
}

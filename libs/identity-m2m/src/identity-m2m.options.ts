import type { CreateAxiosDefaults } from 'axios';
import type { ClientOptions } from './config/client-options.js';
import type { GuardOptions } from './config/guard-options.js';
import type { TenantsOptions } from './config/tenants-options.js';

/** {@link ClientOptions}, with every default that axios takes. */
export interface HttpClientOptions extends ClientOptions {
  /**
   * Defaults of the client's own axios instance. `baseURL` is the identity provider's API unless it is given here, and
   * then it must be one of the places that the token is bound to. Redirects are not followed unless `maxRedirects` says
   * so.
   */
  readonly http?: CreateAxiosDefaults;
}

/** What `IdentityM2MModule` is configured with. */
export interface IdentityM2MOptions {
  /** Tokens for outgoing calls. Left out: no outbound side, or only the `clients`. */
  readonly client?: HttpClientOptions;
  /** Further clients, by name: each with tokens, a state and bound places of its own. */
  readonly clients?: Readonly<Record<string, HttpClientOptions | TenantsOptions<HttpClientOptions>>>;
  /** Who is let in. Left out: no inbound side, and `M2MAuthGuard` refuses everybody. */
  readonly guard?: GuardOptions;
}

/** Makes the options, for `forRootAsync({ useClass })` and `{ useExisting }`. */
export interface IdentityM2MOptionsFactory {
  createIdentityM2MOptions(): IdentityM2MOptions | Promise<IdentityM2MOptions>;
}

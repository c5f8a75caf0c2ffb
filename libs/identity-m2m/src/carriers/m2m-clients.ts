import type { HttpService } from '@nestjs/axios';
import type { TokenProvider } from '../token/token-provider.js';
import type { CallTokenOptions } from './axios-request-options.js';

/** What there is of a client: its tokens, and an `HttpService` that puts them on its calls. */
export interface M2MClient {
  readonly provider: TokenProvider;
  readonly http: HttpService;
}

/**
 * The clients of the application, to be chosen from at run time: by name, and by tenant where a name stands for many.
 *
 * Inject it where neither `@InjectM2MHttp(name)` nor `withToken({ tenant })` on a call will do: for `bearerFetch`, the
 * state, the events or the quarantine of a tenant's client. A tenant's client gives way when it was not used for long, so
 * ask again rather than keep it.
 */
export abstract class M2MClients {
  /**
   * @throws `IdentityM2MConfigurationError` where there is no such client; `TokenUnavailableError` where the application
   * does not tell a tenant's options in time; whatever it throws.
   */
  abstract choose(wanted: Pick<CallTokenOptions, 'client' | 'tenant'>): Promise<M2MClient>;
}

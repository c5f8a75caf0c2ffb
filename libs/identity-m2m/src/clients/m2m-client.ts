import { HttpService } from '@nestjs/axios';
import type { CallTokenOptions } from '../carriers/axios/bearer-interceptor.js';
import type { TokenProvider } from '../token/token-provider.js';

/** A client of the application: its tokens, and an `HttpService` that puts them on its calls. */
export interface M2MClient {
  readonly provider: TokenProvider;
  readonly http: HttpService;
}

/**
 * All clients of the application. Choose one at run time: by its name, and by the tenant where a name stands for many.
 *
 * Inject it where neither `@InjectM2MHttp(name)` nor `withToken({ tenant })` on a call will do: for `bearerFetch`, or for
 * the state, the events or `retryNow()` of a tenant's client. A tenant's client is evicted when idle, so choose it again
 * rather than keep it.
 */
export abstract class M2MClientRegistry {
  /**
   * Returns the client that a call asks for.
   *
   * @throws `IdentityM2MConfigurationError` where there is no such client; `TokenUnavailableError` where `perTenant` does not
   * answer in time; whatever `perTenant` throws.
   */
  abstract choose(wanted: Pick<CallTokenOptions, 'client' | 'tenant'>): Promise<M2MClient>;
}

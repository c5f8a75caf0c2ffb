import { HttpService } from '@nestjs/axios';
import { Inject } from '@nestjs/common';
import type { CallTokenOptions } from '../carriers/axios/bearer-interceptor.js';
import type { TokenProvider } from '../token/token-provider.js';

/** A client of the application: its token provider, and an `HttpService` whose calls carry its tokens. */
export interface M2MClient {
  readonly provider: TokenProvider;
  readonly http: HttpService;
}

/**
 * All clients of the application. Chooses one at run time by its name, and by tenant if the client has `perTenant`.
 *
 * Inject it if neither `@InjectM2MHttp(name)` nor `withToken({ tenant })` fits: for `bearerFetch`, or for the status,
 * the events or `retryNow()` of a tenant's client. Idle tenant clients are evicted, so call `choose` again rather than
 * keep one.
 */
export abstract class M2MClientRegistry {
  /**
   * Returns a client by its name and tenant; the default client if no name is given.
   *
   * @throws `IdentityM2MConfigurationError` if there is no such client; `TokenUnavailableError` if `perTenant` takes
   * longer than 10 s; whatever `perTenant` throws.
   */
  abstract choose(wanted: Pick<CallTokenOptions, 'client' | 'tenant'>): Promise<M2MClient>;
}

/** Returns the injection token of a client's `HttpService`. */
export function m2mHttpToken(client: string): string {
  return injectionToken('HttpService', client);
}

/** Returns the injection token of a client's `TokenProvider`. */
export function tokenProviderToken(client: string): string {
  return injectionToken('TokenProvider', client);
}

/** Nest's error shows the injection token if there is no such client. */
function injectionToken(what: string, client: string): string {
  return `${what} of client '${client}' (IdentityM2MModule: clients of forRoot, or forFeature)`;
}

/** Injects the `HttpService` whose calls carry this client's tokens. */
export function InjectM2MHttp(client: string): ParameterDecorator & PropertyDecorator {
  return Inject(m2mHttpToken(client));
}

/** Injects the `TokenProvider` of this client. */
export function InjectTokenProvider(client: string): ParameterDecorator & PropertyDecorator {
  return Inject(tokenProviderToken(client));
}

import type { HttpService } from '@nestjs/axios';
import { Inject } from '@nestjs/common';
import type { CallTokenOptions } from '../carriers/axios/request-options.js';
import type { TokenProvider } from '../token/token-provider.js';

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

/** Injection token of a client's `HttpService`. */
export function m2mHttpToken(client: string): string {
  return tokenOf('HttpService', client);
}

/** Injection token of a client's `TokenProvider`. */
export function tokenProviderToken(client: string): string {
  return tokenOf('TokenProvider', client);
}

/** Where there is no such client, it is all that Nest's error shows of it. */
function tokenOf(what: string, client: string): string {
  return `${what} of client '${client}' (IdentityM2MModule: clients of forRoot, or forFeature)`;
}

/** Injects the `HttpService` whose calls carry the tokens of this client. */
export function InjectM2MHttp(client: string): ParameterDecorator & PropertyDecorator {
  return Inject(m2mHttpToken(client));
}

/** Injects the `TokenProvider` of this client. */
export function InjectTokenProvider(client: string): ParameterDecorator & PropertyDecorator {
  return Inject(tokenProviderToken(client));
}

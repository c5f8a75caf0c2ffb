import { Inject } from '@nestjs/common';

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

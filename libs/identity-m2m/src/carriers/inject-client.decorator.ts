import { Inject } from '@nestjs/common';

/** Injection token of a client's `HttpService`. */
export function m2mHttpToken(client: string): string {
  return `nestjs-identity-m2m:HttpService:${client}`;
}

/** Injection token of a client's `TokenProvider`. */
export function tokenProviderToken(client: string): string {
  return `nestjs-identity-m2m:TokenProvider:${client}`;
}

/** Injects the `HttpService` whose calls carry the tokens of this client. */
export function InjectM2MHttp(client: string): ParameterDecorator & PropertyDecorator {
  return Inject(m2mHttpToken(client));
}

/** Injects the `TokenProvider` of this client. */
export function InjectTokenProvider(client: string): ParameterDecorator & PropertyDecorator {
  return Inject(tokenProviderToken(client));
}

import type { ClientGrpc } from '@nestjs/microservices';
import type { Observable } from 'rxjs';
import { authorizedCall, type AuthorizedClient } from './authorized-call.js';
import { HeldStream, isStream } from './held-stream.js';
import { packageOfNest } from './package-of-nest.js';

/** The part of gRPC's metadata that is needed here. */
interface Metadata {
  get(key: string): unknown[];
  set(key: string, value: string): void;
  clone(): Metadata;
}

type ServiceMethod = (...args: unknown[]) => Observable<unknown>;

/**
 * Puts a token on the calls of all services that are got from a gRPC client from now on: into the metadata of each call,
 * which is what may change from call to call.
 */
export function authorizeServices(grpc: ClientGrpc, client: AuthorizedClient): void {
  const { Metadata } = packageOfNest('@grpc/grpc-js') as { Metadata: new () => Metadata };
  const getService = grpc.getService.bind(grpc);

  const authorized =
    (method: ServiceMethod): ServiceMethod =>
    (data, ...others) => {
      const [given, ...rest] = isMetadata(others[0]) ? others : [undefined, ...others];
      if (isMetadata(given) && given.get('authorization').length > 0) return method(data, given, ...rest);
      const withToken = (authorization: string) => {
        const metadata = isMetadata(given) ? given.clone() : new Metadata();
        metadata.set('authorization', authorization);
        return metadata;
      };
      return isStream(data)
        ? HeldStream.whileStarting(data, (stream) =>
            authorizedCall(client, {
              isReplayable: false,
              exchange: (authorization) => method(stream(), withToken(authorization), ...rest),
            }),
          )
        : authorizedCall(client, {
            isReplayable: true,
            exchange: (authorization) => method(data, withToken(authorization), ...rest),
          });
    };

  const authorizedService = (name: string): Record<string, ServiceMethod> => {
    const methods = Object.entries(getService<Record<string, ServiceMethod>>(name));
    return Object.fromEntries(methods.map(([name, method]) => [name, authorized(method)]));
  };
  grpc.getService = authorizedService as ClientGrpc['getService'];
}

function isMetadata(value: unknown): value is Metadata {
  const { get, set, clone } = (value ?? {}) as Partial<Metadata>;
  return typeof get === 'function' && typeof set === 'function' && typeof clone === 'function';
}

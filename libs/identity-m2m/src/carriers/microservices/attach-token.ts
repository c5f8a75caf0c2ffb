import { isDeepStrictEqual } from 'node:util';
import { type ClientGrpc, ClientGrpcProxy, type ClientProxy, ClientTCP } from '@nestjs/microservices';
import { allowedPlainHttp } from '../../foundation/url.js';
import type { GetTokenOptions, TokenProvider } from '../../token/token-provider.js';
import { carrierOf } from '../token-carrier.js';
import type { AuthorizedClient } from './authorized-call.js';
import { authorizeMessages } from './authorized-messages.js';
import { authorizeServices } from './authorized-services.js';
import { ClientProxyConfigurationError, type ClientProxyFault } from './client-proxy-configuration-error.js';
import { type MessageServer, messageServersOf } from './message-servers.js';
import { hasAuthorization, type TokenPlace, tokenPlaceOf } from './token-place.js';

export interface AttachTokenOptions {
  /**
   * Token that the calls carry. Default: the client's default token. Request as few scopes as the receiver needs: a
   * broker, and every reader of its queues, could use the token until it expires.
   */
  readonly token?: Omit<GetTokenOptions, 'signal'>;
  /**
   * Whether a call that the receiver rejected as unauthenticated is sent once more with a newer token. Turn it off if
   * several receivers handle each message: one may have handled it when another rejects it. The token is renewed in
   * either case. Default: true.
   */
  readonly replay?: boolean;
  /**
   * Confirms that the client's custom serializer keeps the place of the token: `metadata` of the packet (TCP, Redis),
   * the records of Nest's builders (NATS, RabbitMQ, MQTT), the headers of a message (Kafka). Default: false:
   * `attachToken` rejects a client with a custom serializer.
   */
  readonly serializerKeepsHeaders?: boolean;
  /**
   * Allows the token on connections without TLS, or with TLS that does not verify the server. Default: false: such
   * connections only to loopback, and not with `NODE_ENV=production`.
   */
  readonly unsafeAllowInsecureTransport?: boolean;
}

/** A `ClientProxy` of any transport. Not all its subclasses are assignable to the class with its type parameters. */
type MessageClient = Pick<ClientProxy, 'send' | 'emit' | 'connect' | 'close'>;

/**
 * Puts a token of the provider on all further messages and calls of a Nest client proxy. Returns that client.
 *
 * `send` and `emit` wait if there is no valid token. If there is none in time, they fail with `TokenUnavailableError`
 * before anything is sent. A call that the receiver rejects as unauthenticated is sent once more with a newer token. An
 * `authorization` that the caller sets is kept.
 *
 * Attach the token where the client is created, and only to a client with one receiver: there is no check of allowed
 * origins, because brokers have no URL. For gRPC, call `getService` after attaching.
 *
 * @example
 * {
 *   provide: 'BILLING',
 *   inject: [TokenProvider],
 *   useFactory: (tokens: TokenProvider) =>
 *     attachToken(ClientProxyFactory.create({ transport: Transport.NATS, options }), tokens),
 * }
 * @throws {@link ClientProxyConfigurationError} if the client's messages can't carry the token, or would expose it.
 */
export function attachToken<Client extends MessageClient | ClientGrpc>(
  client: Client,
  provider: TokenProvider,
  options: AttachTokenOptions = {},
): Client {
  if (isAttached(client, { provider, options })) return client;
  const servers = messageServersOf(client);
  if (!servers) throw unsuitable('transport_unknown', UNKNOWN_CLIENT);
  checkProtection(servers, options);
  const authorized: AuthorizedClient = {
    carrier: carrierOf(provider),
    receiver: servers[0]!.name,
    token: options.token,
    replay: options.replay ?? true,
    waits: new Set(),
  };
  if (client instanceof ClientGrpcProxy) authorizeServices(client, authorized);
  else authorizeMessages(client, placeIn(client, options), authorized);
  attachments.set(client, { provider, options });
  return client;
}

interface Attachment {
  readonly provider: TokenProvider;
  readonly options: AttachTokenOptions;
}

const attachments = new WeakMap<object, Attachment>();

/** Several services may attach the same token to a client that they share. */
function isAttached(client: object, { provider, options }: Attachment): boolean {
  const earlier = attachments.get(client);
  if (!earlier) return false;
  if (earlier.provider === provider && isDeepStrictEqual(earlier.options, options)) return true;
  throw unsuitable(
    'attached_otherwise',
    `it already carries a token of client "${earlier.provider.clientName}", from another provider or with other options`,
  );
}

function checkProtection(
  servers: readonly MessageServer[],
  { unsafeAllowInsecureTransport }: AttachTokenOptions,
): void {
  const allowance = allowedPlainHttp(unsafeAllowInsecureTransport, process.env.NODE_ENV === 'production');
  if (allowance === 'anywhere') return;
  const exposed = servers.find(
    ({ protection, isLocal }) => protection !== 'TLS' && !(isLocal && allowance === 'loopback'),
  );
  if (!exposed) return;
  const how = exposed.protection === 'none' ? 'without TLS' : 'over TLS that does not verify the server';
  throw unsuitable(
    'transport_insecure',
    `it would go ${how} to ${exposed.name}. Configure TLS, or set unsafeAllowInsecureTransport`,
  );
}

const UNKNOWN_CLIENT = 'it is not a client of @nestjs/microservices, or comes from another copy of that package';

function placeIn(client: object, { serializerKeepsHeaders }: AttachTokenOptions): TokenPlace {
  const place = tokenPlaceOf(client);
  if (!place) throw unsuitable('transport_unknown', UNKNOWN_CLIENT);
  const { options } = client as { options?: { headers?: object; userProperties?: object } };
  if (hasAuthorization(options?.headers) || hasAuthorization(options?.userProperties)) {
    throw unsuitable('authorization_preset', 'its own options set the header "authorization". Remove that header');
  }
  if (hasOwnSerializer(client) && !serializerKeepsHeaders) {
    throw unsuitable(
      'serializer_unknown',
      'it has a custom serializer. Set serializerKeepsHeaders if that keeps packet metadata, records and message headers',
    );
  }
  return place;
}

function hasOwnSerializer(client: object): boolean {
  const { options, serializer } = client as { options?: { serializer?: object }; serializer: object };
  if (!(client instanceof ClientTCP)) return options?.serializer !== undefined;
  // A TCP client does not keep its options.
  const standard = (new ClientTCP({}) as unknown as { serializer: object }).serializer;
  return Object.getPrototypeOf(serializer) !== Object.getPrototypeOf(standard);
}

function unsuitable(fault: ClientProxyFault, why: string): ClientProxyConfigurationError {
  return new ClientProxyConfigurationError(fault, `Cannot attach a token to this client: ${why}.`);
}

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
   * Which token the calls carry, where it is not the client's usual one. Make it as narrow as the receiver allows: a
   * broker, and whoever may read its queues, could use the token until it ends.
   */
  readonly token?: Omit<GetTokenOptions, 'signal'>;
  /**
   * Whether a call that was refused as unauthenticated is sent once more with a newer token. Turn it off where several
   * receivers get each message and each acts on it: one may have done so when another refuses. The token is renewed in
   * either case. Default: true.
   */
  readonly replay?: boolean;
  /**
   * Says that the client's own serializer hands on what stands beside the payload: `metadata` of the packet (TCP,
   * Redis), the records of Nest's builders (NATS, RabbitMQ, MQTT), the headers of a message (Kafka). Default: false,
   * and such a client is refused.
   */
  readonly serializerKeepsHeaders?: boolean;
  /**
   * Lets the token travel in the clear, or by TLS that does not verify the server. Default: plain connections only to
   * this machine, and not with `NODE_ENV=production`.
   */
  readonly unsafeAllowInsecureTransport?: boolean;
}

/** A `ClientProxy` of any transport. The class itself, with its type parameters, is not what all its subclasses fit. */
type MessageClient = Pick<ClientProxy, 'send' | 'emit' | 'connect' | 'close'>;

/**
 * Puts a token of the provider on every message and call of a Nest client from now on, and hands the same client back.
 *
 * `send` and `emit` wait for a usable token where there is none, and fail with `TokenUnavailableError` where none can
 * be had: nothing is sent without. A call that the receiver refuses as unauthenticated is sent once more with a newer
 * token. An `authorization` of the caller's own is left as it is.
 *
 * Attaching is what binds the token to the receiver: brokers have no URL that it could be bound to. So attach it where
 * the client is made, to a client that leads to one receiver. For gRPC, get services after attaching.
 *
 * @example
 * {
 *   provide: 'BILLING',
 *   inject: [TokenProvider],
 *   useFactory: (tokens: TokenProvider) =>
 *     attachToken(ClientProxyFactory.create({ transport: Transport.NATS, options }), tokens),
 * }
 * @throws {@link ClientProxyConfigurationError} where the token could not be put there, or would be exposed.
 */
export function attachToken<Client extends MessageClient | ClientGrpc>(
  client: Client,
  provider: TokenProvider,
  options: AttachTokenOptions = {},
): Client {
  if (isAttached(client, { provider, options })) return client;
  const servers = messageServersOf(client);
  if (!servers) throw unsuitable('transport_unknown', NOT_NESTS_OWN);
  checkProtection(servers, options);
  const authorized: AuthorizedClient = {
    carrier: carrierOf(provider),
    tokenClient: provider.clientName,
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

/** Several services may attach the same token to the client that they share. */
function isAttached(client: object, { provider, options }: Attachment): boolean {
  const earlier = attachments.get(client);
  if (!earlier) return false;
  if (earlier.provider === provider && isDeepStrictEqual(earlier.options, options)) return true;
  throw unsuitable(
    'attached_otherwise',
    `a token of client "${earlier.provider.clientName}" was attached to it before, by another provider or with other options`,
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
  const how = exposed.protection === 'none' ? 'in the clear' : 'by TLS that does not verify the server';
  throw unsuitable(
    'transport_insecure',
    `it would travel ${how} to ${exposed.name}. Configure TLS, or set unsafeAllowInsecureTransport`,
  );
}

const NOT_NESTS_OWN = 'it is none of the clients of @nestjs/microservices, or of another copy of that package';

function placeIn(client: object, { serializerKeepsHeaders }: AttachTokenOptions): TokenPlace {
  const place = tokenPlaceOf(client);
  if (!place) throw unsuitable('transport_unknown', NOT_NESTS_OWN);
  const { options } = client as { options?: { headers?: object; userProperties?: object } };
  if (hasAuthorization(options?.headers) || hasAuthorization(options?.userProperties)) {
    throw unsuitable('authorization_preset', 'its own options set the header "authorization". Take that out');
  }
  if (hasOwnSerializer(client) && !serializerKeepsHeaders) {
    throw unsuitable(
      'serializer_unknown',
      'it has a serializer of its own. Set serializerKeepsHeaders if that hands on packet metadata, records and message headers',
    );
  }
  return place;
}

function hasOwnSerializer(client: object): boolean {
  const { options, serializer } = client as { options?: { serializer?: object }; serializer: object };
  if (!(client instanceof ClientTCP)) return options?.serializer !== undefined;
  // A TCP client does not keep its options.
  const usual = (new ClientTCP({}) as unknown as { serializer: object }).serializer;
  return Object.getPrototypeOf(serializer) !== Object.getPrototypeOf(usual);
}

function unsuitable(fault: ClientProxyFault, why: string): ClientProxyConfigurationError {
  return new ClientProxyConfigurationError(fault, `A token cannot be attached to this client: ${why}.`);
}

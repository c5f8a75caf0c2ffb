import { IdentityM2MError } from '../../foundation/identity-m2m-error.js';

/** Why a client proxy cannot carry a token as it is configured. */
export type ClientProxyFault =
  /** None of Nest's own transports, so there is no knowing where a token would go. */
  | 'transport_unknown'
  /** The transport, in this version or with these options, has no place for a token beside the payload. */
  | 'no_place_for_token'
  /** The token would travel in the clear, or to a server that does not have to prove who it is. */
  | 'transport_insecure'
  /** The client's options set `authorization` themselves. */
  | 'authorization_preset'
  /** The client has a serializer of its own, which may not hand on what stands beside the payload. */
  | 'serializer_unknown'
  /** A token has been attached to this client before, of another provider or with other options. */
  | 'attached_otherwise'
  /** A message to be retained by the broker, which would hand the token to whoever subscribes later. */
  | 'message_retained';

/**
 * A token cannot be attached to a client proxy, or to one of its messages, as these are configured.
 *
 * Thrown by `attachToken` while the application boots; with `message_retained` by the call itself, which was not sent.
 */
export class ClientProxyConfigurationError extends IdentityM2MError {
  readonly code = 'M2M_CLIENT_PROXY_CONFIGURATION';

  constructor(
    readonly fault: ClientProxyFault,
    message: string,
  ) {
    super(message);
  }
}

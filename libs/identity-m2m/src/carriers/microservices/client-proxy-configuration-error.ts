import { IdentityM2MError } from '../../foundation/identity-m2m-error.js';

/** Why a client proxy cannot carry a token as it is configured. */
export type ClientProxyFault =
  /** The transport is not one of Nest's own, so it is unknown where the token would go. */
  | 'transport_unknown'
  /** The transport, in this version or with these options, has no place for a token outside the payload. */
  | 'no_place_for_token'
  /** The token would go over a connection without TLS, or with TLS that does not verify the server. */
  | 'transport_insecure'
  /** The client's options set `authorization` themselves. */
  | 'authorization_preset'
  /** The client has a custom serializer, which may drop what accompanies the payload. */
  | 'serializer_unknown'
  /** The client carries a token already, from another provider or with other options. */
  | 'attached_otherwise'
  /** The broker would retain the message, and send the token to all later subscribers. */
  | 'message_retained';

/**
 * A client proxy, or one of its messages, cannot carry a token as it is configured.
 *
 * `attachToken` throws it while the application boots; with `message_retained`, the call throws it before it is sent.
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

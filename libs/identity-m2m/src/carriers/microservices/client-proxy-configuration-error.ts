import { IdentityM2MError } from '../../foundation/identity-m2m-error.js';

/** Why a client proxy can't carry a token as it is configured. */
export type ClientProxyFault =
  /** The transport is not one of Nest's own, so the place of the token is unknown. */
  | 'transport_unknown'
  /** The transport, in this version or with these options, has no place for a token outside the payload. */
  | 'no_place_for_token'
  /** The token would go over a connection without TLS, or with TLS that does not verify the server. */
  | 'transport_insecure'
  /** The client's options set `authorization` themselves. */
  | 'authorization_preset'
  /** The client has a custom serializer, which may drop headers and metadata. */
  | 'serializer_unknown'
  /** The client already carries a token, from another provider or with other options. */
  | 'attached_otherwise'
  /** The broker would retain the message, and send the token to all later subscribers. */
  | 'message_retained';

/**
 * A client proxy, or one of its messages, can't carry a token as it is configured.
 *
 * `attachToken` throws it at boot. With `message_retained`, the call fails with it before it is sent.
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

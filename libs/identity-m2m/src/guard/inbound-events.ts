import type { RefusalReason } from '../verification/refusal.js';

/**
 * The channel of `node:diagnostics_channel` that {@link InboundEvent}s and `VerificationEvent`s are published on.
 */
export const INBOUND_CHANNEL = 'nestjs-identity-m2m:inbound';

/** A decision of the guard, or how a refused message was settled. Holds no token. */
export type InboundEvent =
  | {
      readonly type: 'caller.accepted';
      /** The transport: `http`, `tcp`, `redis`, `nats`, `mqtt`, `rabbitmq`, `grpc`, `kafka`, or one of your own. */
      readonly transport: string;
      readonly clientId: string;
      readonly issuer: string;
      readonly tokenFingerprint: string;
    }
  | {
      readonly type: 'caller.refused';
      /** `unknown` if the guard can't read the credentials of such calls. */
      readonly transport: string;
      /** `GET /users/:id`, or `UsersController.create` for a message. */
      readonly route: string | undefined;
      readonly reason: RefusalReason;
      /** Name of the claim or header parameter that was wrong: see `RefusalDetail`. */
      readonly claim: string | undefined;
      /** Its value in the token, shortened and printable; undefined if the token has no such claim. */
      readonly found: string | undefined;
      /** The value that the guard's options require. */
      readonly expected: string | undefined;
      /** The client, if its token is valid and it only lacks rights. */
      readonly clientId: string | undefined;
      readonly issuer: string | undefined;
      /** Fingerprint of the token, if there was one. */
      readonly tokenFingerprint: string | undefined;
    }
  | {
      /**
       * The guard refuses every call of a handler, because its access rules are unknown. Either the function that Nest
       * calls is not a method of its class and carries no copy of a method's metadata. Or a rule comes from a decorator
       * of a newer version of this package. Emitted once per handler.
       */
      readonly type: 'handler.unknown';
      /** Class and function, such as `UsersController.list`. */
      readonly handler: string;
      /** Metadata keys of the rules that this version does not know; empty if the handler itself is unknown. */
      readonly unknownRules: readonly string[];
    }
  | {
      /**
       * How a refused message was settled that its broker would otherwise deliver again.
       *
       * `dead_lettered`: RabbitMQ moved it from the queue to the dead letter exchange, or dropped it if there is none.
       * `skipped`: Kafka continues with the next message. `retried`: Kafka delivers it again, because the guard could
       * not decide. `unsettled`: it stays with RabbitMQ, because its acknowledgement mode is unknown.
       */
      readonly type: 'message.dead_lettered' | 'message.skipped' | 'message.retried' | 'message.unsettled';
      readonly transport: string;
      readonly reason: RefusalReason;
    };

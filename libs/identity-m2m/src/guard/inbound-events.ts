import type { RefusalReason } from '../verification/refusal.js';

/**
 * The channel of `node:diagnostics_channel` that {@link InboundEvent}s and `VerificationEvent`s are published on.
 */
export const INBOUND_CHANNEL = 'nestjs-identity-m2m:inbound';

/** A decision of the guard, or what happened to a refused message. Holds no token. */
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
      /** `unknown` where the guard has no reader for such calls. */
      readonly transport: string;
      /** `GET /users/:id`, or `UsersController.create` for a message. */
      readonly route: string | undefined;
      readonly reason: RefusalReason;
      /** Name of the claim or header parameter that was wrong: see `RefusalDetail`. */
      readonly claim: string | undefined;
      /** Its value in the token, printable and short; undefined where the token has no such claim. */
      readonly found: string | undefined;
      /** The value that the guard's options require. */
      readonly expected: string | undefined;
      /** The client, where its token is valid and only rights are missing. */
      readonly clientId: string | undefined;
      readonly issuer: string | undefined;
      /** Fingerprint of the token, where there was one. */
      readonly tokenFingerprint: string | undefined;
    }
  | {
      /**
       * The guard refuses every call of a handler, because its access rules are unknown. The function that Nest calls
       * may be no method of its class and carry no copy of a method's metadata. Or a decorator of a newer version of
       * this package states a rule. Emitted once for each handler.
       */
      readonly type: 'handler.unknown';
      /** Class and function, such as `UsersController.list`. */
      readonly handler: string;
      /** Metadata keys of rules that this version does not know; empty where the handler itself is unknown. */
      readonly unknownRules: readonly string[];
    }
  | {
      /**
       * What happened to a refused message that a broker would otherwise deliver again.
       *
       * `dead_lettered`: RabbitMQ removed it from the queue, to the dead letter exchange where there is one. `skipped`:
       * Kafka went on to the next message. `retried`: Kafka delivers it again, because the guard could not decide.
       * `unsettled`: it stays with RabbitMQ, because its acknowledgement mode is unknown.
       */
      readonly type: 'message.dead_lettered' | 'message.skipped' | 'message.retried' | 'message.unsettled';
      readonly transport: string;
      readonly reason: RefusalReason;
    };

import type { RefusalReason } from '../verification/refusal.js';

/**
 * The channel of `node:diagnostics_channel` that {@link InboundEvent}s and `VerificationEvent`s are published on.
 */
export const INBOUND_CHANNEL = 'nestjs-identity-m2m:inbound';

/** What the guard decided, and what became of messages that it refused. Holds no token. */
export type InboundEvent =
  | {
      readonly type: 'caller.accepted';
      /** How the call came: `http`, `tcp`, `redis`, `nats`, `mqtt`, `rabbitmq`, `grpc`, `kafka`, or one of your own. */
      readonly transport: string;
      readonly clientId: string;
      readonly issuer: string;
      readonly tokenFingerprint: string;
    }
  | {
      readonly type: 'caller.refused';
      /** `unknown` where the guard has no reader for credentials of that kind. */
      readonly transport: string;
      /** `GET /users/:id`, or `UsersController.create` for a message. */
      readonly route: string | undefined;
      readonly reason: RefusalReason;
      /** The claim or header parameter that the refusal is about: see {@link RefusalDetail}. */
      readonly claim: string | undefined;
      /** What the token has there, printable and short; undefined where it has no such claim. */
      readonly found: string | undefined;
      /** What the guard's options ask for. */
      readonly expected: string | undefined;
      /** The client, where its token is valid and only its rights are missing. */
      readonly clientId: string | undefined;
      readonly issuer: string | undefined;
      /** Names the token where there was one. */
      readonly tokenFingerprint: string | undefined;
    }
  | {
      /**
       * The guard refuses every call of a handler, because it cannot tell which access rules are the handler's: what
       * Nest calls is not a method of its class, and carries no copy of a method's metadata; or it has rules by a
       * decorator of a newer version of this package. Once for each handler.
       */
      readonly type: 'handler.unknown';
      /** Class and function, such as `UsersController.list`. */
      readonly handler: string;
      /** Metadata keys of rules that this version does not know; empty where the handler itself is not known. */
      readonly unknownRules: readonly string[];
    }
  | {
      /**
       * What became of a refused message that a broker would otherwise have delivered again: RabbitMQ took it out of the
       * queue, to its dead letter exchange where it has one; Kafka went on to the next one, or will deliver it again
       * because it could not be decided; or it stays with RabbitMQ, because nobody knows whether it waits for an
       * acknowledgement.
       */
      readonly type: 'message.dead_lettered' | 'message.skipped' | 'message.retried' | 'message.unsettled';
      readonly transport: string;
      readonly reason: RefusalReason;
    };

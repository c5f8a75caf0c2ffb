import type { RefusalReason } from '../verification/refusal.js';

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
      /** `unknown` where nobody said how credentials are carried there. */
      readonly transport: string;
      readonly reason: RefusalReason;
      /** Who it was, where its token was good and only its rights were not. */
      readonly clientId: string | undefined;
      readonly issuer: string | undefined;
      /** Names the token where there was one. */
      readonly tokenFingerprint: string | undefined;
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

import { type MicroserviceOptions, Transport } from '@nestjs/microservices';
import { connect as connectToBroker } from 'amqp-connection-manager';
import type { ConfirmChannel } from 'amqplib';
import { BrokerServer } from './rabbitmq.js';
import type { Settings } from './settings.js';

/** Maximum length of a message, in characters; a longer one closes the connection. Events are small. */
const MAX_MESSAGE_LENGTH = 65_536;
/** Bounds of the dead letters. They contain tokens, so they do not stay forever. */
const DEAD_LETTERS = { maxLength: 10_000, messageTtl: 7 * 24 * 3600_000 };

/**
 * Timeout for a broker that accepts the connection but stays silent, in milliseconds. The daemon then connects again.
 */
const BROKER = { connectionOptions: { timeout: 5000 } };

/** Nest's options for the transport. The scheme of the address selects TCP, NATS or RabbitMQ. */
export function microserviceOptions(settings: Settings): MicroserviceOptions {
  const { LISTEN_URL, TLS_KEY_FILE: key, TLS_CERT_FILE: cert, CHANNEL } = settings;
  const { protocol, host, hostname, port, username, password } = LISTEN_URL;
  if (protocol.startsWith('tcp')) {
    return {
      transport: Transport.TCP,
      options: {
        host: withoutBrackets(hostname),
        port: Number(port),
        maxBufferSize: MAX_MESSAGE_LENGTH,
        ...(protocol === 'tcps:' && { tlsOptions: { key, cert } }),
      },
    };
  }
  if (protocol.startsWith('nats')) {
    return {
      transport: Transport.NATS,
      options: {
        servers: host,
        ...(username && { user: decodeURIComponent(username), pass: decodeURIComponent(password) }),
        ...(protocol === 'natss:' && { tls: {} }),
        // A queue group: each event goes to one of several daemons.
        queue: `${CHANNEL}-daemon`,
        // Reconnects forever, also at start.
        waitOnFirstConnect: true,
        maxReconnectAttempts: -1,
      },
    };
  }
  const queue = `${CHANNEL}.events`;
  return {
    strategy: new BrokerServer({
      urls: [LISTEN_URL.href],
      queue,
      socketOptions: BROKER,
      noAck: false,
      // One at a time, in the order of sending: a user who joins again after leaving must not be deleted.
      prefetchCount: 1,
      queueOptions: {
        durable: true,
        arguments: { 'x-dead-letter-exchange': '', 'x-dead-letter-routing-key': `${queue}.dead` },
      },
    }),
  };
}

/**
 * Creates the queue of dead letters, with RabbitMQ. Waits until the broker is reachable.
 *
 * @param options.timeoutMs Timeout for a silent broker.
 * @param options.retryMs Pause before the next attempt.
 */
export async function prepareDeadLetters(
  { LISTEN_URL, CHANNEL }: Settings,
  { timeoutMs = BROKER.connectionOptions.timeout, retryMs = 5000 } = {},
): Promise<void> {
  if (!LISTEN_URL.protocol.startsWith('amqp')) return;
  const connection = connectToBroker([LISTEN_URL.href], {
    connectionOptions: { timeout: timeoutMs },
    reconnectTimeInSeconds: retryMs / 1000,
  });
  const wrapper = connection.createChannel({
    setup: (broker: ConfirmChannel) => broker.assertQueue(`${CHANNEL}.events.dead`, { durable: true, ...DEAD_LETTERS }),
  });
  await wrapper.waitForConnect();
  await connection.close();
}

/** URLs have brackets around an IPv6 address; sockets take it without. */
function withoutBrackets(hostname: string): string {
  return hostname.replace(/^\[(.*)\]$/, '$1');
}

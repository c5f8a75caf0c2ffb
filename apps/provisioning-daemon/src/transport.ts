import { type MicroserviceOptions, Transport } from '@nestjs/microservices';
import { connect as connectToBroker } from 'amqp-connection-manager';
import type { ConfirmChannel } from 'amqplib';
import { BrokerServer } from './broker-server.js';
import type { Settings } from './settings.js';

/** An event is small; whoever sends more than this is cut off, in characters. */
const MAX_MESSAGE_LENGTH = 65_536;
/** Most dead letters that are kept, and for how long: they carry the tokens they came with. */
const DEAD_LETTERS = { maxLength: 10_000, messageTtl: 7 * 24 * 3600_000 };

/** A broker that takes the connection and then says nothing is given up after this time, in ms, and tried again. */
const BROKER = { connectionOptions: { timeout: 5000 } };

/** How Nest listens for events: by TCP, NATS or RabbitMQ, as the scheme of the address says. */
export function microserviceOptions({ listenUrl, tls, channel }: Settings): MicroserviceOptions {
  const { protocol, host, hostname, port, username, password } = listenUrl;
  if (protocol.startsWith('tcp')) {
    return {
      transport: Transport.TCP,
      options: {
        host: withoutBrackets(hostname),
        port: Number(port),
        maxBufferSize: MAX_MESSAGE_LENGTH,
        ...(protocol === 'tcps:' && tls && { tlsOptions: tls }),
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
        // Of several daemons one gets each event.
        queue: `${channel}-daemon`,
        // A broker that is away, now or later, is waited for.
        waitOnFirstConnect: true,
        maxReconnectAttempts: -1,
      },
    };
  }
  const queue = `${channel}.events`;
  return {
    strategy: new BrokerServer({
      urls: [listenUrl.href],
      queue,
      socketOptions: BROKER,
      noAck: false,
      // One after the other, in the order in which they were sent: who joins again after leaving must not be deleted.
      prefetchCount: 1,
      queueOptions: {
        durable: true,
        arguments: { 'x-dead-letter-exchange': '', 'x-dead-letter-routing-key': `${queue}.dead` },
      },
    }),
  };
}

/**
 * Makes the queue for what can never succeed, where events come by RabbitMQ. Waits for a broker that is away.
 *
 * @param patience How long to wait for a broker that says nothing, and before the next attempt, in milliseconds.
 */
export async function prepareDeadLetters(
  { listenUrl, channel }: Settings,
  { timeoutMs = BROKER.connectionOptions.timeout, retryMs = 5000 } = {},
): Promise<void> {
  if (!listenUrl.protocol.startsWith('amqp')) return;
  const connection = connectToBroker([listenUrl.href], {
    connectionOptions: { timeout: timeoutMs },
    reconnectTimeInSeconds: retryMs / 1000,
  });
  const wrapper = connection.createChannel({
    setup: (broker: ConfirmChannel) => broker.assertQueue(`${channel}.events.dead`, { durable: true, ...DEAD_LETTERS }),
  });
  await wrapper.waitForConnect();
  await connection.close();
}

/** As sockets want an address of IPv6, which URLs have in brackets. */
function withoutBrackets(hostname: string): string {
  return hostname.replace(/^\[(.*)\]$/, '$1');
}

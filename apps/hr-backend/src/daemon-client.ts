import { type ClientProxy, ClientProxyFactory, type RmqOptions, Transport } from '@nestjs/microservices';
import type { TokenProvider } from 'nestjs-identity-m2m';
import { attachToken } from 'nestjs-identity-m2m/microservices';
import type { Settings } from './settings.js';

/** Injection token of the daemon's client. */
export const DAEMON = Symbol('Daemon');

/**
 * A client that sends the backend's token with every message. The scheme of the address selects TCP, NATS or RabbitMQ.
 */
export function daemonClient(settings: Settings, tokens: TokenProvider): ClientProxy {
  return attachToken(clientFor(settings), tokens);
}

function clientFor({ DAEMON_URL: url, CHANNEL: channel }: Settings): ClientProxy {
  const { protocol, host, hostname, port, username, password } = url;
  if (protocol.startsWith('tcp')) {
    return ClientProxyFactory.create({
      transport: Transport.TCP,
      options: { host: withoutBrackets(hostname), port: Number(port), ...(protocol === 'tcps:' && { tlsOptions: {} }) },
    });
  }
  if (protocol.startsWith('nats')) {
    return ClientProxyFactory.create({
      transport: Transport.NATS,
      options: {
        servers: host,
        ...(username && { user: decodeURIComponent(username), pass: decodeURIComponent(password) }),
        ...(protocol === 'natss:' && { tls: {} }),
        maxReconnectAttempts: -1,
      },
    });
  }
  return ClientProxyFactory.create({ transport: Transport.RMQ, options: rabbitmqOptions(url, channel) });
}

/**
 * The first of backend and daemon to connect creates the queue, so both declare the same one (see the daemon's
 * transport).
 */
function rabbitmqOptions(url: URL, channel: string): NonNullable<RmqOptions['options']> {
  const queue = `${channel}.events`;
  return {
    urls: [url.href],
    queue,
    // A broker that accepts the connection but stays silent: time out, then connect again.
    socketOptions: { connectionOptions: { timeout: 5000 } },
    persistent: true,
    queueOptions: {
      durable: true,
      arguments: { 'x-dead-letter-exchange': '', 'x-dead-letter-routing-key': `${queue}.dead` },
    },
  };
}

/** URLs have brackets around an IPv6 address; sockets take it without. */
function withoutBrackets(hostname: string): string {
  return hostname.replace(/^\[(.*)\]$/, '$1');
}

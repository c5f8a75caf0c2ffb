import { type ClientProxy, ClientProxyFactory, type RmqOptions, Transport } from '@nestjs/microservices';
import type { TokenProvider } from 'nestjs-identity-m2m';
import { attachToken } from 'nestjs-identity-m2m/microservices';
import type { Settings } from './settings.js';

/** Injection token of the client that leads to the daemon. */
export const DAEMON = Symbol('DAEMON');

/** A client whose every message carries the backend's token: by TCP, NATS or RabbitMQ, as the address says. */
export function daemonClient(settings: Settings['daemon'], tokens: TokenProvider): ClientProxy {
  return attachToken(clientFor(settings), tokens);
}

function clientFor({ url, channel }: Settings['daemon']): ClientProxy {
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

/** The queue is made by whoever comes first, so both have to ask for the same one: see the daemon's transport. */
function rabbitmqOptions(url: URL, channel: string): NonNullable<RmqOptions['options']> {
  const queue = `${channel}.events`;
  return {
    urls: [url.href],
    queue,
    // A broker that takes the connection and then says nothing is given up, and tried again.
    socketOptions: { connectionOptions: { timeout: 5000 } },
    persistent: true,
    queueOptions: {
      durable: true,
      arguments: { 'x-dead-letter-exchange': '', 'x-dead-letter-routing-key': `${queue}.dead` },
    },
  };
}

/** As sockets want an address of IPv6, which URLs have in brackets. */
function withoutBrackets(hostname: string): string {
  return hostname.replace(/^\[(.*)\]$/, '$1');
}

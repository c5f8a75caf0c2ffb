import { isIPv6 } from 'node:net';
import {
  ClientGrpcProxy,
  ClientKafka,
  ClientMqtt,
  ClientNats,
  ClientRedis,
  ClientRMQ,
  ClientTCP,
} from '@nestjs/microservices';
import { isLoopbackHost, parseUrl } from '../../foundation/url.js';

/** A server that a client proxy connects to, by its options. */
export interface MessageServer {
  /** Without user name and password. */
  readonly name: string;
  /** Whether it is on this machine; false if unknown. */
  readonly isLocal: boolean;
  readonly protection: 'TLS' | 'TLS without verification' | 'none';
}

/** Returns the servers that a client may connect to, at least one; undefined for a transport that is not Nest's own. */
export function messageServersOf(client: object): MessageServer[] | undefined {
  const options = (client as { options?: object }).options ?? {};
  if (client instanceof ClientTCP) return tcp(client as unknown as TcpClient);
  if (client instanceof ClientRedis) return redis(options);
  if (client instanceof ClientNats) return nats(options);
  if (client instanceof ClientMqtt) return mqtt(options);
  if (client instanceof ClientRMQ) return rabbitmq(options);
  if (client instanceof ClientKafka) return kafka(options);
  return client instanceof ClientGrpcProxy ? grpc(options) : undefined;
}

/** TLS options of any client; undefined without TLS. */
type Tls = { readonly rejectUnauthorized?: boolean } | boolean | null | undefined;

interface HostAndPort {
  readonly host?: string | undefined;
  readonly port?: number | string | undefined;
}

interface TcpClient extends HostAndPort {
  readonly tlsOptions?: Tls;
}

function tcp({ host, port, tlsOptions }: TcpClient): MessageServer[] {
  return [server('tcp', addressOf({ host, port }), tlsOptions)];
}

interface RedisOptions extends HostAndPort {
  readonly path?: string;
  readonly tls?: Tls;
  readonly sentinels?: readonly HostAndPort[];
  /** Without it, the client uses no TLS for a server that sentinels choose. */
  readonly enableTLSForSentinelMode?: boolean;
}

function redis(options: RedisOptions): MessageServer[] {
  const { host = 'localhost', port = 6379, path, tls, sentinels, enableTLSForSentinelMode } = options;
  if (sentinels) {
    const ofServer = enableTLSForSentinelMode && tls;
    return sentinels.map((sentinel) => ({ ...server('redis', addressOf(sentinel), ofServer), isLocal: false }));
  }
  const only = server('redis', addressOf({ host, port }), tls);
  return [path ? { ...only, isLocal: true } : only];
}

/** The scheme `tls:` has no effect: without the option `tls`, the client uses no TLS if the server offers none. */
function nats({ servers = 'nats://localhost:4222', tls }: { servers?: string | readonly string[]; tls?: Tls }) {
  return [servers].flat().map((address) => server('nats', address, tls));
}

interface MqttServer extends HostAndPort {
  readonly protocol?: string;
}

interface MqttOptions extends MqttServer {
  readonly url?: string;
  readonly hostname?: string;
  readonly path?: string;
  readonly servers?: readonly MqttServer[];
  readonly rejectUnauthorized?: boolean;
  readonly unixSocket?: boolean;
  readonly cert?: unknown;
  readonly key?: unknown;
}

/**
 * Options take precedence over the URL, and `hostname` over `host`; a client certificate turns TLS on. Without a path,
 * or with TLS or WebSockets, the client ignores that it should use a socket of this machine.
 */
function mqtt(options: MqttOptions): MessageServer[] {
  const { url = 'mqtt://localhost:1883', servers, rejectUnauthorized, unixSocket, cert, key } = options;
  const [, scheme, authority = '', urlPath] = /^([a-z+]+):\/\/([^/?#]*)([^#]*)/i.exec(url) ?? [];
  const path = options.path ?? urlPath;
  const usual = options.protocol ?? scheme ?? 'mqtt';
  const one = ({ host, port, protocol = usual }: MqttServer) => {
    const isEncrypted = /^(?:mqtts|ssl|tls|wss)\b/i.test(protocol) || Boolean(cert && key);
    const address = host === undefined ? authority : addressOf({ host, port });
    const known = server('mqtt', address, isEncrypted && { rejectUnauthorized: rejectUnauthorized !== false });
    const isSocket = path && !isEncrypted && (unixSocket ? /^(?:mqtt|tcp)\b/ : /^(?:mqtt|tcp)\+unix\b/).test(protocol);
    return isSocket ? { ...known, isLocal: true } : known;
  };
  return servers?.length ? servers.map(one) : [one({ ...options, host: options.hostname || options.host })];
}

interface AmqpServer {
  readonly url?: string;
  readonly connectionOptions?: { readonly rejectUnauthorized?: boolean };
  readonly protocol?: string;
  readonly hostname?: string;
  readonly port?: number;
}

interface RabbitmqOptions {
  readonly urls?: readonly (string | AmqpServer)[];
  readonly socketOptions?: Pick<AmqpServer, 'connectionOptions'> & { readonly findServers?: unknown };
}

function rabbitmq({ urls = ['amqp://localhost'], socketOptions }: RabbitmqOptions): MessageServer[] {
  if (socketOptions?.findServers) return [unknownServer('amqp', 'socketOptions.findServers')];
  return urls.map((entry) => {
    const { url, protocol = 'amqp', hostname = 'localhost', port, connectionOptions } = objectOf(entry);
    const address = url ?? addressOf({ host: hostname, port });
    const isEncrypted = /^amqps\b/i.test(url ?? protocol);
    const { rejectUnauthorized = true } = connectionOptions ?? socketOptions?.connectionOptions ?? {};
    return server('amqp', address, isEncrypted && { rejectUnauthorized });
  });
}

function objectOf(entry: string | AmqpServer): AmqpServer {
  return typeof entry === 'string' ? { url: entry } : entry;
}

interface KafkaOptions {
  readonly client?: { readonly brokers?: readonly string[] | (() => unknown); readonly ssl?: Tls };
}

function kafka({ client: { brokers = ['localhost:9092'], ssl } = {} }: KafkaOptions): MessageServer[] {
  if (typeof brokers === 'function') return [{ ...unknownServer('kafka', 'client.brokers'), ...protectionBy(ssl) }];
  return brokers.map((address) => server('kafka', address, ssl));
}

interface GrpcOptions {
  readonly url?: string;
  readonly credentials?: GrpcCredentials;
}

interface GrpcCredentials {
  _isSecure?(): boolean;
  readonly verifyOptions?: { readonly rejectUnauthorized?: boolean };
  /** Of credentials that are composed with those of each call. */
  readonly channelCredentials?: GrpcCredentials;
}

/** Name syntax of gRPC: `host:port`, `dns:///host:port`, `ipv4:address:port,address:port`, `unix:path` and others. */
function grpc({ url = 'localhost:5000', credentials }: GrpcOptions): MessageServer[] {
  const { verifyOptions = {} } = credentials?.channelCredentials ?? credentials ?? {};
  const tls = credentials?._isSecure?.() === true && verifyOptions;
  if (/^unix(?:-abstract)?:/i.test(url)) return [{ ...unknownServer('grpc', url), isLocal: true }];
  const addresses = url.replace(/^(?:dns:(?:\/\/[^/]*\/)?|ipv[46]:)/i, '').split(',');
  return addresses.map((address) => server('grpc', address, tls));
}

function addressOf({ host = 'localhost', port }: HostAndPort): string {
  const name = isIPv6(host) ? `[${host}]` : host;
  return port === undefined ? name : `${name}:${port}`;
}

function server(scheme: string, address: string, tls: Tls): MessageServer {
  // Parsed as an http address: for other schemes, the parser does not find the host.
  const url = parseUrl(`http://${address.replace(/^[a-z][a-z\d+.-]*:\/\//i, '')}`);
  if (!url) return { ...unknownServer(scheme, 'an invalid address'), ...protectionBy(tls) };
  const { host, hostname } = url;
  return { name: `${scheme}://${host}`, isLocal: isLoopbackHost(hostname), ...protectionBy(tls) };
}

function unknownServer(scheme: string, name: string): MessageServer {
  return { name: `${scheme}:${name}`, isLocal: false, protection: 'none' };
}

function protectionBy(tls: Tls): Pick<MessageServer, 'protection'> {
  if (!tls) return { protection: 'none' };
  const isUnverified = typeof tls === 'object' && tls.rejectUnauthorized === false;
  return { protection: isUnverified ? 'TLS without verification' : 'TLS' };
}

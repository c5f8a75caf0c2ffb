import { credentials } from '@grpc/grpc-js';
import { describe, expect, it, test } from '@jest/globals';
import { ClientGrpcProxy, ClientMqtt, ClientNats, ClientRedis, ClientRMQ, ClientTCP } from '@nestjs/microservices';
import { messageServersOf } from './message-servers.js';

const shown = (client: object) =>
  messageServersOf(client)?.map(
    ({ name, isLocal, protection }) => `${name} ${isLocal ? 'local' : 'remote'} ${protection}`,
  );

it('are unknown for a client that is not Nest’s own', () => {
  expect(messageServersOf({})).toBeUndefined();
});

describe('the servers of a client', () => {
  test.each<[object, string]>([
    [{ url: 'mqtt+unix:///run/mqtt.sock' }, 'mqtt:an invalid address local none'],
    [{ url: 'mqtt+unix://10.0.0.7/run/mqtt.sock' }, 'mqtt://10.0.0.7 local none'],
    [{ url: 'mqtt://10.0.0.7', unixSocket: true, path: '/run/mqtt.sock' }, 'mqtt://10.0.0.7 local none'],
    [{ url: 'mqtt://10.0.0.7', protocol: 'tcp+unix', path: '/run/mqtt.sock' }, 'mqtt://10.0.0.7 local none'],
    [{ url: 'mqtt://10.0.0.7', path: '/run/mqtt.sock' }, 'mqtt://10.0.0.7 remote none'],
    [{ url: 'mqtt://10.0.0.7/run/mqtt.sock' }, 'mqtt://10.0.0.7 remote none'],
    // The client connects to the host in all these cases.
    [{ url: 'mqtt://10.0.0.7:1883', unixSocket: true }, 'mqtt://10.0.0.7:1883 remote none'],
    [{ url: 'mqtt+unix://10.0.0.7' }, 'mqtt://10.0.0.7 remote none'],
    [{ url: 'mqtt://10.0.0.7', unixSocket: true, path: '' }, 'mqtt://10.0.0.7 remote none'],
    [{ url: 'ws://10.0.0.7/mqtt', unixSocket: true }, 'mqtt://10.0.0.7 remote none'],
    [{ url: 'mqtts+unix://10.0.0.7/x', rejectUnauthorized: false }, 'mqtt://10.0.0.7 remote TLS without verification'],
    [{ url: 'mqtt+unix://10.0.0.7/x', cert: 'c', key: 'k' }, 'mqtt://10.0.0.7 remote TLS'],
    [{ url: 'mqtt://10.0.0.7', cert: 'c', key: 'k' }, 'mqtt://10.0.0.7 remote TLS'],
    [{ url: 'mqtt://10.0.0.7', cert: 'c' }, 'mqtt://10.0.0.7 remote none'],
    [{ url: 'mqtt://localhost', hostname: '10.0.0.7' }, 'mqtt://10.0.0.7 remote none'],
    [{ url: 'mqtt://localhost', host: 'localhost', hostname: '10.0.0.7' }, 'mqtt://10.0.0.7 remote none'],
    [{ url: 'mqtt://10.0.0.7', host: 'localhost', hostname: '' }, 'mqtt://localhost local none'],
    [{ hostname: '10.0.0.7', servers: [{ host: 'localhost', port: 1 }] }, 'mqtt://localhost:1 local none'],
  ])('of MQTT are those that it connects to: %j', (options, server) => {
    expect(shown(new ClientMqtt(options))).toEqual([server]);
  });

  test.each<[object, string]>([
    [{ host: '10.0.0.7', path: '/run/redis.sock' }, 'redis://10.0.0.7:6379 local none'],
    [{ host: '10.0.0.7', path: '' }, 'redis://10.0.0.7:6379 remote none'],
    [{ host: '10.0.0.7' }, 'redis://10.0.0.7:6379 remote none'],
    // The sentinels choose the server.
    [{ sentinels: [{ host: 'a.example' }], tls: {} }, 'redis://a.example remote none'],
    [{ sentinels: [{ host: 'a.example' }], enableTLSForSentinelMode: true }, 'redis://a.example remote none'],
    [{ sentinels: [{ host: 'a.example' }], tls: {}, enableTLSForSentinelMode: true }, 'redis://a.example remote TLS'],
  ])('of Redis are those that it connects to: %j', (options, server) => {
    expect(shown(new ClientRedis(options as never))).toEqual([server]);
  });

  const unverified = credentials.createSsl(null, null, null, { rejectUnauthorized: false });
  const ofCalls = credentials.createFromMetadataGenerator((_options, callback) => callback(null));

  test.each([
    ['none', undefined, 'none'],
    ['without TLS', credentials.createInsecure(), 'none'],
    ['with TLS', credentials.createSsl(), 'TLS'],
    ['with TLS and those of each call', credentials.combineChannelCredentials(credentials.createSsl(), ofCalls), 'TLS'],
    ['with TLS that does not verify the server', unverified, 'TLS without verification'],
    [
      'the same, with those of each call',
      credentials.combineChannelCredentials(unverified, ofCalls),
      'TLS without verification',
    ],
  ])('of gRPC are protected as its credentials are: %s', (_name, given, protection) => {
    const options = { url: '10.0.0.7:1', ...(given && { credentials: given }) };
    const client = Object.assign(Object.create(ClientGrpcProxy.prototype) as object, { options });
    expect(shown(client)).toEqual([`grpc://10.0.0.7:1 remote ${protection}`]);
  });

  test.each<[object, string]>([
    [
      new ClientTCP({ host: '10.0.0.7', port: 1, tlsOptions: { rejectUnauthorized: false } }),
      'tcp://10.0.0.7:1 remote TLS without verification',
    ],
    [new ClientNats({ servers: 'nats://[::1]:4222' }), 'nats://[::1]:4222 local none'],
    [new ClientNats({ servers: 'not an address' }), 'nats:an invalid address remote none'],
    [new ClientRMQ({ urls: ['amqp://u:p@10.0.0.7/v'] }), 'amqp://10.0.0.7 remote none'],
  ])('are named without credentials: %#', (client, server) => {
    expect(shown(client)).toEqual([server]);
  });
});

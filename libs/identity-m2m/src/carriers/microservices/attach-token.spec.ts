import { describe, expect, it, test } from '@jest/globals';
import { ClientKafka, ClientMqtt, ClientNats, ClientRedis, ClientRMQ, ClientTCP } from '@nestjs/microservices';
import { FixedTokenProvider } from '../../testing/fixed-token-provider.js';
import { attachToken, type AttachTokenOptions } from './attach-token.js';
import { ClientProxyConfigurationError } from './client-proxy-configuration-error.js';

const provider = new FixedTokenProvider('a-token');

type Client = Parameters<typeof attachToken>[0];

const errorOf = (client: object, options?: AttachTokenOptions): ClientProxyConfigurationError | undefined => {
  try {
    expect(attachToken(client as Client, provider, options)).toBe(client);
    return undefined;
  } catch (error) {
    expect(error).toBeInstanceOf(ClientProxyConfigurationError);
    return error as ClientProxyConfigurationError;
  }
};

describe('a client without protection of its connections', () => {
  test.each([
    ['TCP', () => new ClientTCP({ host: '10.0.0.7', port: 1 }), 'without TLS to tcp://10.0.0.7:1'],
    [
      'the second server',
      () => new ClientNats({ servers: ['localhost', '10.0.0.7'] }),
      'without TLS to nats://10.0.0.7',
    ],
    [
      'a host that takes precedence over the URL',
      () => new ClientMqtt({ url: 'mqtt://localhost', hostname: '10.0.0.7', protocolVersion: 5 }),
      'without TLS to mqtt://10.0.0.7',
    ],
    [
      'a server that sentinels choose, for which the client ignores TLS',
      () => new ClientRedis({ sentinels: [{ host: 'a.example', port: 1 }], tls: {} }),
      'without TLS to redis://a.example:1',
    ],
    [
      'TLS without verification',
      () => new ClientTCP({ host: 'localhost.example', port: 1, tlsOptions: { rejectUnauthorized: false } }),
      'over TLS that does not verify the server to tcp://localhost.example:1',
    ],
  ])('carries a token only if the option allows it: %s', (_name, make, message) => {
    const error = errorOf(make());
    expect(error).toMatchObject({ fault: 'transport_insecure', message: expect.stringContaining(message) });
    expect(errorOf(make(), { unsafeAllowInsecureTransport: true })).toBeUndefined();
  });

  it('carries a token on this machine, but not in production', () => {
    const { NODE_ENV } = process.env;
    expect(errorOf(new ClientTCP({ port: 1 }))).toBeUndefined();
    process.env.NODE_ENV = 'production';
    try {
      expect(errorOf(new ClientTCP({ port: 1 }))?.fault).toBe('transport_insecure');
      expect(errorOf(new ClientTCP({ port: 1 }), { unsafeAllowInsecureTransport: true })).toBeUndefined();
      expect(errorOf(new ClientTCP({ host: '10.0.0.7', port: 1, tlsOptions: {} }))).toBeUndefined();
    } finally {
      process.env.NODE_ENV = NODE_ENV;
    }
  });
});

const serializer = { serialize: (value: unknown) => value };

test.each<[string, () => object]>([
  ['TCP', () => new ClientTCP({ serializer })],
  ['NATS', () => new ClientNats({ serializer })],
  ['Kafka', () => new ClientKafka({ serializer })],
])('a client with a custom serializer carries a token only if the option confirms it: %s', (_name, make) => {
  expect(errorOf(make())?.fault).toBe('serializer_unknown');
  expect(errorOf(make(), { serializerKeepsHeaders: true })).toBeUndefined();
});

test.each<[string, object, boolean]>([
  ['headers', new ClientRMQ({ headers: { Authorization: 'own' } }), true],
  ['user properties', new ClientMqtt({ protocolVersion: 5, userProperties: { authorization: 'own' } }), true],
  ['other headers', new ClientRMQ({ headers: { 'x-own': 'own' } }), false],
])('a client whose options set a credential carries no token: %s', (_name, client, isPreset) => {
  expect(errorOf(client)?.fault).toBe(isPreset ? 'authorization_preset' : undefined);
});

test('a client carries one token: attaching it again has no effect, and another one is rejected', () => {
  const client = new ClientTCP({});
  attachToken(client, provider, { token: { scope: 'a' } });
  const { publish } = client as unknown as { publish: unknown };
  expect(errorOf(client, { token: { scope: 'a' } })).toBeUndefined();
  expect((client as unknown as { publish: unknown }).publish).toBe(publish);
  expect(errorOf(client)?.fault).toBe('attached_otherwise');
  expect(errorOf(client, { token: { scope: 'a' }, replay: false })?.message).toContain('client "fixed"');
  expect(() => attachToken(client, new FixedTokenProvider('a-token'), { token: { scope: 'a' } })).toThrow(
    ClientProxyConfigurationError,
  );
});

test('a client that is not Nest’s own carries no token', () => {
  expect(errorOf({})?.fault).toBe('transport_unknown');
});

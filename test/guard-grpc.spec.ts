import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import {
  type ClientDuplexStream,
  type ClientReadableStream,
  Metadata,
  type ServerDuplexStream,
  type ServerReadableStream,
  type ServiceError,
} from '@grpc/grpc-js';
import { Controller, type INestApplication } from '@nestjs/common';
import { GrpcMethod, GrpcStreamCall, GrpcStreamMethod, Payload, Transport } from '@nestjs/microservices';
import { Caller, CurrentCaller, type MachineCaller, Public, RequireScopes } from 'nestjs-identity-m2m';
import { map, type Observable, of } from 'rxjs';
import { freePort, GuardedMessages } from './support/guarded-messages.js';
import { MACHINES, machinesClient, type MachinesClient, type Text, type TextCallback } from './support/machines.js';
import { HTTP2_DATA, rawHttp2Request } from './support/raw-http2.js';

@Controller()
class Machines {
  constructor(private readonly callers: CurrentCaller) {}

  @GrpcMethod()
  unary(_text: Text, @Caller() caller: MachineCaller) {
    return this.#who(caller);
  }

  @GrpcMethod()
  serverStream(_text: Text, @Caller() caller: MachineCaller): Observable<Text> {
    return of(1, 2).pipe(map(() => this.#who(caller)));
  }

  @GrpcStreamMethod()
  streamMethod(@Payload() texts: Observable<Text>, @Caller() caller: MachineCaller): Observable<Text> {
    return texts.pipe(map(() => this.#who(caller)));
  }

  @GrpcStreamMethod()
  streamMethodToOne(@Payload() texts: Observable<Text>, @Caller() caller: MachineCaller): Observable<Text> {
    return texts.pipe(map(() => this.#who(caller)));
  }

  @GrpcStreamCall()
  streamCall(call: ServerDuplexStream<Text, Text>) {
    const caller = this.callers.get();
    call.on('data', () => call.write(this.#who(caller)));
    call.on('end', () => call.end());
  }

  @GrpcStreamCall()
  streamCallToOne(call: ServerReadableStream<Text, Text>, callback: (error: null, text: Text) => void) {
    const caller = this.callers.get();
    call.on('data', () => {});
    call.on('end', () => callback(null, this.#who(caller)));
  }

  @GrpcMethod()
  @RequireScopes('users.write')
  write() {
    return { text: 'written' };
  }

  @GrpcMethod()
  @Public()
  open(_text: Text, @Caller() caller: MachineCaller | undefined) {
    return this.#who(caller);
  }

  #who(caller: MachineCaller | undefined): Text {
    return { text: `${caller?.clientId ?? 'nobody'} ${this.callers.get()?.clientId ?? 'nobody'}` };
  }
}

describe('the guard on gRPC', () => {
  let messages: GuardedMessages;
  let app: INestApplication;
  let client: MachinesClient;
  let port: number;

  beforeAll(async () => {
    messages = await GuardedMessages.start();
    port = await freePort();
    const url = `127.0.0.1:${port}`;
    const server = { transport: Transport.GRPC, options: { url, ...MACHINES } } as const;
    app = await messages.hybrid([server], { controllers: [Machines] });
    client = machinesClient(url);
  });
  afterAll(async () => {
    client.close();
    await app.close();
    await messages.close();
  });
  beforeEach(() => {
    messages.events.length = 0;
  });

  const text = { text: 'x' };
  const one = (start: (callback: TextCallback) => unknown) =>
    new Promise<Text[]>((resolve, reject) => start((error, answer) => (error ? reject(error) : resolve([answer!]))));
  const many = (stream: ClientReadableStream<Text>) =>
    new Promise<Text[]>((resolve, reject) => {
      const answers: Text[] = [];
      stream.on('data', (answer: Text) => answers.push(answer));
      stream.on('error', reject);
      stream.on('end', () => resolve(answers));
    });
  const fed = <Stream extends ClientDuplexStream<Text, Text>>(stream: Stream): Stream => {
    stream.on('error', () => {});
    stream.write(text);
    stream.end();
    return stream;
  };

  const modes: readonly (readonly [string, (metadata: Metadata) => Promise<Text[]>, number])[] = [
    ['a unary call', (metadata) => one((callback) => client.unary(text, metadata, callback)), 1],
    ['a server stream', (metadata) => many(client.serverStream(text, metadata)), 2],
    ['@GrpcStreamMethod', (metadata) => many(fed(client.streamMethod(metadata))), 1],
    [
      '@GrpcStreamMethod of a client stream',
      (metadata) => one((callback) => fed(client.streamMethodToOne(metadata, callback))),
      1,
    ],
    ['@GrpcStreamCall', (metadata) => many(fed(client.streamCall(metadata))), 1],
    [
      '@GrpcStreamCall of a client stream',
      (metadata) => one((callback) => fed(client.streamCallToOne(metadata, callback))),
      1,
    ],
  ];

  const withAuthorization = (value: string) => {
    const metadata = new Metadata();
    metadata.set('authorization', value);
    return metadata;
  };

  describe.each(modes)('in %s', (_name, call, answers) => {
    const refused = (metadata: Metadata) =>
      call(metadata).then(
        () => Promise.reject(new Error('accepted')),
        (error: ServiceError) => error,
      );

    it('N1: allows a machine, without inheritAppConfig, and the handler knows its caller', async () => {
      const metadata = withAuthorization(`Bearer ${await messages.token()}`);
      // A handler that is given the bare call has no parameters for decorators.
      expect(await call(metadata)).toEqual(
        Array.from({ length: answers }, () => ({ text: 'provisioning provisioning' })),
      );
      expect(messages.events).toEqual([expect.objectContaining({ type: 'caller.accepted', transport: 'grpc' })]);
    });

    it('refuses with 16 and a challenge without a token', async () => {
      const { code, details, metadata } = await refused(new Metadata());
      expect([code, details]).toEqual([16, 'An access token is required.']);
      expect(metadata.get('www-authenticate')).toEqual(['Bearer']);
      expect(messages.events).toEqual([expect.objectContaining({ type: 'caller.refused', transport: 'grpc' })]);
    });

    it('refuses with 16 if the token is invalid, without details', async () => {
      const { code, details, metadata } = await refused(withAuthorization('Bearer e30.e30.AAAA'));
      expect([code, details]).toEqual([16, 'The access token is not valid here.']);
      expect(metadata.get('www-authenticate')).toEqual([
        'Bearer error="invalid_token", error_description="The access token is not valid here"',
      ]);
    });

    it('refuses with 3 anything but one well-formed token', async () => {
      expect((await refused(withAuthorization('Bearer a b'))).code).toBe(3);
    });

    it('refuses with 14 if it can’t decide', async () => {
      const { code, metadata } = await refused(withAuthorization(`Bearer ${await messages.undecidableToken()}`));
      expect(code).toBe(14);
      expect(metadata.get('www-authenticate')).toEqual([]);
      expect(Number(metadata.get('retry-after')[0])).toBeGreaterThan(0);
    });

    it('N13: keeps nothing of a caller for the next one', async () => {
      await call(withAuthorization(`Bearer ${await messages.token()}`));
      await refused(new Metadata());
      expect(await one((callback) => client.open(text, new Metadata(), callback))).toEqual([{ text: 'nobody nobody' }]);
    });
  });

  it('refuses with 7 if a scope is missing', async () => {
    const metadata = withAuthorization(`Bearer ${await messages.token()}`);
    await expect(one((callback) => client.write(text, metadata, callback))).rejects.toMatchObject({
      code: 7,
      details: 'The access token needs the scope: users.write.',
    });
  });

  it('N4: finds the token under a name in any case, but not in binary metadata', async () => {
    const token = await messages.token();
    const upper = new Metadata();
    upper.set('AUTHORIZATION', `Bearer ${token}`);
    expect(await one((callback) => client.unary(text, upper, callback))).toHaveLength(1);
    const binary = new Metadata();
    binary.set('authorization-bin', Buffer.from(`Bearer ${token}`));
    await expect(one((callback) => client.unary(text, binary, callback))).rejects.toMatchObject({ code: 16 });
  });

  it('N4: uses the first of two headers, because Node.js drops the other', async () => {
    const [good, other] = [`Bearer ${await messages.token()}`, 'Bearer e30.e30.AAAA'];
    expect(await answersRawCall(port, [other, good])).toBe(false);
    expect(await answersRawCall(port, [good, other])).toBe(true);
    expect(messages.events.map(({ type }) => type)).toEqual(['caller.refused', 'caller.accepted']);
  });
});

/** No client sends `authorization` twice, so the call is written by hand. Tells whether it was answered. */
async function answersRawCall(port: number, authorization: readonly string[]): Promise<boolean> {
  const fields = [
    [':path', '/machines.Machines/Unary'],
    ['content-type', 'application/grpc'],
    ['te', 'trailers'],
    ...authorization.map((value) => ['authorization', value] as const),
  ] as const;
  const frames = await rawHttp2Request(port, fields, Buffer.alloc(5));
  return frames.some(({ type, payload }) => type === HTTP2_DATA && payload.length > 0);
}

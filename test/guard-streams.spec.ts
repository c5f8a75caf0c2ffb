import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import {
  type ClientDuplexStream,
  Metadata,
  type ServerDuplexStream,
  type ServerReadableStream,
  type ServiceError,
} from '@grpc/grpc-js';
import { Controller, type INestApplication } from '@nestjs/common';
import { GrpcMethod, GrpcStreamCall, GrpcStreamMethod, Payload, ServerGrpc, Transport } from '@nestjs/microservices';
import { Caller, genericOAuth2, type MachineCaller, Public } from 'nestjs-identity-m2m';
import { defer, map, type Observable, of, ReplaySubject, Subject, tap, toArray } from 'rxjs';
import { ForgeableIssuer } from './support/forgeable-issuer.js';
import { eventually, freePort, GuardedMessages } from './support/guarded-messages.js';
import { json } from './support/http-server.js';
import { MACHINES, machinesClient, type MachinesClient, type Text } from './support/machines.js';

/** Messages that reached a handler. */
const received: string[] = [];
const joined = (texts: readonly Text[]) => ({ text: texts.map(({ text }) => text).join() });

@Controller()
class Machines {
  @GrpcStreamMethod()
  streamMethod(@Payload() texts: Observable<Text>, @Caller() _caller: MachineCaller): Observable<Text> {
    return texts.pipe(tap(({ text }) => received.push(text)));
  }

  @GrpcStreamMethod()
  streamMethodToOne(@Payload() texts: Observable<Text>): Observable<Text> {
    const one = texts.pipe(
      tap(({ text }) => received.push(text)),
      toArray(),
      map(joined),
    );
    return defer(() => one);
  }

  @GrpcStreamCall()
  streamCall(call: ServerDuplexStream<Text, Text>) {
    call.on('data', (text: Text) => {
      received.push(text.text);
      call.write(text);
    });
    call.on('end', () => call.end());
  }

  @GrpcStreamCall()
  streamCallToOne(call: ServerReadableStream<Text, Text>, callback: (error: null, text: Text) => void) {
    const texts: Text[] = [];
    call.on('data', (text: Text) => {
      received.push(text.text);
      texts.push(text);
    });
    call.on('end', () => callback(null, joined(texts)));
  }

  @GrpcMethod()
  @Public()
  open(): Observable<Text> {
    return of({ text: 'open' });
  }
}

/**
 * Nest's server as it was up to 12.0.3: what has been sent is forgotten where the stream ends before its handler is
 * called.
 */
class ForgetfulServer extends ServerGrpc {}
Object.defineProperty(ForgetfulServer.prototype, 'bufferUntilDrained', {
  value() {
    const subject = new Subject<unknown>();
    let buffer: ReplaySubject<unknown> | undefined = new ReplaySubject<unknown>();
    let hasDrained = false;
    const drainBuffer = () => {
      if (hasDrained || !buffer) return;
      hasDrained = true;
      setImmediate(() => {
        buffer!.subscribe(subject).unsubscribe();
        buffer = undefined;
      });
    };
    return {
      subject: { asObservable: () => Object.assign(subject.asObservable(), { drainBuffer }) },
      next(value: unknown) {
        if (!hasDrained) buffer!.next(value);
        subject.next(value);
      },
      error: (error: unknown) => subject.error(error),
      complete() {
        if (hasDrained) return subject.complete();
        buffer!.complete();
        buffer = undefined;
      },
    };
  },
});

type Mode = 'streamMethod' | 'streamCall' | 'streamMethodToOne' | 'streamCallToOne';
const MODES: readonly Mode[] = ['streamMethod', 'streamMethodToOne', 'streamCall', 'streamCallToOne'];

describe.each([
  ['Nest', ServerGrpc],
  ['Nest up to 12.0.3', ForgetfulServer],
])('a stream to a server of %s, on the first use of its token', (_name, serverClass) => {
  let messages: GuardedMessages;
  let issuer: ForgeableIssuer;
  let app: INestApplication;
  let client: MachinesClient;
  /** Lets the issuer answer whether a token is active. */
  let decide: (isActive: boolean) => void;
  let decision: Promise<boolean>;
  let asked = 0;

  beforeAll(async () => {
    [messages, issuer] = await Promise.all([GuardedMessages.start(), ForgeableIssuer.start()]);
    issuer.introspectionAnswer = async (...request) => {
      asked++;
      const active = await decision;
      const claims = { iss: issuer.url, aud: 'users-api', client_id: 'feeder', sub: 'feeder', exp: 4_000_000_000 };
      json(200, active ? { active, ...claims } : { active })(...request);
    };
    const url = `127.0.0.1:${await freePort()}`;
    const options = { url, ...MACHINES };
    const server = serverClass === ServerGrpc ? { transport: Transport.GRPC as const, options } : undefined;
    app = await messages.hybrid([server ?? { strategy: new serverClass(options) }], {
      controllers: [Machines],
      guard: {
        issuers: [genericOAuth2({ issuer: issuer.url })],
        introspection: [{ clientId: 'users-api', clientSecret: 'a secret of the guard' }],
      },
    });
    client = machinesClient(url);
  });
  afterAll(async () => {
    client.close();
    await app.close();
    await Promise.all([messages.close(), issuer.close()]);
  });
  beforeEach(() => {
    decision = new Promise((resolve) => {
      decide = resolve;
    });
    received.length = asked = 0;
  });
  afterEach(() => decide(false));

  let made = 0;
  /** Starts a call with a token that was never seen. */
  const call = (mode: Mode) => {
    const metadata = new Metadata();
    metadata.set('authorization', `Bearer opaque-${made++}`);
    const answers: string[] = [];
    let stream: ClientDuplexStream<Text, Text>;
    const answer = new Promise<string | ServiceError>((resolve) => {
      if (mode === 'streamMethodToOne' || mode === 'streamCallToOne') {
        stream = client[mode](metadata, (error, text) => resolve(error ?? text!.text));
        return;
      }
      stream = client[mode](metadata);
      stream.on('data', ({ text }: Text) => answers.push(text));
      stream.on('end', () => resolve(answers.join()));
      stream.on('error', resolve);
    });
    return { stream: stream!, answer };
  };
  /** What was sent before on the connection has arrived when this is answered. */
  const hasArrived = () =>
    new Promise<void>((resolve, reject) => {
      client.open({ text: '' }, new Metadata(), (error) => (error ? reject(error) : resolve()));
    });

  it.each(MODES)('host-5: loses none of two messages at once, in %s', async (mode) => {
    const { stream, answer } = call(mode);
    stream.write({ text: 'one' });
    stream.write({ text: 'two' });
    stream.end();
    await eventually(() => asked || undefined);
    await hasArrived();
    expect(received).toEqual([]);
    decide(true);
    expect(await answer).toBe('one,two');
    expect(received).toEqual(['one', 'two']);
  });

  it.each(MODES)('host-5: loses no later message, in %s', async (mode) => {
    const { stream, answer } = call(mode);
    stream.write({ text: 'one' });
    await eventually(() => asked || undefined);
    await hasArrived();
    decide(true);
    await eventually(() => received[0]);
    stream.write({ text: 'two' });
    stream.end();
    expect(await answer).toBe('one,two');
  });

  it.each(MODES)('host-5: delivers nothing if it is refused, in %s', async (mode) => {
    const { stream, answer } = call(mode);
    stream.write({ text: 'one' });
    stream.write({ text: 'two' });
    await eventually(() => asked || undefined);
    await hasArrived();
    decide(false);
    expect(await answer).toMatchObject({ code: 16 });
    await hasArrived();
    expect(received).toEqual([]);
  });

  it.each(MODES)('host-5: holds no more than flow control allows, and loses nothing, in %s', async (mode) => {
    const { stream, answer } = call(mode);
    const large = 'x'.repeat(10_000);
    let flushed = 0;
    for (let number = 0; number < 400; number++) stream.write({ text: `${number}${large}` }, () => flushed++);
    stream.end();
    await eventually(() => asked || undefined);
    for (let times = 0; times < 5; times++) await hasArrived();
    expect(flushed).toBeLessThan(200);
    decide(true);
    expect(typeof (await answer)).toBe('string');
    expect(received).toEqual(Array.from({ length: 400 }, (_, number) => `${number}${large}`));
  });

  it.each(MODES)('host-5: leaves nothing behind if the caller gives up, in %s', async (mode) => {
    const { stream, answer } = call(mode);
    stream.write({ text: 'one' });
    await eventually(() => asked || undefined);
    await hasArrived();
    stream.cancel();
    expect(await answer).toMatchObject({ code: 1 });
    decide(true);
    const next = call(mode);
    next.stream.end({ text: 'next' });
    expect(await next.answer).toBe('next');
  });
});

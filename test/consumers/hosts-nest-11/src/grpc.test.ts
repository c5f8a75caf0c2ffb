import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import {
  type Client,
  type ClientDuplexStream,
  credentials,
  loadPackageDefinition,
  Metadata,
  type ServiceError,
} from '@grpc/grpc-js';
import { loadSync } from '@grpc/proto-loader';
import { Controller, type INestApplication } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { GrpcMethod, GrpcStreamMethod, type MicroserviceOptions, Transport } from '@nestjs/microservices';
import { Public, RequireScopes } from 'nestjs-identity-m2m';
import { TestIssuer } from 'nestjs-identity-m2m/testing';
import { type Observable, tap } from 'rxjs';
import { bearer, guardedModule } from './guarded-app.js';

interface Thing {
  readonly name: string;
}
interface ThingsClient extends Client {
  each(metadata: Metadata): ClientDuplexStream<Thing, Thing>;
  open(thing: Thing, done: (error: ServiceError | null, answer?: Thing) => void): void;
}

const PROTO = join(__dirname, '..', 'things.proto');
const received: string[] = [];

@Controller()
class Things {
  @GrpcStreamMethod()
  @RequireScopes('things.read')
  each(things: Observable<Thing>): Observable<Thing> {
    return things.pipe(tap(({ name }) => received.push(name)));
  }

  @GrpcMethod()
  @Public()
  open(thing: Thing): Thing {
    return thing;
  }
}

/** gRPC servers of Nest don't tell which port they were given. */
async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}

describe('gRPC with Nest 11', () => {
  let issuer: TestIssuer;
  let app: INestApplication;
  let client: ThingsClient;
  before(async () => {
    issuer = await TestIssuer.start();
    const url = `127.0.0.1:${await freePort()}`;
    app = await NestFactory.create({ ...guardedModule(issuer), controllers: [Things] }, { logger: ['error', 'warn'] });
    app.connectMicroservice<MicroserviceOptions>({
      transport: Transport.GRPC,
      options: { package: 'things', protoPath: PROTO, url },
    });
    await app.startAllMicroservices();
    await app.init();
    const { things } = loadPackageDefinition(loadSync(PROTO)) as unknown as {
      things: { Things: new (...args: unknown[]) => ThingsClient };
    };
    client = new things.Things(url, credentials.createInsecure());
  });
  after(async () => {
    client.close();
    await app.close();
    await issuer.close();
  });

  /** Sends two messages and the end at once. */
  async function stream(authorization?: string): Promise<{ names: string[]; code?: number }> {
    const metadata = new Metadata();
    if (authorization !== undefined) metadata.set('authorization', authorization);
    const call = client.each(metadata);
    const names: string[] = [];
    call.on('data', ({ name }: Thing) => names.push(name));
    const ended = new Promise<number | undefined>((resolve) => {
      call.on('error', ({ code }: ServiceError) => resolve(code));
      call.on('end', () => resolve(undefined));
    });
    call.write({ name: 'one' });
    call.write({ name: 'two' });
    call.end();
    const code = await ended;
    return code === undefined ? { names } : { names, code };
  }

  test('host-5: no message of a stream is lost at the first use of a token', async () => {
    for (let times = 0; times < 3; times++) {
      assert.deepEqual(await stream(await bearer(issuer)), { names: ['one', 'two'] });
    }
  });

  test('host-5: nothing of a refused stream reaches its handler', async () => {
    received.length = 0;
    assert.deepEqual(await stream(), { names: [], code: 16 });
    assert.deepEqual(await stream(await bearer(issuer, [])), { names: [], code: 7 });
    assert.deepEqual(received, []);
  });

  test('host-5: a public handler answers without a token', async () => {
    const answer = new Promise((resolve) =>
      client.open({ name: 'one' }, (error, thing) => resolve(error ?? thing?.name)),
    );
    assert.equal(await answer, 'one');
  });
});

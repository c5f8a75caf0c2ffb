import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';
import { Controller, type DynamicModule, type INestApplication } from '@nestjs/common';
import {
  EventPattern,
  MessagePattern,
  type MicroserviceOptions,
  Payload,
  Server,
  TcpContext,
} from '@nestjs/microservices';
import { Test, type TestingModuleBuilder } from '@nestjs/testing';
import {
  Caller,
  CurrentCaller,
  genericOAuth2,
  type GuardOptions,
  IdentityM2MModule,
  AccessDecisions,
  type InboundEvent,
  type MachineCaller,
  Public,
  RequireScopes,
} from 'nestjs-identity-m2m';
import { defer, lastValueFrom } from 'rxjs';
import { TestIssuer } from 'nestjs-identity-m2m/testing';

/** No two runs of these tests meet on a broker. */
const run = randomBytes(4).toString('hex');
export const topic = (name: string) => `guard-${run}.${name}`;

/** A transport in this process. */
export class MemoryStrategy extends Server {
  listen(started: () => void): void {
    started();
  }
  close(): void {}
  on(): void {}
  unwrap(): never {
    throw new Error('there is nothing below');
  }
  async deliver(pattern: string, ...args: unknown[]): Promise<unknown> {
    const handler = this.getHandlerByPattern(topic(pattern)) as unknown as (...args: unknown[]) => unknown;
    return lastValueFrom(this.transformToObservable(await handler(...args)) as never, { defaultValue: 'nothing' });
  }
}

/** The context of a message by TCP, with a credential in its metadata or none. */
export const tcpContext = (authorization?: string) =>
  new TcpContext([{} as never, 'pattern', authorization === undefined ? undefined : { authorization }] as never);

/** A text, for Nest; said to be one, its type would allow handlers no parameters of other types. */
const NOTED: unknown = topic('noted');

/** Events that reached a handler, in order. */
export const noted: { readonly data: unknown; readonly clientId: string | undefined }[] = [];

@Controller()
export class Messages {
  constructor(private readonly callers: CurrentCaller) {}

  @MessagePattern(topic('whoami'))
  whoami(@Payload() data: unknown, @Caller() caller: MachineCaller | undefined) {
    const found = [caller?.clientId, this.callers.get()?.clientId];
    // Subscribers come after the handler has returned.
    return defer(() => Promise.resolve({ data, callers: [...found, this.callers.get()?.clientId] }));
  }

  @MessagePattern(topic('write'))
  @RequireScopes('users.write')
  write() {
    return 'written';
  }

  @MessagePattern(topic('open'))
  @Public()
  open(@Caller() caller: MachineCaller | undefined) {
    return { callers: [caller ?? null, this.callers.get() ?? null] };
  }

  @EventPattern(NOTED)
  note(@Payload() data: unknown, @Caller() caller: MachineCaller | undefined) {
    noted.push({ data, clientId: caller?.clientId });
  }
}

/** An application with a guard everywhere, the issuers that it trusts, and what its guard says. */
export class GuardedMessages {
  readonly events: InboundEvent[] = [];

  private constructor(
    readonly issuer: TestIssuer,
    /** Trusted, and never there. */
    readonly deadIssuer: TestIssuer,
  ) {}

  static async start(): Promise<GuardedMessages> {
    const [issuer, deadIssuer] = await Promise.all([TestIssuer.start(), TestIssuer.start()]);
    deadIssuer.outage = 500;
    return new GuardedMessages(issuer, deadIssuer);
  }

  guardModule(guard: Partial<GuardOptions> = {}, globalGuard = true): DynamicModule {
    return IdentityM2MModule.forRoot({
      guard: {
        issuers: [genericOAuth2({ issuer: this.issuer.url }), genericOAuth2({ issuer: this.deadIssuer.url })],
        audience: 'users-api',
        ...guard,
      },
      globalGuard,
    });
  }

  module(controllers: NonNullable<DynamicModule['controllers']>, guard?: Partial<GuardOptions>): TestingModuleBuilder {
    return Test.createTestingModule({ imports: [this.guardModule(guard)], controllers });
  }

  /** With microservices of their own configuration: they inherit nothing from the application. */
  async hybrid(
    microservices: readonly MicroserviceOptions[],
    {
      controllers = [Messages],
      guard,
      inheritAppConfig = false,
    }: {
      readonly controllers?: NonNullable<DynamicModule['controllers']>;
      readonly guard?: Partial<GuardOptions>;
      readonly inheritAppConfig?: boolean;
    } = {},
  ): Promise<INestApplication> {
    const module = await this.module(controllers, guard).compile();
    const app = module.createNestApplication();
    app.useLogger(false);
    for (const each of microservices) app.connectMicroservice(each, { inheritAppConfig });
    module.get(AccessDecisions).events.subscribe((event) => this.events.push(event));
    await app.startAllMicroservices();
    await app.init();
    return app;
  }

  token(more: Record<string, unknown> = {}): Promise<string> {
    return this.#signedBy(this.issuer, more);
  }

  /** Of the issuer whose keys can't be had. */
  undecidableToken(): Promise<string> {
    return this.#signedBy(this.deadIssuer, {});
  }

  async close(): Promise<void> {
    await Promise.all([this.issuer.close(), this.deadIssuer.close()]);
  }

  #signedBy(issuer: TestIssuer, more: Record<string, unknown>): Promise<string> {
    const now = Math.floor(Date.now() / 1000);
    return issuer.sign({
      iss: issuer.url,
      aud: 'users-api',
      sub: 'provisioning',
      client_id: 'provisioning',
      scope: 'users.read',
      iat: now,
      exp: now + 300,
      ...more,
    });
  }
}

/** For servers that do not tell which port they were given. */
export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}

/** Waits for something that another process brings about. */
export async function eventually<Value>(find: () => Value | undefined | Promise<Value | undefined>): Promise<Value> {
  const end = performance.now() + 5000;
  for (;;) {
    const value = await find();
    if (value !== undefined) return value;
    if (performance.now() > end) throw new Error('it did not happen within 5 s');
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

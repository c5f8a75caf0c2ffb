import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import {
  type ArgumentsHost,
  Catch,
  type ExceptionFilter,
  ForbiddenException,
  HttpException,
  type INestApplication,
  Injectable,
  Module,
  ServiceUnavailableException,
  UnauthorizedException,
} from '@nestjs/common';
import { APP_FILTER, ExternalContextCreator } from '@nestjs/core';
import { Test } from '@nestjs/testing';
import {
  Caller,
  type CredentialExtractor,
  type GuardOptions,
  AccessDecisions,
  type MachineCaller,
  Public,
  RequireScopes,
} from 'nestjs-identity-m2m';
import { GuardedMessages } from './support/guarded-messages.js';

/** What a broker's library hands over beside the payload. */
class RawMessage {
  constructor(readonly properties: { readonly headers: Record<string, unknown> }) {}
}
class DerivedMessage extends RawMessage {}

const ARGUMENTS = '__routeArguments__';

/** Says that a parameter is the payload, as such libraries have decorators for. */
const FromPayload: ParameterDecorator = (target, method, index) => {
  const present = (Reflect.getMetadata(ARGUMENTS, target.constructor, method!) ?? {}) as object;
  Reflect.defineMetadata(ARGUMENTS, { ...present, [`3:${index}`]: { index, pipes: [] } }, target.constructor, method!);
};

@Injectable()
class Handlers {
  readonly handled: unknown[][] = [];

  onMsg(...args: unknown[]) {
    this.handled.push(args);
    return 'handled';
  }

  who(@FromPayload payload: unknown, @Caller() caller: MachineCaller | undefined) {
    return [payload, caller?.clientId];
  }

  @RequireScopes('admin')
  admin() {
    return 'admin';
  }

  @Public()
  open(@FromPayload payload: unknown, @Caller() caller: MachineCaller | undefined) {
    return [payload, caller?.clientId];
  }
}

@Catch(UnauthorizedException)
class Settling implements ExceptionFilter {
  catch(exception: HttpException, _host: ArgumentsHost) {
    return { settled: exception.getResponse() };
  }
}

@Module({ providers: [Handlers] })
class Consumers {}

type Method = 'onMsg' | 'who' | 'admin' | 'open';
type Handler = (...args: unknown[]) => Promise<unknown>;

const extractor: CredentialExtractor<RawMessage> = {
  transport: 'golevelup',
  context: RawMessage,
  authorization: ({ properties }) => [properties.headers.authorization].filter((value) => value !== undefined),
};

let guarded: GuardedMessages;
let bearer: string;
beforeAll(async () => {
  guarded = await GuardedMessages.start();
  bearer = `Bearer ${await guarded.token()}`;
});
afterAll(() => guarded.close());

let app: INestApplication;
beforeEach(() => {
  guarded.events.length = 0;
});
afterEach(() => app.close());

async function start(guard: Partial<GuardOptions> = { extractors: [extractor] }, filters: object[] = []) {
  const module = await Test.createTestingModule({
    imports: [guarded.guardModule(guard), Consumers],
    providers: filters as never,
  }).compile();
  app = module.createNestApplication();
  app.useLogger(false);
  await app.init();
  module.get(AccessDecisions).events.subscribe((event) => guarded.events.push(event));
}

const paramsFactory = {
  exchangeKeyForValue: (type: number, _data: unknown, args: readonly unknown[]) => args[type - 3],
};
const handlers = () => app.get(Handlers);

/** A handler as it is called through Nest by a library that hands over its methods as they are. */
function called(
  method: Method,
  type = 'rmq',
  options = { guards: true, interceptors: false, filters: false },
): Handler {
  const instance = handlers();
  return app
    .get(ExternalContextCreator)
    .create(
      instance,
      instance[method] as unknown as Handler,
      method,
      ARGUMENTS,
      paramsFactory,
      undefined,
      undefined,
      options,
      type as never,
    );
}

/** A handler as `@golevelup/nestjs-rabbitmq` makes it: bound, with a copy of the method's metadata. */
function bound(method: Method): Handler {
  const instance = handlers();
  const original = instance[method] as unknown as Handler;
  const handler = original.bind(instance);
  for (const key of Reflect.getMetadataKeys(original)) {
    Reflect.defineMetadata(key, Reflect.getMetadata(key, original), handler);
  }
  const args = [instance, handler, method, ARGUMENTS, paramsFactory, undefined, undefined, undefined, 'rmq'] as const;
  return app.get(ExternalContextCreator).create(...(args as unknown as [never, never, never]));
}

const raw = (authorization?: unknown) =>
  new RawMessage({ headers: authorization === undefined ? {} : { authorization } });
const outcome = (call: Promise<unknown>) =>
  call.then(
    (answer) => answer,
    (error: unknown) => (error instanceof HttpException ? error.getStatus() : error),
  );

describe('a handler that a library calls through ExternalContextCreator', () => {
  it('in-F16: runs if the extractor finds a valid token', async () => {
    await start();
    const message = raw(bearer);
    expect(await called('onMsg')({ a: 1 }, message)).toBe('handled');
    expect(handlers().handled).toEqual([[{ a: 1 }, message]]);
    expect(guarded.events).toEqual([
      expect.objectContaining({ type: 'caller.accepted', transport: 'golevelup', clientId: 'provisioning' }),
    ]);
  });

  it('in-F16: runs as it is called by @golevelup/nestjs-rabbitmq, and knows its caller', async () => {
    await start();
    expect(await bound('onMsg')({ a: 1 }, raw(bearer), {})).toBe('handled');
    expect(await bound('who')({ a: 1 }, new DerivedMessage({ headers: { authorization: bearer } }), {})).toEqual([
      { a: 1 },
      'provisioning',
    ]);
    expect(await bound('open')({ a: 1 }, raw(bearer), {})).toEqual([{ a: 1 }, undefined]);
    expect(await outcome(bound('admin')({}, raw(bearer), {}))).toBe(403);
    const admin = `Bearer ${await guarded.token({ scope: 'admin' })}`;
    expect(await bound('admin')({}, raw(admin), {})).toBe('admin');
  });

  it('in-F16: is read by Symbol.hasInstance if the message is a plain object', async () => {
    class ConsumeMessage {
      readonly properties!: { readonly headers?: Readonly<Record<string, unknown>> };

      static readonly [Symbol.hasInstance] = (value: unknown): boolean =>
        typeof value === 'object' && value !== null && 'fields' in value && 'properties' in value;
    }
    const golevelup: CredentialExtractor<ConsumeMessage> = {
      transport: 'golevelup',
      context: ConsumeMessage,
      authorization: ({ properties }) =>
        Object.entries(properties.headers ?? {})
          .filter(([name]) => name.toLowerCase() === 'authorization')
          .map(([, value]) => value),
    };
    await start({ extractors: [golevelup] });
    const message = (authorization: unknown) => ({ fields: {}, properties: { headers: { authorization } } });
    expect(await bound('onMsg')({}, message(bearer), {})).toBe('handled');
    const twice = { fields: {}, properties: { headers: { authorization: bearer, Authorization: bearer } } };
    expect(await outcome(bound('onMsg')({}, twice, {}))).toBe(400);
    // A batch of messages is none.
    expect(await outcome(bound('onMsg')([{}], [message(bearer)], [{}]))).toBe(403);
    expect(await outcome(bound('onMsg')(message(bearer), {}, {}))).toBe(403);
  });

  it.each<[string, () => unknown[], number]>([
    ['without a token', () => [{}, raw()], 401],
    ['with a token that is not valid', () => [{}, raw('Bearer e30.e30.AAAA')], 401],
    ['with another scheme', () => [{}, raw('Basic eDp4')], 401],
    ['with two tokens in one', () => [{}, raw(`${bearer}, ${bearer}`)], 400],
    ['with a list', () => [{}, raw([bearer])], 400],
    ['with the message as the payload', () => [raw(bearer)], 403],
    ['with the message as the payload, and something else beside it', () => [raw(bearer), {}], 403],
    ['with the message in the third place', () => [{}, {}, raw(bearer)], 403],
    ['with an object that looks like the message', () => [{}, { properties: raw(bearer).properties }], 403],
    ['with a request as the payload', () => [{ headers: { authorization: bearer } }, {}], 403],
    ['without arguments', () => [], 403],
  ])('in-F16, N2: is not called %s', async (_name, args, status) => {
    await start();
    for (const type of ['rmq', 'http', 'anything']) {
      expect(await outcome(called('onMsg', type)(...args()))).toBe(status);
    }
    expect(handlers().handled).toEqual([]);
  });

  it.each(['ws', 'graphql'])('in-F16, N2: is not read by an extractor in a context of type %s', async (type) => {
    await start();
    expect(await outcome(called('onMsg', type)({}, raw(bearer)))).toBe(403);
    expect(guarded.events).toEqual([expect.objectContaining({ transport: 'unknown', reason: 'transport_unknown' })]);
  });

  it.each<[string, readonly CredentialExtractor[], number]>([
    ['without an extractor', [], 403],
    [
      'with two that know its message',
      [extractor, { ...extractor, transport: 'other', context: RawMessage }] as never,
      403,
    ],
    ['with one of its class and one of its base', [extractor, { ...extractor, context: DerivedMessage }] as never, 403],
    [
      'with one that throws',
      [
        {
          ...extractor,
          authorization: () => {
            throw new Error('broken');
          },
        },
      ] as never,
      400,
    ],
    ['with one that finds no list', [{ ...extractor, authorization: () => undefined }] as never, 400],
    ['with one that finds two', [{ ...extractor, authorization: () => [bearer, bearer] }] as never, 400],
  ])('in-F16, N2: is not called %s', async (_name, extractors, status) => {
    await start({ extractors });
    const message = new DerivedMessage({ headers: { authorization: bearer } });
    expect(await outcome(called('onMsg')({}, message))).toBe(status);
    expect(handlers().handled).toEqual([]);
  });

  it('in-F18: is refused with exceptions of Nest, so that its filters can settle the message', async () => {
    await start({ extractors: [extractor] }, [{ provide: APP_FILTER, useClass: Settling }]);
    const refused = bound('onMsg');
    expect(await refused({}, raw(), {})).toEqual({
      settled: { statusCode: 401, error: 'unauthorized', message: 'An access token is required.' },
    });
    await expect(bound('admin')({}, raw(bearer), {})).rejects.toThrow(ForbiddenException);
    const undecidable = raw(`Bearer ${await guarded.undecidableToken()}`);
    await expect(refused({}, undecidable, {})).rejects.toThrow(ServiceUnavailableException);
  });
});

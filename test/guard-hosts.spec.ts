import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import {
  type ArgumentsHost,
  BadRequestException,
  type CanActivate,
  Catch,
  ConsoleLogger,
  Controller,
  type DynamicModule,
  type ExceptionFilter,
  ForbiddenException,
  Get,
  HttpException,
  type INestApplication,
  type LogLevel,
  Logger,
  type LoggerService,
  Post,
  Scope,
  ServiceUnavailableException,
  UnauthorizedException,
} from '@nestjs/common';
import { APP_FILTER, APP_GUARD } from '@nestjs/core';
import { ExecutionContextHost } from '@nestjs/core/helpers/execution-context-host.js';
import { RouterExecutionContext } from '@nestjs/core/router/router-execution-context.js';
import { FastifyAdapter } from '@nestjs/platform-fastify';
import { configure as serverlessExpress } from '@vendia/serverless-express';
import {
  Caller,
  IdentityM2MConfigurationError,
  M2MAuthGuard,
  type MachineCaller,
  Public,
  RequireScopes,
} from 'nestjs-identity-m2m';
import serverless from 'serverless-http';
import request from 'supertest';
import { GuardedMessages } from './support/guarded-messages.js';
import { recordingLogger } from './support/recorded-log.js';

let guarded: GuardedMessages;
let bearer: string;
beforeAll(async () => {
  guarded = await GuardedMessages.start();
  bearer = `Bearer ${await guarded.token()}`;
});
afterAll(() => guarded.close());

const closing: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0).toReversed()) await close();
});

/** What was written into the log, level by level. */
let log: { level: string; line: string }[];
const logger = recordingLogger((level, line) => log.push({ level, line }));
beforeEach(() => {
  log = [];
});
afterAll(() => Logger.overrideLogger(false));

@Controller()
class Routes {
  @Get('x')
  any(@Caller() caller: MachineCaller) {
    return { clientId: caller.clientId };
  }

  @Post('form')
  form() {
    return 'form';
  }

  @Get('admin')
  @RequireScopes('admin')
  admin() {
    return 'admin';
  }

  @Get('open')
  @Public()
  open() {
    return 'open';
  }
}

async function start(
  options: Parameters<GuardedMessages['guardModule']>[0] = {},
  {
    controllers = [Routes],
    providers = [],
    imports = [],
    fastify = false,
    globalGuard = true,
    prepare = () => {},
  }: Pick<DynamicModule, 'controllers' | 'providers' | 'imports'> & {
    readonly fastify?: boolean;
    readonly globalGuard?: boolean;
    readonly prepare?: (app: INestApplication) => void;
  } = {},
): Promise<INestApplication> {
  const { Test } = await import('@nestjs/testing');
  const module = await Test.createTestingModule({
    imports: [guarded.guardModule(options, globalGuard), ...imports],
    controllers,
    providers,
  }).compile();
  const app = fastify ? module.createNestApplication(new FastifyAdapter()) : module.createNestApplication();
  app.useLogger(logger);
  prepare(app);
  await app.init();
  closing.push(() => app.close());
  return app;
}

describe('the reasons of refusals in the log', () => {
  const written: string[] = [];
  const write = process.stdout.write.bind(process.stdout);
  const defaultLogger = Reflect.get(Logger, 'staticInstanceRef') as LoggerService;
  beforeEach(() => {
    written.length = 0;
    Reflect.set(Logger, 'logLevels', undefined);
    process.stdout.write = (text: unknown) => written.push(String(text)) > 0;
  });
  afterEach(() => {
    process.stdout.write = write;
    Reflect.set(Logger, 'logLevels', undefined);
  });

  const kept: string[] = [];
  const note = (line: string) => void kept.push(line);
  const withDebug: LoggerService = { log: note, warn: note, error: note, debug: note };
  const withoutDebug: LoggerService = { log: note, warn: note, error: note };

  it.each<[string, LoggerService | LogLevel[] | false, number]>([
    ['by default', defaultLogger, 1],
    ['with a list of levels that has debug', ['error', 'debug'], 1],
    ['with a list of levels that has not', ['error', 'warn', 'log'], 0],
    ['with a console logger of some levels', new ConsoleLogger({ logLevels: ['debug'] }), 1],
    ['with a logger of the application', withDebug, 1],
    ['with one that has no such level', withoutDebug, 0],
    ['not at all without a logger', false, 0],
  ])('host-2: appear %s, without a line for accepted calls', async (_name, useLogger, lines) => {
    const prepare = (made: INestApplication) => {
      // Tests have a logger of their own, whose levels a list would be for.
      Logger.overrideLogger(defaultLogger);
      made.useLogger(useLogger);
    };
    const app = await start({}, { prepare });
    // Keys are read with the first token.
    await status(app, '/x', bearer);
    kept.length = written.length = 0;
    for (let times = 0; times < 3; times++) expect(await status(app, '/x', bearer)).toBe(200);
    expect([...written, ...kept]).toEqual([]);
    expect(await status(app, '/x')).toBe(401);
    const found = [...written, ...kept].filter((line) =>
      line.includes('guard refused HTTP GET /x: credential_missing'),
    );
    expect(found).toHaveLength(lines);
  });
});

const status = async (app: INestApplication, path: string, authorization?: string) =>
  (
    await request(app.getHttpServer())
      .get(path)
      .set(authorization === undefined ? {} : { authorization })
  ).status;

type AnyFunction = (this: unknown, ...args: unknown[]) => unknown;

/** Calls handlers through a function of its own, as OpenTelemetry's and Sentry's instrumentations of Nest 11 do. */
function instrumentation({ copiesMetadata, copiesName = true }: { copiesMetadata: boolean; copiesName?: boolean }) {
  const { create } = RouterExecutionContext.prototype as unknown as { create: AnyFunction };
  RouterExecutionContext.prototype.create = function (this: unknown, ...args: [object, AnyFunction, ...unknown[]]) {
    const [, handler] = args;
    const wrapper: AnyFunction = function (...own) {
      return handler.apply(this, own);
    };
    if (copiesName) Object.defineProperty(wrapper, 'name', { value: handler.name });
    if (copiesMetadata) {
      for (const key of Reflect.getMetadataKeys(handler)) {
        Reflect.defineMetadata(key, Reflect.getMetadata(key, handler), wrapper);
      }
    }
    return create.apply(this, [args[0], wrapper, ...args.slice(2)]);
  } as never;
  closing.push(() => {
    RouterExecutionContext.prototype.create = create as never;
  });
}

@Controller({ path: 'per-request', scope: Scope.REQUEST })
class PerRequest {
  @Get()
  @RequireScopes('admin')
  get() {
    return 'per request';
  }
}

class Base {
  @Get('inherited')
  @RequireScopes('admin')
  inherited() {
    return 'inherited';
  }

  @Get('overridden')
  @RequireScopes('admin')
  overridden() {
    return 'base';
  }
}

@Controller('derived')
class Derived extends Base {
  @Get('overridden')
  override overridden() {
    return 'derived';
  }
}

/** A second controller with the same methods, which are two handlers each. */
@Controller('sibling')
class Sibling extends Base {}

describe('handlers wrapped by an instrumentation', () => {
  const controllers = [Routes, PerRequest, Derived, Sibling];

  it.each([
    ['once', true, 1],
    ['without their names', false, 1],
    ['twice', true, 2],
  ])('host-1: keep their rules, wrapped %s', async (_name, copiesName, times) => {
    for (let time = 0; time < times; time++) instrumentation({ copiesMetadata: true, copiesName });
    const app = await start({}, { controllers });
    const admin = `Bearer ${await guarded.token({ scope: 'admin' })}`;
    expect([await status(app, '/x'), await status(app, '/x', bearer)]).toEqual([401, 200]);
    expect(await status(app, '/open')).toBe(200);
    for (const path of [
      '/admin',
      '/per-request',
      '/derived/inherited',
      '/derived/overridden',
      '/sibling/inherited',
      '/sibling/overridden',
    ]) {
      expect([await status(app, path, bearer), await status(app, path, admin)]).toEqual([403, 200]);
    }
    expect(log.filter(({ level }) => level === 'error')).toEqual([]);
  });

  it('host-1: know their callers', async () => {
    instrumentation({ copiesMetadata: true });
    const app = await start();
    const { body } = await request(app.getHttpServer()).get('/x').set({ authorization: bearer });
    expect(body).toEqual({ clientId: 'provisioning' });
  });

  it('host-1: are refused if the wrapper copies no metadata, with one error per handler in the log', async () => {
    instrumentation({ copiesMetadata: false });
    const otherGuard = { provide: APP_GUARD, useValue: { canActivate: () => true } satisfies CanActivate };
    for (const providers of [[], [otherGuard]]) {
      log.length = 0;
      const app = await start({}, { controllers, providers });
      for (let times = 0; times < 3; times++) {
        for (const path of ['/x', '/open', '/per-request']) expect(await status(app, path, bearer)).toBe(403);
      }
      expect(log.filter(({ level }) => level === 'error').map(({ line }) => line)).toEqual([
        expect.stringContaining('guard refuses every call of Routes.any:'),
        expect.stringContaining('guard refuses every call of Routes.open:'),
        expect.stringContaining('guard refuses every call of PerRequest.get:'),
      ]);
    }
  });

  it('host-1: are refused if the wrapper has the metadata of another class', async () => {
    const method = methodOf(PerRequest, 'get');
    const stranger = Object.defineProperty(() => 'stranger', 'name', { value: 'any' });
    for (const key of Reflect.getMetadataKeys(method)) {
      Reflect.defineMetadata(key, Reflect.getMetadata(key, method), stranger);
    }
    const app = await start({}, { controllers });
    const context = new ExecutionContextHost([{ headers: { authorization: bearer } }, {}], Routes, stranger);
    await expect(decide(app, context)).rejects.toThrow(ForbiddenException);
  });

  it('host-1: keep their rules if the method is replaced after routes were created', async () => {
    @Controller('late')
    class Late {
      @Get()
      @RequireScopes('admin')
      get() {
        return 'late';
      }
    }
    const app = await start({}, { controllers: [Late] });
    Late.prototype.get = () => 'replaced';
    expect(await status(app, '/late', bearer)).toBe(403);
    expect(await status(app, '/late', `Bearer ${await guarded.token({ scope: 'admin' })}`)).toBe(200);
  });
});

const methodOf = (ofClass: { readonly prototype: object }, name: string) =>
  Reflect.get(ofClass.prototype, name) as AnyFunction;

const decide = async (app: INestApplication, context: ExecutionContextHost) =>
  app.get(M2MAuthGuard, { strict: false }).canActivate(context);

/** An event of API Gateway, in either of its forms. */
const gatewayEvent = (headers: Record<string, string>, path = '/x', version: '1.0' | '2.0' = '2.0') =>
  version === '2.0'
    ? {
        version,
        rawPath: path,
        rawQueryString: '',
        headers,
        requestContext: { http: { method: 'GET', path, sourceIp: '127.0.0.1' }, stage: '$default' },
        isBase64Encoded: false,
        body: '',
      }
    : {
        version,
        resource: '/{proxy+}',
        path,
        httpMethod: 'GET',
        headers,
        multiValueHeaders: Object.fromEntries(Object.entries(headers).map(([name, value]) => [name, [value]])),
        queryStringParameters: null,
        multiValueQueryStringParameters: null,
        requestContext: { identity: { sourceIp: '127.0.0.1' }, stage: 'dev', resourcePath: '/{proxy+}' },
        isBase64Encoded: false,
        body: '',
      };

interface LambdaAnswer {
  readonly statusCode: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}
type Lambda = (event: object) => Promise<LambdaAnswer>;

/** Each makes a function for AWS Lambda of an application. */
const hosts: readonly (readonly [string, (app: INestApplication) => Lambda])[] = [
  [
    'serverless-http',
    (app) => {
      const handler = serverless(app.getHttpAdapter().getInstance());
      return async (event) => (await handler(event, {})) as LambdaAnswer;
    },
  ],
  [
    '@vendia/serverless-express',
    (app) => {
      const handler = serverlessExpress({ app: app.getHttpAdapter().getInstance() as never });
      return async (event) =>
        (await (handler as unknown as (...args: unknown[]) => Promise<unknown>)(event, {}, () => {})) as LambdaAnswer;
    },
  ],
];

describe.each(hosts)('a request by %s', (_name, lambdaOf) => {
  let call: Lambda;

  beforeAll(async () => {
    call = lambdaOf(await start());
    // The application serves all tests of this block.
    kept.push(...closing.splice(0));
  });
  const kept: (() => unknown)[] = [];
  afterAll(async () => {
    for (const close of kept) await close();
  });

  it.each(['1.0', '2.0'] as const)('in-F1: is allowed with its token, in format %s', async (version) => {
    const { statusCode, body } = await call(gatewayEvent({ authorization: bearer }, '/x', version));
    expect([statusCode, JSON.parse(body)]).toEqual([200, { clientId: 'provisioning' }]);
    expect((await call(gatewayEvent({ Authorization: bearer }, '/x', version))).statusCode).toBe(200);
  });

  it.each([
    ['without a token', () => ({}), 401],
    ['with another scheme', () => ({ authorization: 'Basic eDp4' }), 401],
    ['with a token that is not valid', () => ({ authorization: 'Bearer e30.e30.AAAA' }), 401],
    ['with two tokens, joined by a comma', () => ({ authorization: `${bearer},${bearer}` }), 400],
  ])('in-F1: is refused %s', async (_case, headers, expected) => {
    const { statusCode } = await call(gatewayEvent(headers()));
    expect(statusCode).toBe(expected);
  });

  it('in-F1: gets the challenge', async () => {
    const answer = await call(gatewayEvent({}));
    expect(answer.headers).toMatchObject({ 'www-authenticate': 'Bearer', 'cache-control': 'no-store' });
  });
});

describe('a request without a socket', () => {
  const handler = methodOf(Routes, 'any');
  let app: INestApplication;
  beforeEach(async () => {
    app = await start();
  });
  const outcome = (made: unknown, response: unknown = {}) =>
    decide(app, new ExecutionContextHost([made, response], Routes, handler)).catch((error: HttpException) =>
      error.getStatus(),
    );

  it.each<[string, (good: string) => unknown, true | number]>([
    ['a token', (good) => ({ headers: { authorization: good } }), true],
    ['a name in capitals', (good) => ({ headers: { AUTHORIZATION: good } }), true],
    ['an empty list of raw headers', (good) => ({ rawHeaders: [], headers: { authorization: good } }), true],
    ['the message inside', (good) => ({ raw: { headers: { authorization: good } } }), true],
    ['two spellings', (good) => ({ headers: { authorization: good, Authorization: good } }), 400],
    ['two spellings, one of them null', (good) => ({ headers: { authorization: good, Authorization: null } }), true],
    ['a list of two', (good) => ({ headers: { authorization: [good, good] } }), 400],
    ['a list of one', (good) => ({ headers: { authorization: [good] } }), 400],
    ['a comma', (good) => ({ headers: { authorization: `${good}, Basic eDp4` } }), 400],
    ['another credential before it', (good) => ({ headers: { authorization: `Basic eDp4, ${good}` } }), 400],
    ['a number', () => ({ headers: { authorization: 7 } }), 400],
    ['an inherited header', (good) => ({ headers: Object.create({ authorization: good }) as object }), 401],
    ['no headers', () => ({}), 401],
    ['headers of null', () => ({ headers: null }), 401],
    ['a token in the query too', (good) => ({ url: '/?access_token=x', headers: { authorization: good } }), 400],
    [
      'a token in a form too',
      (good) => ({
        headers: { authorization: good, 'Content-Type': 'application/x-www-form-urlencoded' },
        body: { access_token: 'x' },
      }),
      400,
    ],
    [
      'raw headers that say otherwise',
      (good) => ({ rawHeaders: ['Host', 'x'], headers: { authorization: good } }),
      401,
    ],
    ['a token in its body', (good) => ({ body: { authorization: good, headers: { authorization: good } } }), 401],
    ['nothing', () => undefined, 401],
    ['a text for a request', () => 'GET /', 401],
  ])('in-F4: is decided: with %s', async (_name, made, expected) => {
    expect(await outcome(made(bearer))).toBe(expected);
  });

  it('in-F4: is refused without a response to write to, and without a class', async () => {
    expect(await outcome({ headers: {} }, undefined)).toBe(401);
    const context = new ExecutionContextHost([{ headers: { authorization: bearer } }]);
    await expect(decide(app, context)).rejects.toThrow(ForbiddenException);
  });
});

describe('the header of the token', () => {
  const forwarded = { name: 'X-Forwarded-Access-Token', scheme: '' };
  const get = async (app: INestApplication, headers: Record<string, string>, path = '/x') =>
    (await request(app.getHttpServer()).get(path).set(headers)).status;

  it('in-F5: can be another one, which is then the only place', async () => {
    const app = await start({ tokenHeader: forwarded });
    const token = bearer.slice('Bearer '.length);
    expect(await get(app, { 'x-forwarded-access-token': token })).toBe(200);
    expect(await get(app, { authorization: bearer })).toBe(401);
    expect(await get(app, { authorization: bearer, 'x-forwarded-access-token': token })).toBe(200);
    expect(await get(app, { authorization: bearer, 'x-forwarded-access-token': 'e30.e30.AAAA' })).toBe(401);
    expect(await get(app, { 'x-forwarded-access-token': bearer })).toBe(400);
    expect(await get(app, { 'x-forwarded-access-token': `${token}, ${token}` })).toBe(400);
    expect(await get(app, { 'x-forwarded-access-token': token }, '/x?access_token=x')).toBe(400);
  });

  it('in-F5: is read as it was sent, whatever middleware changes', async () => {
    const app = await start(
      { tokenHeader: forwarded },
      {
        prepare: (made) =>
          void made.use((q: { headers: Record<string, string> }, _r: unknown, next: () => void) => {
            q.headers.authorization = `Bearer ${q.headers['x-forwarded-access-token']}`;
            next();
          }),
      },
    );
    expect(await get(app, { 'x-forwarded-access-token': bearer.slice('Bearer '.length) })).toBe(200);
  });

  it('in-F5: can have its own scheme', async () => {
    const app = await start({ tokenHeader: { name: 'authorization', scheme: 'Token' } });
    const token = bearer.slice('Bearer '.length);
    expect(await get(app, { authorization: `token ${token}` })).toBe(200);
    expect(await get(app, { authorization: bearer })).toBe(401);
  });

  it.each([
    ['a name that is none', { name: 'x y' }],
    ['the header of cookies', { name: 'Cookie' }],
    ['no name', { scheme: '' }],
    ['a scheme that carries no bearer token', { name: 'x', scheme: 'Basic' }],
    ['a scheme with a space', { name: 'x', scheme: 'Bearer ' }],
  ])('in-F5: is refused at boot with %s', async (_name, tokenHeader) => {
    await expect(start({ tokenHeader: tokenHeader as never })).rejects.toThrow(IdentityM2MConfigurationError);
  });

  it.each([
    ['two spaces', 'Bearer  TOKEN', 200],
    ['many spaces', `Bearer${' '.repeat(200)}TOKEN`, 200],
    ['a tab', 'Bearer\tTOKEN', 401],
    ['a space and a tab', 'Bearer \tTOKEN', 400],
    ['a space inside', 'Bearer  TOKEN x', 400],
    ['only spaces', 'Bearer   ', 400],
  ])('in-F8: is read with %s between scheme and token', async (_name, value, expected) => {
    const app = await start();
    const authorization = value.replace('TOKEN', bearer.slice('Bearer '.length));
    expect(await get(app, { authorization })).toBe(expected);
  });
});

describe.each([false, true])('a refusal, on Fastify: %s', (fastify) => {
  const caught: unknown[] = [];
  const filtering = (...classes: (abstract new (...args: never[]) => Error)[]) => {
    @Catch(...(classes as never[]))
    class Filter implements ExceptionFilter<HttpException> {
      catch(exception: HttpException, host: ArgumentsHost) {
        caught.push(exception);
        const response = host.switchToHttp().getResponse<{ status(code: number): { send(body: object): void } }>();
        response.status(exception.getStatus()).send({ by: 'the filter' });
      }
    }
    return { provide: APP_FILTER, useClass: Filter };
  };
  const kinds: readonly (readonly [
    string,
    abstract new (...args: never[]) => Error,
    () => Promise<string | undefined>,
    string,
  ])[] = [
    ['no token', UnauthorizedException, () => Promise.resolve(undefined), '/x'],
    ['a token that is not valid', UnauthorizedException, () => Promise.resolve('Bearer e30.e30.AAAA'), '/x'],
    ['two tokens', BadRequestException, () => Promise.resolve('Bearer a b'), '/x'],
    ['a scope that is missing', ForbiddenException, () => Promise.resolve(bearer), '/admin'],
    [
      'an issuer that is away',
      ServiceUnavailableException,
      async () => `Bearer ${await guarded.undecidableToken()}`,
      '/x',
    ],
  ];

  it.each(kinds)(
    'in-F18: for %s is an exception of Nest, with its headers',
    async (_name, exceptionClass, make, path) => {
      caught.length = 0;
      const authorization = await make();
      const headers = authorization === undefined ? {} : { authorization };
      const plain = await start({}, { fastify });
      await ready(plain, fastify);
      const expected = await request(plain.getHttpServer()).get(path).set(headers);
      const app = await start({}, { fastify, providers: [filtering(exceptionClass)] });
      await ready(app, fastify);
      const answer = await request(app.getHttpServer()).get(path).set(headers);
      expect(caught).toEqual([expect.any(exceptionClass)]);
      expect(caught[0]).toBeInstanceOf(HttpException);
      expect((caught[0] as HttpException).getResponse()).toEqual(expected.body);
      expect([answer.status, answer.body]).toEqual([expected.status, { by: 'the filter' }]);
      for (const name of ['www-authenticate', 'retry-after', 'cache-control']) {
        expect(answer.headers[name]).toBe(expected.headers[name]);
      }
      expect(answer.headers['cache-control']).toBe('no-store');
    },
  );
});

async function ready(app: INestApplication, fastify: boolean): Promise<void> {
  if (fastify) await app.getHttpAdapter().getInstance().ready();
}

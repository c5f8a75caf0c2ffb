import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { Agent, request as httpRequest, type Server } from 'node:http';
import { connect as connectHttp2 } from 'node:http2';
import { connect } from 'node:net';
import { text } from 'node:stream/consumers';
import { setTimeout } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, jest, test } from '@jest/globals';
import {
  type ArgumentsHost,
  Body,
  Catch,
  Controller,
  type ExceptionFilter,
  Get,
  Header,
  type INestApplication,
  Post,
  Scope,
  Sse,
  UseFilters,
  UseGuards,
} from '@nestjs/common';
import { MessagePattern } from '@nestjs/microservices';
import { FastifyAdapter } from '@nestjs/platform-fastify';
import {
  Caller,
  CurrentCaller,
  INBOUND_CHANNEL,
  type InboundEvent,
  AccessDecisions,
  M2M_CLOCK,
  M2MAuthGuard,
  type MachineCaller,
  Public,
  RequireScopes,
} from 'nestjs-identity-m2m';
import { defer, map, of, Subject } from 'rxjs';
// From inside: the grammar of a header is tried without requests.
import { bearerCredential } from '../libs/identity-m2m/src/guard/credential.js';
import { growth, TOO_STEEP } from './support/growth.js';
import { GuardedMessages } from './support/guarded-messages.js';
import { HTTP2_HEADERS, rawHttp2Request } from './support/raw-http2.js';
import { recordingLogger } from './support/recorded-log.js';
import { ManualClock } from 'nestjs-identity-m2m/testing';

const nobody = 'nobody';

/** Handlers that ran, by name. */
const ran: string[] = [];

@Catch()
class SwallowingFilter implements ExceptionFilter {
  catch(_exception: unknown, host: ArgumentsHost) {
    const response = host.switchToHttp().getResponse<{ status(code: number): { send(body: string): void } }>();
    response.status(200).send('all is well');
  }
}

@Controller('both')
class MessagesToo {
  @Get()
  @UseGuards(M2MAuthGuard)
  get() {
    return 'both';
  }

  @MessagePattern('both')
  message() {
    return 'both';
  }
}

/** Counts what it is given: pipes come after guards. */
const piped: unknown[] = [];
const counting = {
  transform(value: unknown) {
    piped.push(value);
    return value;
  },
};

const perRequest = (path: string, durable: boolean) => {
  @Controller({ path, scope: Scope.REQUEST, durable })
  class PerRequest {
    @Get()
    get(@Caller() caller: MachineCaller) {
      return caller.clientId;
    }
  }
  return PerRequest;
};

const readable = (path: string) => {
  @Controller(path)
  class Mixin {
    @Get()
    @RequireScopes('admin')
    get(): string {
      return 'mixin';
    }
  }
  return Mixin;
};

@Controller('derived')
class DerivedFromMixin extends readable('base') {
  @Get('own')
  own() {
    return 'own';
  }

  @Get('overridden')
  override get() {
    return 'overridden';
  }
}

const hidden = Symbol('hidden');

@Controller('symbols')
class Symbols {
  @Get()
  @RequireScopes('admin')
  [hidden]() {
    ran.push('symbol');
    return 'hidden';
  }
}

@Controller()
class Routes {
  constructor(private readonly callers: CurrentCaller) {}

  current(): string {
    return this.callers.get()?.clientId ?? nobody;
  }

  @Get('who')
  async who(@Caller() caller: MachineCaller) {
    const atOnce = this.current();
    await setTimeout(5);
    return [caller.clientId, atOnce, this.current()];
  }

  @Get('stream')
  stream() {
    return defer(() => of([this.current()]));
  }

  @Get('audit')
  @RequireScopes({ any: ['admin', 'audit'] })
  audit() {
    return 'audit';
  }

  @Get('admin')
  @RequireScopes('admin', 'users.read')
  admin() {
    return 'admin';
  }

  @Post('form')
  form(@Body(counting) _body: unknown) {
    return 'form';
  }

  @Get('open')
  @Public()
  @Header('x-caller', 'none')
  async open(@Caller() caller: MachineCaller | undefined) {
    const atOnce = this.current();
    await setTimeout(5);
    return [caller?.clientId ?? nobody, atOnce, this.current()];
  }

  @Get('swallowed')
  @UseFilters(SwallowingFilter)
  swallowed() {
    ran.push('swallowed');
    return 'handled';
  }
}

const UNAUTHORIZED = 'Bearer realm="users"';
const INVALID_REQUEST = 'Bearer realm="users", error="invalid_request"';
const INVALID_TOKEN =
  'Bearer realm="users", error="invalid_token", error_description="The access token is not valid here"';

describe.each(['Express', 'Fastify'])('the guard on %s', (platform) => {
  let guarded: GuardedMessages;
  let app: INestApplication;
  let url: string;
  let port: number;
  let token: string;

  beforeAll(async () => {
    guarded = await GuardedMessages.start();
    const controllers = [
      Routes,
      MessagesToo,
      perRequest('per-request', false),
      perRequest('durable', true),
      readable('mixin'),
      DerivedFromMixin,
      Symbols,
    ];
    const module = await guarded.module(controllers, { realm: 'users' }).compile();
    app = platform === 'Fastify' ? module.createNestApplication(new FastifyAdapter()) : module.createNestApplication();
    app.useLogger(false);
    // A route of the server's own, which no guard ever sees.
    app.getHttpAdapter().get('/bare', (_request: unknown, response: { send(body: string): void }) => {
      void setTimeout(1).then(() => response.send(app.get(Routes).current()));
    });
    module.get(AccessDecisions).events.subscribe((event) => guarded.events.push(event));
    await app.listen(0, '127.0.0.1');
    // No connection ends while a test that takes long keeps the process busy: the next request would be sent on it.
    (app.getHttpServer() as Server).keepAliveTimeout = 0;
    url = await app.getUrl();
    port = Number(new URL(url).port);
    token = await guarded.token();
  });
  afterAll(async () => {
    await app.close();
    await guarded.close();
  });
  beforeEach(() => {
    guarded.events.length = 0;
    piped.length = 0;
  });

  const get = (path: string, authorization?: string, headers: Record<string, string> = {}) =>
    fetch(`${url}${path}`, { headers: { ...(authorization !== undefined && { authorization }), ...headers } });
  /** The answer to bytes as they are, with any header. */
  const raw = async (lines: readonly string[]): Promise<string> => {
    const socket = connect(port, '127.0.0.1');
    const host = lines.some((line) => line.startsWith('Host: ')) ? [] : ['Host: x'];
    // No half-close: Node's server would send no response that is not ready by then.
    socket.write(`${[...lines, ...host, 'Connection: close'].join('\r\n')}\r\n\r\n`);
    return text(socket);
  };
  const reason = () => guarded.events.find((event) => event.type === 'caller.refused')?.reason;

  test.each<[string, (good: string) => readonly string[]]>([
    ['the good one first', (good) => [`Authorization: ${good}`, 'Authorization: Bearer evil']],
    ['the good one last', (good) => ['Authorization: Bearer evil', `Authorization: ${good}`]],
    ['the same twice', (good) => [`Authorization: ${good}`, `Authorization: ${good}`]],
    ['names in another case', (good) => [`authorization: ${good}`, `AUTHORIZATION: ${good}`]],
    ['another scheme', (good) => [`Authorization: ${good}`, 'Authorization: Basic eDp4']],
  ])('H1: responds with 400 to two Authorization headers: %s', async (_name, lines) => {
    const answer = await raw(['GET /who HTTP/1.1', ...lines(`Bearer ${token}`)]);
    expect(answer).toMatch(/^HTTP\/1.1 400 /);
    expect(answer.toLowerCase()).toContain(`www-authenticate: ${INVALID_REQUEST.toLowerCase()}`);
    expect(reason()).toBe('credential_repeated');
  });

  test.each<[string, (good: string) => string, number]>([
    ['the scheme in capitals', (good) => `BEARER ${good}`, 200],
    ['the scheme in small letters', (good) => `bearer ${good}`, 200],
    ['no token', () => 'Bearer', 400],
    ['two tokens', (good) => `Bearer ${good} ${good}`, 400],
    ['two credentials', (good) => `Bearer ${good}, Bearer ${good}`, 400],
    ['a list of tokens', (good) => `Bearer ${good},${good}`, 400],
    ['two spaces', (good) => `Bearer  ${good}`, 200],
    ['a tab', (good) => `Bearer\t${good}`, 401],
    ['no scheme', (good) => good, 401],
    ['another scheme', (good) => `Basic ${good}`, 401],
    ['the scheme of proofs of possession', (good) => `DPoP ${good}`, 401],
    ['a scheme that begins like it', (good) => `BearerX ${good}`, 401],
    ['parameters', (good) => `Bearer token="${good}"`, 400],
    ['JSON (S17)', (good) => `Bearer {"payload":"${good.split('.')[1]}"}`, 400],
  ])('H2: reads one value of Authorization strictly: %s', async (_name, value, status) => {
    expect((await get('/who', value(token))).status).toBe(status);
  });

  test.each<[string, string, Record<string, string>]>([
    ['the query', '/who?access_token=TOKEN', {}],
    ['a cookie', '/who', { cookie: 'access_token=TOKEN; Authorization=Bearer TOKEN' }],
    ['X-Forwarded-Authorization', '/who', { 'x-forwarded-authorization': 'Bearer TOKEN' }],
    ['Proxy-Authorization', '/who', { 'proxy-authorization': 'Bearer TOKEN' }],
    ['X-Access-Token', '/who', { 'x-access-token': 'TOKEN' }],
  ])('H3: does not look for a token in %s', async (_name, path, headers) => {
    const filled = Object.fromEntries(
      Object.entries(headers).map(([name, value]) => [name, value.replace('TOKEN', token)]),
    );
    const response = await get(path.replace('TOKEN', token), undefined, filled);
    expect([response.status, response.headers.get('www-authenticate')]).toEqual([401, UNAUTHORIZED]);
  });

  test.each(['access_token', '%61ccess_token', 'a=b&access_token'])(
    'H3: responds with 400 to a header and a token in the query: %s',
    async (name) => {
      expect((await get(`/who?${name}=x`, `Bearer ${token}`)).status).toBe(400);
    },
  );

  it('H3: does not look for a token in a form, and responds with 400 to a second one there', async () => {
    const send = (headers: Record<string, string>) =>
      fetch(`${url}/form`, { method: 'POST', body: new URLSearchParams({ access_token: token }), headers });
    expect((await send({})).status).toBe(401);
    expect((await send({ authorization: `Bearer ${token}` })).status).toBe(400);
    expect(reason()).toBe('credential_missing');
    expect(guarded.events.at(-1)).toMatchObject({ reason: 'credential_repeated' });
    expect(piped).toEqual([]);
  });

  test.each<[string, Record<string, unknown>, Record<string, unknown>]>([
    ['kid of 10 KB', { kid: 'k'.repeat(10_240) }, {}],
    ['alg of 5 KB', { alg: 'R'.repeat(5000) }, {}],
    ['kid', { kid: 'a\r\nSet-Cookie: x=1' }, {}],
    ['kid with quotes', { kid: '", error="none' }, {}],
    ['alg', { alg: 'RS256', typ: 'x"\r\n\r\n<script>' }, {}],
    ['iss', {}, { iss: 'https://evil.example/"\r\nLocation: x' }],
    ['aud', {}, { aud: 'tökén-☃"' }],
    ['scope', {}, { scope: 'a"b\r\nc' }],
    ['client', {}, { client_id: 'x\r\ny', azp: '"' }],
  ])('H4: reveals nothing about a token with an attack in its %s', async (_name, header, claims) => {
    const now = Math.floor(Date.now() / 1000);
    const evil = await guarded.issuer.sign(
      { iss: guarded.issuer.url, aud: 'users-api', sub: 'x', client_id: 'x', exp: now + 60, ...claims },
      header,
    );
    const response = await get('/who', `Bearer ${evil}`);
    expect(response.headers.get('www-authenticate')).toBe(response.status === 401 ? INVALID_TOKEN : null);
    expect(await response.json()).toEqual(
      response.status === 401
        ? { statusCode: 401, error: 'invalid_token', message: 'The access token is not valid here.' }
        : { statusCode: 403, error: 'forbidden', message: 'This client is not allowed here.' },
    );
    expect(response.headers.get('set-cookie')).toBeNull();
  });

  test.each<[string, string, () => Promise<string | undefined>, number, string | null, object]>([
    [
      'H5: asks for a token without an error if there was none',
      '/who',
      () => Promise.resolve(undefined),
      401,
      UNAUTHORIZED,
      { error: 'unauthorized', message: 'An access token is required.' },
    ],
    [
      'H6: names the scopes that are missing',
      '/admin',
      () => Promise.resolve(`Bearer ${token}`),
      403,
      'Bearer realm="users", error="insufficient_scope", scope="admin users.read"',
      { error: 'insufficient_scope', message: 'The access token needs the scope: admin users.read.' },
    ],
    [
      'H6: says that one of several scopes is enough',
      '/audit',
      () => Promise.resolve(`Bearer ${token}`),
      403,
      'Bearer realm="users", error="insufficient_scope", error_description="The access token needs one of the scopes", scope="admin audit"',
      { error: 'insufficient_scope', message: 'The access token needs one of the scopes: admin audit.' },
    ],
    [
      'H7: says that it cannot decide, and when to come again',
      '/who',
      async () => `Bearer ${await guarded.undecidableToken()}`,
      503,
      null,
      {
        error: 'temporarily_unavailable',
        message: 'The access token cannot be verified at the moment. Try again later.',
      },
    ],
  ])('%s', async (_name, path, authorization, status, challenge, body) => {
    const response = await get(path, await authorization());
    expect(response.status).toBe(status);
    expect(response.headers.get('www-authenticate')).toBe(challenge);
    expect(response.headers.get('retry-after') ?? '0').toMatch(status === 503 ? /^[1-9]\d*$/ : /^0$/);
    expect(response.headers.get('cache-control')).toBe('no-store');
    expect(await response.json()).toEqual({ statusCode: status, ...body });
  });

  test.each([
    '//admin',
    '/admin/',
    '/admin;x',
    '/ADMIN',
    '/%61dmin',
    '/admin%2f',
    '/./admin',
    '/open/../admin',
    '/admin?',
  ])('H8: can’t be bypassed by another spelling of the path: %s', async (path) => {
    const answer = await raw([`GET ${path} HTTP/1.1`]);
    expect(answer).toMatch(/^HTTP\/1.1 (400|401|404) /);
  });

  test.each(['HEAD', 'OPTIONS', 'TRACE', 'PUT', 'POST'])('H9: can’t be bypassed by the method %s', async (method) => {
    for (const line of ['X-HTTP-Method-Override: GET', 'X-Method-Override: OPTIONS']) {
      const answer = await raw([`${method} /admin HTTP/1.1`, line, 'Content-Length: 0']);
      expect(answer).toMatch(/^HTTP\/1.1 (400|401|404|405) /);
    }
  });

  test.each([
    ['Host', 'evil.example'],
    ['Host', 'evil.example/other?'],
    ['X-Forwarded-Host', 'evil.example'],
    ['X-Forwarded-Proto', 'https'],
    ['X-Forwarded-For', '127.0.0.1'],
    ['X-Forwarded-Prefix', '/open'],
    ['Forwarded', 'host=evil.example;proto=https;for=127.0.0.1'],
    ['X-Original-URL', '/open'],
    ['X-Rewrite-URL', '/open'],
  ])('H10: decides and responds the same whatever %s contains: %s', async (name, value) => {
    const authorization = `Authorization: Bearer ${token}`;
    const decided = async (path: string, ...lines: string[]) => {
      const answer = await raw([`GET ${path} HTTP/1.1`, ...lines]);
      const headers = answer.split('\r\n').filter((line) => /^(HTTP|www-authenticate|location)/i.test(line));
      return [...headers, answer.slice(answer.indexOf('\r\n\r\n'))];
    };
    const forged = `${name}: ${value}`;
    expect(await decided('/admin', forged)).toEqual(await decided('/admin'));
    expect(await decided('/admin', forged, authorization)).toEqual(await decided('/admin', authorization));
    expect(await decided('/who', forged, authorization)).toEqual(await decided('/who', authorization));
  });

  it('H9: guards HEAD as it guards GET', async () => {
    expect((await fetch(`${url}/who`, { method: 'HEAD' })).status).toBe(401);
  });

  it('H11: forbids caching of refusals, and leaves other responses unchanged', async () => {
    const status = async (path: string, authorization?: string) => {
      const response = await get(path, authorization);
      return [response.status, response.headers.get('cache-control')];
    };
    expect(await status('/who', 'Bearer a b')).toEqual([400, 'no-store']);
    expect(await status('/who', 'Bearer a')).toEqual([401, 'no-store']);
    expect(await status('/who', `Bearer ${token}`)).toEqual([200, null]);
    expect(await status('/open')).toEqual([200, null]);
  });

  test.each<[string, (length: number) => string]>([
    ['letters', (length) => `Bearer ${'a'.repeat(length)},`],
    ['spaces', (length) => `Bearer ${' '.repeat(length)}`],
    ['padding', (length) => `Bearer ${'='.repeat(length)},`],
    ['padding after each letter', (length) => `Bearer ${'a='.repeat(length / 2)},`],
    ['padding and something behind it', (length) => `Bearer a${'='.repeat(length)}a,`],
    ['a scheme', (length) => `${'x'.repeat(length)} `],
    ['a scheme without an end', (length) => 'x'.repeat(length)],
  ])('P7: reads a credential in linear time: %s', (_name, value) => {
    // As long as a token may be, and longer.
    for (const length of [1000, 15_000]) {
      const [short, long] = [value(length), value(length * 8)];
      expect(bearerCredential(long).ok).toBe(false);
      expect(
        growth(
          () => bearerCredential(short),
          () => bearerCredential(long),
        ),
      ).toBeLessThan(TOO_STEEP);
    }
  });

  it('emits the client and the token’s fingerprint with each decision, also on the diagnostics channel', async () => {
    const published: unknown[] = [];
    // One of its issuers is down, and the guard goes on asking for its keys.
    const listener = (event: unknown) => {
      if ((event as InboundEvent).type.startsWith('caller.')) published.push(event);
    };
    subscribe(INBOUND_CHANNEL, listener);
    await get('/who', `Bearer ${token}`);
    await get('/admin', `Bearer ${token}`);
    await get('/who', `Bearer ${token.slice(0, -4)}AAAA`);
    await get('/who');
    unsubscribe(INBOUND_CHANNEL, listener);
    const who = {
      clientId: 'provisioning',
      issuer: guarded.issuer.url,
      tokenFingerprint: expect.stringMatching(/^[\da-f]{12}$/),
    };
    const nobodyKnown = { clientId: undefined, issuer: undefined };
    expect(guarded.events).toEqual([
      { type: 'caller.accepted', transport: 'http', ...who },
      {
        type: 'caller.refused',
        transport: 'http',
        route: 'GET /admin',
        reason: 'scope_insufficient',
        claim: 'scope',
        found: '["users.read"]',
        expected: '"admin" and "users.read"',
        ...who,
      },
      {
        type: 'caller.refused',
        transport: 'http',
        route: 'GET /who',
        reason: 'signature_invalid',
        claim: 'kid',
        found: expect.stringMatching(/^"key-\d+"$/),
        expected: 'a signature by a key of the issuer',
        ...who,
        ...nobodyKnown,
      },
      {
        type: 'caller.refused',
        transport: 'http',
        route: 'GET /who',
        reason: 'credential_missing',
        ...nobodyKnown,
        tokenFingerprint: undefined,
      },
    ]);
    expect(published).toEqual(guarded.events);
  });

  it('decides once about a request that passes it as global guard, on the controller and on the handler', async () => {
    expect(await (await get('/both', `Bearer ${token}`)).text()).toBe('both');
    expect(guarded.events.map(({ type }) => type)).toEqual(['caller.accepted']);
  });

  it('N10b: gives a public route no caller, with a valid token, an invalid one, and one of another API', async () => {
    const ofAnotherApi = await guarded.token({ aud: 'other-api' });
    for (const authorization of [undefined, `Bearer ${token}`, 'Bearer x', `Bearer ${ofAnotherApi}`, 'Basic x']) {
      const response = await get('/open', authorization);
      expect([response.status, await response.json()]).toEqual([200, [nobody, nobody, nobody]]);
    }
    expect(guarded.events).toEqual([]);
  });

  it('N11: applies the rules on methods of a mixin and of classes derived from it', async () => {
    expect((await get('/mixin')).status).toBe(401);
    expect((await get('/mixin', `Bearer ${token}`)).status).toBe(403);
    expect((await get('/derived/own')).status).toBe(401);
    expect(await (await get('/derived/own', `Bearer ${token}`)).text()).toBe('own');
    expect((await get('/derived/overridden', `Bearer ${token}`)).status).toBe(403);
  });

  it('N11: treats handlers named by symbols as unreachable, as Nest does', async () => {
    expect((await get('/symbols', `Bearer ${token}`)).status).toBe(404);
    expect(ran).toEqual([]);
  });

  test.each(['/per-request', '/durable'])(
    'N12: guards a controller that is created for each request: %s',
    async (path) => {
      expect((await get(path)).status).toBe(401);
      expect((await get(path, 'Bearer x')).status).toBe(401);
      expect(await (await get(path, `Bearer ${token}`)).text()).toBe('provisioning');
    },
  );

  it('N12: does not run a handler whose filter swallows the refusal', async () => {
    expect(await (await get('/swallowed')).text()).toBe('all is well');
    expect(ran).toEqual([]);
  });

  it('N13: keeps nothing of a caller for the next request of a connection, guarded, public or unguarded', async () => {
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    const sockets = new Set<unknown>();
    const call = (path: string, authorization?: string) =>
      new Promise<string>((resolve, reject) => {
        const headers = authorization === undefined ? {} : { authorization };
        const sent = httpRequest(`${url}${path}`, { agent, headers }, (response) => resolve(text(response)));
        sent.on('socket', (socket) => sockets.add(socket)).on('error', reject);
        sent.end();
      });
    const known = '["provisioning","provisioning","provisioning"]';
    const unknown = '["nobody","nobody","nobody"]';
    expect(await call('/who', `Bearer ${token}`)).toBe(known);
    expect(await call('/bare')).toBe(nobody);
    expect(await call('/open')).toBe(unknown);
    expect(await call('/who', `Bearer ${token}`)).toBe(known);
    expect(await call('/stream', `Bearer ${token}`)).toBe('["provisioning"]');
    expect(await call('/open', `Bearer ${token}`)).toBe(unknown);
    expect(sockets.size).toBe(1);
    agent.destroy();
  });

  it('N14: runs after the body was read and before pipes, so the body limit applies to unauthenticated callers', async () => {
    const send = (length: number, authorization?: string) =>
      fetch(`${url}/form`, {
        method: 'POST',
        body: JSON.stringify({ text: 'x'.repeat(length) }),
        headers: { 'content-type': 'application/json', ...(authorization !== undefined && { authorization }) },
      });
    expect((await send(1000)).status).toBe(401);
    expect(piped).toEqual([]);
    expect((await send(1000, `Bearer ${token}`)).status).toBe(201);
    expect(piped).toHaveLength(1);
    // 100 KiB on Express, 1 MiB on Fastify, unless the application says otherwise.
    const tooMuch = platform === 'Express' ? 102_400 : 1_048_576;
    expect((await send(tooMuch)).status).toBe(413);
    expect((await send(tooMuch, `Bearer ${token}`)).status).toBe(413);
    expect(piped).toHaveLength(1);
  });

  it('N13: keeps concurrent requests of one connection apart', async () => {
    const other = await guarded.token({ client_id: 'billing', sub: 'billing' });
    const socket = connect(port, '127.0.0.1');
    const one = (path: string, authorization?: string) =>
      [`GET ${path} HTTP/1.1`, 'Host: x', ...(authorization ? [`Authorization: ${authorization}`] : []), '', ''].join(
        '\r\n',
      );
    socket.write([one('/who', `Bearer ${token}`), one('/bare'), one('/who', `Bearer ${other}`), one('/open')].join(''));
    // Closed by the server, at the end of the last answer.
    socket.write('GET /who HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n');
    const bodies = (await text(socket)).match(/\r\n\r\n(\["[^\r]*\]|nobody)/g)?.map((body) => body.trim());
    expect(bodies).toEqual([
      '["provisioning","provisioning","provisioning"]',
      nobody,
      '["billing","billing","billing"]',
      '["nobody","nobody","nobody"]',
    ]);
  });
});

const closing: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0).toReversed()) await close();
});

it('H12: responds with 400 to two Authorization headers over HTTP/2, and knows the caller of one', async () => {
  const guarded = await GuardedMessages.start();
  closing.push(() => guarded.close());
  const module = await guarded.module([Routes]).compile();
  const app = module.createNestApplication(new FastifyAdapter({ http2: true } as never));
  app.useLogger(false);
  await app.listen(0, '127.0.0.1');
  closing.push(() => app.close());
  const port = Number(new URL(await app.getUrl()).port);
  const authorization = `Bearer ${await guarded.token()}`;

  const session = connectHttp2(`http://127.0.0.1:${port}`);
  const call = (path: string, headers: Record<string, string> = {}) =>
    text(session.request({ ':path': path, ...headers }));
  expect(await call('/who', { authorization })).toBe('["provisioning","provisioning","provisioning"]');
  expect(await call('/open')).toBe('["nobody","nobody","nobody"]');
  session.close();

  const status = async (values: readonly string[]) => {
    const fields = [[':path', '/who'], ...values.map((value) => ['authorization', value] as const)] as const;
    const frames = await rawHttp2Request(port, fields);
    // The field ":status" as an index of the static table: RFC 7541 Appendix A.
    return { 0x88: 200, 0x8c: 400 }[frames.find(({ type }) => type === HTTP2_HEADERS)!.payload[0]!];
  };
  expect(await status([authorization])).toBe(200);
  expect(await status([authorization, authorization])).toBe(400);
  expect(await status([authorization, 'Bearer evil'])).toBe(400);
});

it.each(['Express', 'Fastify'])('H9: leaves preflights to CORS on %s, which reaches no handler', async (platform) => {
  const guarded = await GuardedMessages.start();
  closing.push(() => guarded.close());
  const module = await guarded.module([Routes]).compile();
  const app =
    platform === 'Fastify' ? module.createNestApplication(new FastifyAdapter()) : module.createNestApplication();
  app.useLogger(false);
  app.enableCors({ origin: 'https://web.example' });
  await app.listen(0, '127.0.0.1');
  closing.push(() => app.close());
  const headers = { origin: 'https://web.example', 'access-control-request-method': 'GET' };
  const status = async (method: string) => (await fetch(`${await app.getUrl()}/who`, { method, headers })).status;
  expect(await status('OPTIONS')).toBe(204);
  expect(await status('GET')).toBe(401);
  expect(app.get(AccessDecisions).counts()).toEqual({ http: { accepted: 0, refused: { credential_missing: 1 } } });
});

it('N15: decides once, at the start: a response continues after the token expires, and the next call is refused', async () => {
  const guarded = await GuardedMessages.start();
  closing.push(() => guarded.close());
  const start = new Date('2030-01-01T00:00:00Z');
  const clock = new ManualClock(start);
  const ticks = new Subject<{ data: string }>();
  @Controller()
  class Streams {
    @Sse('stream')
    stream(@Caller() caller: MachineCaller) {
      // What a handler goes by that wants to end with the token.
      return ticks.pipe(map(({ data }) => ({ data: `${data} until ${caller.expiresAt.toISOString()}` })));
    }
  }
  const module = await guarded.module([Streams]).overrideProvider(M2M_CLOCK).useValue(clock).compile();
  const app = module.createNestApplication();
  app.useLogger(false);
  await app.listen(0, '127.0.0.1');
  closing.push(() => app.close());
  const iat = start.getTime() / 1000;
  const authorization = `Bearer ${await guarded.token({ iat, exp: iat + 60 })}`;
  const url = await app.getUrl();
  const call = () => fetch(`${url}/stream`, { headers: { authorization } });
  const running = await call();
  expect(running.status).toBe(200);
  ticks.next({ data: 'before' });
  clock.setWallClock(new Date(start.getTime() + 3600_000));
  expect((await call()).status).toBe(401);
  ticks.next({ data: 'after' });
  ticks.complete();
  const events = (await running.text()).match(/data: .*/g);
  expect(events).toEqual(['before', 'after'].map((data) => `data: ${data} until 2030-01-01T00:01:00.000Z`));
});

it('C10: writes no forged log line, whatever the name of a client', async () => {
  const guarded = await GuardedMessages.start();
  closing.push(() => guarded.close());
  const app = (await guarded.module([Routes]).compile()).createNestApplication();
  const lines: string[] = [];
  app.useLogger(recordingLogger((_level, line) => lines.push(line)));
  await app.listen(0, '127.0.0.1');
  closing.push(() => app.close());
  const names = [
    'a\r\nguard: admin let in',
    '\u202enimda',
    'a\0b',
    '\u001b[2Ja',
    'a\u2028b',
    'tökén',
    'x'.repeat(2000),
  ];
  for (const name of names) {
    const authorization = `Bearer ${await guarded.token({ client_id: name, sub: name })}`;
    expect((await fetch(`${await app.getUrl()}/who`, { headers: { authorization } })).status).toBe(200);
    expect((await fetch(`${await app.getUrl()}/admin`, { headers: { authorization } })).status).toBe(403);
  }
  const ofCallers = lines.filter((line) => line.startsWith('guard refused '));
  expect(ofCallers).toHaveLength(names.length);
  for (const line of lines) expect(line).toMatch(/^[\x20-\x7e…]{1,400}$/);
});

describe('a verifier that fails', () => {
  const policy = { scopes: [], clients: undefined };
  const secret = 'secret-in-an-exception';

  test.each<[string, () => never | Promise<never>]>([
    [
      'at once',
      () => {
        throw new TypeError(secret);
      },
    ],
    ['later', () => Promise.reject(new RangeError(secret))],
  ])('%s allows no caller, and its exception is never shown', async (_name, verify) => {
    const warn = jest.spyOn(process, 'emitWarning').mockImplementation(() => {});
    const decisions = new AccessDecisions({ verify });
    for (let times = 0; times < 3; times++) {
      expect(await decisions.decide({ ok: true, token: 'x' }, policy, 'http')).toEqual({
        ok: false,
        reason: 'verification_failed',
      });
    }
    expect(warn).toHaveBeenCalledTimes(1);
    expect(JSON.stringify(warn.mock.calls)).not.toContain(secret);
    warn.mockRestore();
    expect(decisions.counts()).toEqual({ http: { accepted: 0, refused: { verification_failed: 3 } } });
  });
});

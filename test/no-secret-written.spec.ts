import { spawn } from 'node:child_process';
import { closeSync, mkdtempSync, openSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { Agent, ClientRequest } from 'node:http';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { inspect } from 'node:util';
import { afterEach, describe, expect, it, test } from '@jest/globals';
import { isAxiosError } from 'axios';
import { genericOAuth2 } from 'nestjs-identity-m2m';
// From inside: what a client and its parts print is looked at one by one.
import { ConfiguredClients } from '../libs/identity-m2m/src/clients/configured-clients.js';
import { systemClock } from '../libs/identity-m2m/src/foundation/clock.js';
import { type Answer, json, TestServer } from './support/http-server.js';
import type { Instructions } from './support/no-secret/failures.js';
import { givingAway, marked, plantSecrets } from './support/no-secret/planted.js';
import { reachablePaths } from './support/reachable-paths.js';

const closing: (() => unknown)[] = [];
afterEach(async () => {
  await Promise.all(closing.splice(0).map((close) => close()));
});

async function start(answer: Answer): Promise<TestServer> {
  const server = await TestServer.start(answer);
  closing.push(() => server.close());
  return server;
}

/** An origin where nobody listens, because whoever did has gone. */
async function unusedOrigin(): Promise<string> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  return `http://127.0.0.1:${typeof address === 'object' ? address?.port : 0}`;
}

/** A token endpoint that does what its path says, and repeats whatever it was sent wherever it can. */
function tokenEndpoint(tokens: string[], elsewhere: string): Answer {
  const token = () => {
    tokens.push(marked('access-token'));
    return tokens.at(-1)!;
  };
  const echoOf = ({ headers, body }: Parameters<Answer>[0]) =>
    [headers.authorization, headers.dpop, body, decodeURIComponent(body.replaceAll('+', ' '))].join(' ');
  const ways: Record<string, Answer> = {
    '/grants': (...args) => json(200, { access_token: token(), token_type: 'Bearer', expires_in: 600 })(...args),
    '/grants-bound': (...args) => json(200, { access_token: token(), token_type: 'DPoP', expires_in: 600 })(...args),
    '/refuses': (request, ...rest) =>
      json(401, { error: 'invalid_client', error_description: echoOf(request) })(request, ...rest),
    '/breaks': (request, response) =>
      response
        .writeHead(500, { 'content-type': 'text/html', 'x-echo': encodeURIComponent(echoOf(request)) })
        .end(echoOf(request)),
    '/resets': (_request, response) => response.socket!.resetAndDestroy(),
    '/garbles': (request, response) => response.socket!.end(`HTTP/1.1 200 OK\r\nx-a: ${echoOf(request)}\0\r\n\r\n`),
    '/redirects': (request, response) =>
      response.writeHead(307, { location: `${elsewhere}/?${encodeURIComponent(echoOf(request))}` }).end(),
    '/mistypes': (request, ...rest) => {
      const access_token = token();
      return json(200, { access_token, token_type: `${access_token} ${echoOf(request)}` })(request, ...rest);
    },
    '/hangs': () => {},
  };
  return (request, ...rest) => ways[`/${request.url.split('/')[1]}`]!(request, ...rest);
}

/** An API that does what its path says. */
const API: Answer = (request, response, message) => {
  switch (request.url) {
    case '/reset':
      return response.socket!.resetAndDestroy();
    case '/hang':
      return undefined;
    case '/redirect':
      return response.writeHead(307, { location: '/500' }).end();
    case '/loop':
      return response.writeHead(302, { location: '/loop' }).end();
    case '/cut':
      response.writeHead(200, { 'content-length': '100' }).write('{');
      return setTimeout(() => response.socket?.destroy(), 5);
    default:
      return json(Number(request.url.slice(1)) || 200, { path: request.url })(request, response, message);
  }
};

/** Runs the application to its end; what it wrote, by where, and every text that would have given a secret away. */
async function run(task: Instructions['task']) {
  const directory = mkdtempSync(join(tmpdir(), 'no-secret-'));
  closing.push(() => rmSync(directory, { recursive: true }));
  const tokens: string[] = [];
  const elsewhere = await start(json(500, {}));
  const tokenServer = await start(tokenEndpoint(tokens, elsewhere.url));
  const api = await start(API);
  const planted = plantSecrets();
  const instructions: Instructions = {
    planted,
    tokenServer: tokenServer.url,
    api: api.url,
    elsewhere: elsewhere.url,
    nowhere: await unusedOrigin(),
    directory,
    task,
  };
  const here = (path: string) => join(import.meta.dirname, 'support', path);
  // Files, because a process that is ended by an error loses what it has not yet got rid of through a pipe.
  const [stdout, stderr] = ['standard output', 'standard error'].map((name) => openSync(join(directory, name), 'w'));
  const child = spawn(
    process.execPath,
    [
      '--conditions=@nestjs-identity-m2m/source',
      '--import',
      here('typescript-sources.mjs'),
      here('no-secret/application.ts'),
    ],
    { stdio: ['pipe', stdout, stderr], env: { PATH: process.env.PATH ?? '', NODE_ENV: 'test' } },
  );
  closing.push(() => child.kill('SIGKILL'));
  child.stdin!.end(JSON.stringify(instructions));
  const code = await new Promise<number | null>((resolve) => child.once('exit', resolve));
  for (const file of [stdout, stderr]) closeSync(file!);
  const outputs = new Map(readdirSync(directory).map((name) => [name, readFileSync(join(directory, name), 'utf8')]));
  const requests = [...tokenServer.requests, ...api.requests];
  return { outputs, code, requests, secrets: givingAway(planted, tokens, requests), elsewhere };
}

/** Which secrets are in which output, with what stands around them. */
function found(outputs: ReadonlyMap<string, string>, secrets: ReadonlyMap<string, string>): Map<string, string> {
  const findings = new Map<string, string>();
  for (const [output, written] of outputs) {
    // Most lines are there many times.
    const lines = [...new Set(written.split(/\n\s*/))].join('\n');
    for (const [secret, kind] of secrets) {
      const at = lines.indexOf(secret);
      if (at >= 0) findings.set(`${kind} in ${output}`, lines.slice(Math.max(at - 300, 0), at + secret.length + 50));
    }
  }
  return findings;
}

describe('a process that fails in every way and logs all that it can reach', () => {
  it('writes no secret anywhere', async () => {
    const { outputs, code, secrets, requests, elsewhere } = await run('fail');
    expect(Object.fromEntries(found(outputs, secrets))).toEqual({});
    // It got to its end, and each place that was searched has what it was to have.
    expect(code).toBe(1);
    expect([...outputs.keys()]).toEqual(['application.log', 'report.json', 'standard error', 'standard output']);
    const names = ['token-refuses', 'token-hangs', 'bearer-500', 'dpop-refused-with-redirects', 'object provider'];
    for (const output of ['standard output', 'standard error', 'application.log']) {
      const written = outputs.get(output)!;
      expect(names.filter((name) => !written.includes(name))).toEqual([]);
      expect(written).toMatch(/M2M_CLIENT_REJECTED[^]*ECONNREFUSED/);
      expect(written).not.toContain('unexpected');
    }
    expect(outputs.get('standard output')).toContain('exception.stacktrace');
    expect(outputs.get('standard output')).toContain('credential.quarantined');
    expect(outputs.get('standard error')).toMatch(/### the end\n[^]*nobody handles this/);
    expect(outputs.get('report.json')).toContain('"nodejsVersion"');
    // Whatever it sent would have been found.
    expect(requests.length).toBeGreaterThan(60);
    const authorized = requests.filter(({ headers, body }) => headers.authorization ?? /assertion|secret/.exec(body));
    for (const { headers, body } of authorized) {
      expect(found(new Map([['it', JSON.stringify({ headers, body })]]), secrets).size).toBeGreaterThan(0);
    }
    expect(elsewhere.requests.map(({ headers }) => headers.authorization ?? 'none')).toEqual(['none', 'none']);
  }, 120_000);

  it('is detected if it does write one', async () => {
    const { outputs, code, secrets } = await run('tell');
    expect(Object.keys(Object.fromEntries(found(outputs, secrets))).toSorted()).toEqual([
      'assertion of the grant in standard error',
      'client secret in standard error',
      'client secret in standard output',
      'federated assertion in standard output',
      'private JWK in told.txt',
      'private key in told.txt',
    ]);
    expect(code).not.toBe(0);
    const [, end = ''] = outputs.get('standard error')!.split('### the end\n');
    expect(end).toMatch(/nobody catches this[^]*ECONNRESET[^]*M2M_CLIENT_REJECTED/);
    expect(found(new Map([['the end', end]]), secrets).size).toBe(0);
  }, 120_000);
});

describe('an error that is stored', () => {
  async function setUp(dpop: boolean, api: Answer) {
    const tokens: string[] = [];
    const tokenServer = await start(tokenEndpoint(tokens, 'http://127.0.0.1'));
    const server = await start(api);
    const clients = new ConfiguredClients({
      clock: systemClock,
      random: Math.random,
      production: false,
      onClient: () => {},
    });
    closing.push(() => clients.close());
    const nowhere = await unusedOrigin();
    const { http } = clients.addByOptions('default', {
      identityProvider: genericOAuth2({ tokenEndpoint: `${tokenServer.url}/${dpop ? 'grants-bound' : 'grants'}` }),
      clientId: 'client',
      clientSecret: 'secret',
      dpop,
      allowedOrigins: [server.url, nowhere],
      http: { baseURL: server.url, httpAgent: new Agent({ keepAlive: true, maxSockets: 1 }) } as { baseURL: string },
    });
    return { http: http.axiosRef, nowhere, tokens, server };
  }

  test.each([false, true])('shows nothing of a call that never got a connection (bound to a key: %s)', async (dpop) => {
    const { http, nowhere, tokens } = await setUp(dpop, API);
    const calls = [
      () => http.get(nowhere),
      () => http.post(nowhere, 'with a body'),
      () => http.post(nowhere, 'with a body', { maxRedirects: 3 }),
      () => http.get('/hang', { timeout: 20, maxRedirects: 3 }),
    ];
    for (const call of calls) {
      const error: unknown = await call().catch((error: unknown) => error);
      expect(isAxiosError(error)).toBe(true);
      for (const text of [tokens[0]!, DPOP_PROOF]) expect(reachablePaths(text, error)).toEqual([]);
    }
  });

  it('shows nothing of the proof that was sent with a token', async () => {
    const { http, server } = await setUp(true, API);
    const error: unknown = await http.get('/500').catch((error: unknown) => error);
    const response = await http.get('/ok');
    expect(server.requests.map(({ headers }) => headers.dpop?.startsWith(DPOP_PROOF))).toEqual([true, true]);
    expect(reachablePaths(DPOP_PROOF, [error, response])).toEqual([]);
  });

  it('shows nothing of the next call, which uses the same connection', async () => {
    const { http, tokens, server } = await setUp(false, API);
    const error: unknown = await http.get('/500').catch((error: unknown) => error);
    const aborting = new AbortController();
    const next = http.get('/hang', { signal: aborting.signal }).catch((error: unknown) => error);
    while (server.requests.length < 2) await new Promise(setImmediate);
    if (!isAxiosError(error) || !(error.request instanceof ClientRequest)) throw new Error('expected an axios error');
    // It is the same one, and still works.
    expect(error.request.socket!.destroyed).toBe(false);
    const { request, response, message } = error;
    expect(reachablePaths(tokens[0]!, { request, response: response?.request, message })).toEqual([]);
    expect(inspect(request, { depth: null, showHidden: true })).not.toContain(tokens[0]);
    aborting.abort();
    await next;
  });
});

/** Where each proof begins: with its type. */
const DPOP_PROOF = Buffer.from('{"typ":"dpop+jwt"').toString('base64url').slice(0, 20);

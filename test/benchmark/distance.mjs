// npm run distance [-- --list] [--check]
//
// Counts what a reader has to read: the source files of the library whose functions run at boot, in a call, and in a
// request, by V8's coverage and the source maps of the built library. `--list` names the files and their functions,
// `--check` fails where a case runs more files than its limit.
import 'reflect-metadata';
import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { Session } from 'node:inspector/promises';
import { SourceMap } from 'node:module';
import { relative } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { HttpService } from '@nestjs/axios';
import { Controller, Get, Module, UseGuards } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { firstValueFrom } from 'rxjs';
import { build, install, root } from '../../scripts/prepare.mjs';
import { AUDIENCE, startIssuer } from './issuer.mjs';

/** Maximum number of files per case; a case without one is only counted. */
const MAX_FILES = {
  'boot with one client': 40,
  'warm outgoing call': 12,
  'guarded request, known token': 14,
};
/** Time for what a case starts and does not wait for, such as the end of a response. */
const SETTLE_MS = 100;
const CLIENT_ID = 'distance';
const SECRET = 'right';
/** Scripts of the library that were read, by their URL. */
const scripts = new Map();

const { values: options } = parseArgs({ options: { list: { type: 'boolean' }, check: { type: 'boolean' } } });

install();
build();
const library = new URL('../../libs/identity-m2m/', import.meta.url);
const inspector = new Session();
inspector.connect();
await inspector.post('Profiler.enable');
await inspector.post('Profiler.startPreciseCoverage', { callCount: true, detailed: false });

const { genericOAuth2, IdentityM2MModule, M2MAuthGuard } = await import('nestjs-identity-m2m');
const server = await startServer();
const rows = [...(await outgoing()), ...(await incoming()), ...(await wrongSecret())];
server.close();
report(rows);

/** Boot, first call and second call of an application with one client. */
async function outgoing() {
  let app;
  const boot = await count('boot with one client', async () => (app = await start(clientModule(SECRET))));
  const http = app.get(HttpService);
  const call = () => firstValueFrom(http.get(`${server.origin}/api`));
  const cold = await count('cold outgoing call', call);
  const warm = await count('warm outgoing call', call);
  await app.close();
  return [boot, cold, warm];
}

/** Two requests with one token to an application with a guard. */
async function incoming() {
  const issuer = await startIssuer();
  const app = await start({
    imports: [
      IdentityM2MModule.forRoot({
        guard: {
          issuers: [genericOAuth2({ issuer: issuer.url, jwksUri: issuer.jwksUri })],
          audience: AUDIENCE,
          clients: ['benchmark'],
        },
      }),
    ],
    controllers: [guardedController()],
  });
  await app.listen(0, '127.0.0.1');
  const url = `${await app.getUrl()}/things`;
  const authorization = `Bearer ${issuer.token()}`;
  const request = async () => {
    const { status } = await fetch(url, { headers: { authorization } });
    if (status !== 200) throw new Error(`the guarded route responded with HTTP ${status}`);
  };
  const first = await count('guarded request, new token', request);
  const second = await count('guarded request, known token', request);
  await app.close();
  issuer.close();
  return [first, second];
}

/** From a call with a wrong secret to the error that the caller catches. */
async function wrongSecret() {
  const app = await start(clientModule('wrong'));
  const http = app.get(HttpService);
  const row = await count('wrong secret, to the caught error', async () => {
    const error = await firstValueFrom(http.get(`${server.origin}/api`)).catch((error) => error);
    if (error.name !== 'ClientRejectedError') throw new Error('expected a ClientRejectedError', { cause: error });
  });
  await app.close();
  return [row];
}

/** A token endpoint, which accepts one secret, and an API. */
async function startServer() {
  const server = createServer((request, response) => {
    request.resume();
    const [status, body] = request.url === '/token' ? tokenResponse(request.headers) : [200, { ok: true }];
    response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    origin: `http://127.0.0.1:${server.address().port}`,
    close: () => {
      server.close();
      server.closeAllConnections();
    },
  };
}

function tokenResponse({ authorization }) {
  const basic = Buffer.from(`${CLIENT_ID}:${SECRET}`).toString('base64');
  if (authorization !== `Basic ${basic}`) return [401, { error: 'invalid_client' }];
  return [200, { access_token: 'abc', token_type: 'Bearer', expires_in: 3600 }];
}

function clientModule(clientSecret) {
  return {
    imports: [
      IdentityM2MModule.forRoot({
        client: {
          identityProvider: genericOAuth2({ tokenEndpoint: `${server.origin}/token` }),
          clientId: CLIENT_ID,
          clientSecret,
          allowedOrigins: [server.origin],
        },
      }),
    ],
  };
}

function guardedController() {
  class Things {
    all() {
      return { ok: true };
    }
  }
  Get('things')(Things.prototype, 'all', Object.getOwnPropertyDescriptor(Things.prototype, 'all'));
  UseGuards(M2MAuthGuard)(Things);
  Controller()(Things);
  return Things;
}

async function start(metadata) {
  class AppModule {}
  Module(metadata)(AppModule);
  const app = await NestFactory.create(AppModule, { logger: false });
  return app.init();
}

/** Runs a case and finds the library's functions that it ran, by source file. */
async function count(name, run) {
  await pause(SETTLE_MS);
  await inspector.post('Profiler.takePreciseCoverage');
  await run();
  await pause(SETTLE_MS);
  const { result } = await inspector.post('Profiler.takePreciseCoverage');
  const files = new Map();
  for (const { url, functions } of result.filter(({ url }) => url.startsWith(library.href))) {
    const { source, sourceOf } = readScript(url);
    for (const { functionName, ranges } of functions) {
      const [{ startOffset, endOffset, count: calls }] = ranges;
      const isModule = startOffset === 0 && endOffset === source.length;
      if (calls === 0 || isModule) continue;
      const file = sourceOf(startOffset);
      files.set(file, [...(files.get(file) ?? []), functionName || '(anonymous)']);
    }
  }
  const most = MAX_FILES[name];
  return { name, files, most, isOver: most !== undefined && files.size > most };
}

/** A script of the library, and the source file of each offset in it. */
function readScript(url) {
  const known = scripts.get(url);
  if (known) return known;
  const path = fileURLToPath(url);
  const source = readFileSync(path, 'utf8');
  if (!existsSync(`${path}.map`)) throw new Error(`${path} has no source map`);
  const map = new SourceMap(JSON.parse(readFileSync(`${path}.map`, 'utf8')));
  const sourceOf = (offset) => {
    const before = source.slice(0, offset).split('\n');
    const { originalSource } = map.findEntry(before.length - 1, before.at(-1).length);
    if (!originalSource) throw new Error(`${path}: the source map has no entry for offset ${offset}`);
    return relative(fileURLToPath(new URL('src/', library)), fileURLToPath(new URL(originalSource, url)));
  };
  scripts.set(url, { source, sourceOf });
  return scripts.get(url);
}

function report(rows) {
  const cells = rows.map(({ name, files, most, isOver }) => [
    name,
    String(files.size),
    `${most ?? ''}${isOver ? ' (over)' : ''}`,
    String([...files.values()].flat().length),
  ]);
  const table = [['case', 'files', 'limit', 'functions'], ...cells];
  const widths = table[0].map((_, column) => Math.max(...table.map((row) => row[column].length)));
  const line = (row) => `| ${row.map((cell, column) => cell.padEnd(widths[column])).join(' | ')} |`;
  const [head, ...body] = table.map(line);
  console.log([head, line(widths.map((width) => '-'.repeat(width))), ...body].join('\n'));
  if (options.list) for (const row of rows) list(row);
  const over = rows.filter(({ isOver }) => isOver).map(({ name }) => name);
  if (options.check && over.length > 0) {
    console.error(`Too many files run: ${over.join(', ')}. Use --list to see them.`);
    process.exitCode = 1;
  }
}

function list({ name, files }) {
  console.log(`\n${name}: ${files.size} files in ${relative(root, fileURLToPath(new URL('src', library)))}`);
  for (const [file, functions] of [...files].toSorted(([a], [b]) => a.localeCompare(b)))
    console.log(`  ${file}: ${functions.join(', ')}`);
}

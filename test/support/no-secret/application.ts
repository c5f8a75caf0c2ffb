// A Nest application that fails in every way, and writes everything down that it gets hold of. Told on its standard
// input what to plant and where; ends by an uncaught error, so that Node.js prints it.

import 'reflect-metadata';
import { subscribe } from 'node:diagnostics_channel';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { inspect } from 'node:util';
import { HttpService } from '@nestjs/axios';
import { ConsoleLogger, Controller, Get, Module, Param } from '@nestjs/common';
import { ModuleRef, NestFactory } from '@nestjs/core';
import {
  genericOAuth2,
  IdentityM2MModule,
  INBOUND_CHANNEL,
  AccessDecisions,
  M2MAuthGuard,
  m2mHttpToken,
  OUTBOUND_CHANNEL,
  TokenProvider,
  tokenProviderToken,
} from 'nestjs-identity-m2m';
import { ConfiguredClients } from '../../../libs/identity-m2m/src/clients/configured-clients.js';
import { IdentityM2MCoreModule } from '../../../libs/identity-m2m/src/identity-m2m-core.module.js';
import { clientOf, failingCalls, failingClients, type Instructions } from './failures.js';
import { heading, write } from './outputs.js';

const instructions = JSON.parse(await text(process.stdin)) as Instructions;
const { planted, nowhere, directory, task } = instructions;
const clients = failingClients(instructions);

/** What went wrong so far, by name. */
const failures = new Map<string, unknown>();

@Controller()
class Failing {
  @Get('throw/:name')
  fail(@Param('name') name: string): never {
    throw failures.get(name);
  }

  @Get('return/:name')
  tell(@Param('name') name: string): unknown {
    return failures.get(name);
  }
}

@Module({
  imports: [
    IdentityM2MModule.forRoot({
      client: clientOf(instructions, 'grants'),
      clients,
      guard: { issuers: [genericOAuth2({ issuer: nowhere })], audience: 'api' },
    }),
  ],
  controllers: [Failing],
})
class Application {}

const events: unknown[] = [];
for (const channel of [OUTBOUND_CHANNEL, INBOUND_CHANNEL]) {
  subscribe(channel, (event) => {
    events.push(event);
    heading('diagnostics channel');
    console.log(event, inspect(event, { depth: null, showHidden: true }), JSON.stringify(event));
  });
}

const app = await NestFactory.create(Application, {
  logger: new ConsoleLogger({ logLevels: ['verbose', 'debug', 'log', 'warn', 'error', 'fatal'] }),
});
await app.listen(0, '127.0.0.1');
const ownUrl = await app.getUrl();
if (task === 'fail') await failInEveryWay();
else await tellAll();
await app.close();

heading('the end');
const errors = [failures.get('bearer-reset'), failures.get('token-refuses')];
if (task === 'fail') void Promise.reject(new AggregateError(errors, 'nobody handles this'));
else {
  setImmediate(() => {
    throw new AggregateError(errors, 'nobody catches this');
  });
}

async function fail(name: string, action: () => Promise<unknown>): Promise<void> {
  const result: unknown = await action().then(
    (value) => ({ unexpected: value }),
    (error: unknown) => error,
  );
  failures.set(name, result);
  write(name, result, directory);
}

async function failInEveryWay(): Promise<void> {
  for (const name of Object.keys(clients)) {
    const provider = app.get<TokenProvider>(tokenProviderToken(name));
    if (name === 'bound') continue;
    await fail(`token-${name}`, () => provider.getToken());
    await fail(`again-${name}`, () => app.get<HttpService>(m2mHttpToken(name)).axiosRef.get('/ok'));
    write(`status of ${name}`, provider.status(), directory);
  }

  for (const [kind, http] of [
    ['bearer', app.get(HttpService)],
    ['dpop', app.get<HttpService>(m2mHttpToken('bound'))],
  ] as const) {
    for (const [way, call] of Object.entries(failingCalls(instructions)))
      await fail(`${kind}-${way}`, () => call(http));
    write(`${kind}-response`, await http.axiosRef.get('/ok'), directory);
  }

  heading('what callers of this application see');
  for (const name of failures.keys()) {
    for (const path of ['throw', 'return']) {
      const response = await fetch(`${ownUrl}/${path}/${encodeURIComponent(name)}`);
      console.log(name, response.status, [...response.headers], await response.text());
    }
  }

  write('events', events, directory);
  const provider = app.get(TokenProvider);
  const held = {
    provider,
    http: app.get(HttpService),
    boundHttp: app.get<HttpService>(m2mHttpToken('bound')),
    boundProvider: app.get<TokenProvider>(tokenProviderToken('bound')),
    clients: app.get(ConfiguredClients),
    token: await provider.getToken(),
    decisions: app.get(AccessDecisions),
    core: app.get(IdentityM2MCoreModule),
    module: app.get(IdentityM2MModule),
    guard: app.get(M2MAuthGuard),
  };
  for (const [name, value] of Object.entries(held)) write(`object ${name}`, value, directory);
  write('module reference', inspect(app.get(ModuleRef), { depth: 6 }), directory);
  if (process.report) {
    // It takes seconds to look up names.
    Object.assign(process.report, { excludeNetwork: true });
    writeFileSync(join(directory, 'report.json'), JSON.stringify(process.report.getReport()));
  }
}

/** The control: each secret once, each time another way; and two of the failures. */
async function tellAll(): Promise<void> {
  heading('told on purpose');
  console.log(planted.clientSecret, planted.assertion.slice(-40));
  console.error(Buffer.from(planted.nextSecret).toString('base64'), encodeURIComponent(planted.grantAssertion));
  writeFileSync(join(directory, 'told.txt'), `${planted.privateKey}\n${planted.brokenJwk}`);
  await fail('token-refuses', () => app.get<TokenProvider>(tokenProviderToken('refuses')).getToken());
  await fail('bearer-reset', () => app.get(HttpService).axiosRef.get('/reset'));
}

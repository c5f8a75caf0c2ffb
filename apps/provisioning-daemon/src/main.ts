import 'reflect-metadata';
import { existsSync } from 'node:fs';
import { loadEnvFile } from 'node:process';
import { fileURLToPath } from 'node:url';
import { ConsoleLogger, Logger } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import type { MicroserviceOptions } from '@nestjs/microservices';
import { BootLogger } from './boot-logger.js';
import { DaemonModule } from './daemon.module.js';
import { listening } from './listening.js';
import { readSettings } from './settings.js';
import { microserviceOptions, prepareDeadLetters } from './transport.js';

/** Beside this app's package.json. */
const ENV_FILE = fileURLToPath(new URL('../.env', import.meta.url));

async function main(): Promise<void> {
  // Settings come from one place: whoever gives the tenant in the environment gives all that goes with it there.
  if (!process.env.TENANT_URL && existsSync(ENV_FILE)) loadEnvFile(ENV_FILE);
  const settings = readSettings(process.env);
  await prepareDeadLetters(settings);
  const app = await NestFactory.createMicroservice<MicroserviceOptions>(DaemonModule.with(settings), {
    ...microserviceOptions(settings),
    // Nest's own account of its boot is not what a reader of this log looks for.
    logger: new BootLogger(),
    abortOnError: false,
  });
  app.enableShutdownHooks();
  await listening(app, settings.listenUrl);
  const colors = process.stdout.isTTY ? !process.env.NO_COLOR : false;
  app.useLogger(new ConsoleLogger({ logLevels: ['log', 'warn', 'error', 'fatal'], colors }));
  const { protocol, host } = settings.listenUrl;
  new Logger('ProvisioningDaemon').log(`takes events from ${protocol}//${host}`);
  // Whoever started this process may want to know when, and where, it can be called.
  process.send?.({ type: 'ready', url: `${protocol}//${host}` });
  // A parent that is gone, however it went, takes this process along.
  process.once('disconnect', () => process.kill(process.pid, 'SIGTERM'));
}

main().catch((error: unknown) => {
  console.error(error instanceof Error ? error.message : error);
  process.exit(1);
});

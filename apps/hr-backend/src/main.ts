import 'reflect-metadata';
import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import { loadEnvFile } from 'node:process';
import { fileURLToPath } from 'node:url';
import { ConsoleLogger, Logger } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { BackendModule } from './backend.module.js';
import { BootLogger } from './boot-logger.js';
import { readSettings } from './settings.js';

/** Beside this app's package.json. */
const ENV_FILE = fileURLToPath(new URL('../.env', import.meta.url));

async function main(): Promise<void> {
  // Settings come from one place: whoever gives the tenant in the environment gives all that goes with it there.
  if (!process.env.TENANT_URL && existsSync(ENV_FILE)) loadEnvFile(ENV_FILE);
  const settings = readSettings(process.env);
  const colors = process.stdout.isTTY ? !process.env.NO_COLOR : false;
  const app = await NestFactory.createApplicationContext(BackendModule.with(settings), {
    // Nest's own account of its boot is not what a reader of this log looks for.
    logger: new BootLogger(),
    abortOnError: false,
  });
  app.enableShutdownHooks();
  app.useLogger(new ConsoleLogger({ logLevels: ['log', 'warn', 'error', 'fatal'], colors }));
  const outbox = resolve(settings.outboxFolder);
  const { protocol, host } = settings.daemon.url;
  new Logger('HrBackend').log(`takes events from ${outbox} to ${protocol}//${host}`);
  // Whoever started this process may want to know that it runs.
  process.send?.({ type: 'ready', outbox });
  // A parent that is gone, however it went, takes this process along.
  process.once('disconnect', () => process.kill(process.pid, 'SIGTERM'));
}

main().catch((error: unknown) => {
  console.error(error instanceof Error ? error.message : error);
  process.exit(1);
});

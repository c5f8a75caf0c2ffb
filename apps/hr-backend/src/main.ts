import 'reflect-metadata';
import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import { loadEnvFile } from 'node:process';
import { fileURLToPath } from 'node:url';
import { ConsoleLogger, Logger } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { BackendModule } from './backend.module.js';
import { readSettings } from './settings.js';

/** Beside this app's package.json. */
const ENV_FILE = fileURLToPath(new URL('../.env', import.meta.url));

/** Logs warnings of the boot. An error that fails it is printed once, by `main`, without Nest's stack. */
class BootLogger extends ConsoleLogger {
  override error(): void {}
}

async function main(): Promise<void> {
  // All settings come from one place: with a TENANT_URL in the environment, the file is ignored.
  if (!process.env.TENANT_URL && existsSync(ENV_FILE)) loadEnvFile(ENV_FILE);
  const settings = readSettings(process.env);
  const app = await NestFactory.createApplicationContext(BackendModule.with(settings), {
    logger: new BootLogger({ logLevels: ['warn'] }),
    abortOnError: false,
  });
  app.enableShutdownHooks();
  const colors = process.stdout.isTTY ? !process.env.NO_COLOR : false;
  app.useLogger(new ConsoleLogger({ logLevels: ['log', 'warn', 'error', 'fatal'], colors }));
  const outbox = resolve(settings.OUTBOX_FOLDER);
  const { protocol, host } = settings.DAEMON_URL;
  new Logger('HrBackend').log(`delivers events from ${outbox} to ${protocol}//${host}`);
  // For a parent process: the backend runs.
  process.send?.({ type: 'ready', outbox });
  // When the parent is gone, for whatever reason, the backend ends too.
  process.once('disconnect', () => process.kill(process.pid, 'SIGTERM'));
}

main().catch((error: unknown) => {
  console.error(error instanceof Error ? error.message : error);
  process.exit(1);
});

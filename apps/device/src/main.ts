import 'reflect-metadata';
import { existsSync } from 'node:fs';
import { loadEnvFile } from 'node:process';
import { fileURLToPath } from 'node:url';
import { ConsoleLogger, Logger } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { BootLogger } from './boot-logger.js';
import { deviceKey } from './device-key.js';
import { DeviceModule } from './device.module.js';
import { ListenError } from './listen-error.js';
import { readSettings } from './settings.js';

/** Beside this app's package.json. */
const ENV_FILE = fileURLToPath(new URL('../.env', import.meta.url));

async function main(): Promise<void> {
  // Settings come from one place: whoever gives the tenant in the environment gives all that goes with it there.
  if (!process.env.TENANT_URL && existsSync(ENV_FILE)) loadEnvFile(ENV_FILE);
  const settings = readSettings(process.env);
  const key = 'keyFile' in settings.client ? await deviceKey(settings.client.keyFile) : undefined;
  const app = await NestFactory.create(DeviceModule.with(settings, key), {
    // Nest's own account of its boot is not what a reader of this log looks for.
    logger: new BootLogger(),
    abortOnError: false,
  });
  app.enableShutdownHooks();
  await app.listen(settings.port, settings.host).catch((cause: unknown) => {
    throw new ListenError(`${settings.host}, port ${settings.port}`, cause);
  });
  const url = await app.getUrl();
  const colors = process.stdout.isTTY ? !process.env.NO_COLOR : false;
  app.useLogger(new ConsoleLogger({ logLevels: ['log', 'warn', 'error', 'fatal'], colors }));
  const logger = new Logger('Device');
  logger.log(`${settings.name} listens on ${url}, and asks ${settings.neighbour.url}`);
  if (key?.isNew) logger.log(`made the key ${key.keyId}; hand its public half over: ${key.publicFile}`);
  // Whoever started this process may want to know when, and where, it can be called, and by which key it proves itself.
  process.send?.({ type: 'ready', url, jwks: key?.jwks });
  // A parent that is gone, however it went, takes this process along.
  process.once('disconnect', () => process.kill(process.pid, 'SIGTERM'));
}

main().catch((error: unknown) => {
  console.error(error instanceof Error ? error.message : error);
  process.exit(1);
});

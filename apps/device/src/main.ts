import 'reflect-metadata';
import { existsSync } from 'node:fs';
import { loadEnvFile } from 'node:process';
import { fileURLToPath } from 'node:url';
import { ConsoleLogger, type INestApplication, Logger } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { deviceKey } from './device-key.js';
import { DeviceModule } from './device.module.js';
import { readSettings, type Settings } from './settings.js';

/** Beside this app's package.json. */
const ENV_FILE = fileURLToPath(new URL('../.env', import.meta.url));

/** The device cannot listen on the configured address. */
class ListenError extends Error {
  readonly code = 'ADDRESS_UNUSABLE';

  constructor({ HOST, PORT }: Settings, cause: unknown) {
    const { code } = cause as NodeJS.ErrnoException;
    const reason = code ?? String(cause);
    super(`Cannot listen on ${HOST}, port ${PORT} (${reason}). Set HOST and PORT to a free address of this machine.`, {
      cause,
    });
    this.name = 'ListenError';
  }
}

/** Logs warnings of the boot. An error that fails it is printed once, by `main`, without Nest's stack. */
class BootLogger extends ConsoleLogger {
  override error(): void {}
}

async function main(): Promise<void> {
  // All settings come from one place: with a TENANT_URL in the environment, the file is ignored.
  if (!process.env.TENANT_URL && existsSync(ENV_FILE)) loadEnvFile(ENV_FILE);
  const settings = readSettings(process.env);
  const key = settings.KEY_FILE === undefined ? undefined : await deviceKey(settings.KEY_FILE);
  const app = await NestFactory.create(DeviceModule.with(settings, key), {
    logger: new BootLogger({ logLevels: ['warn'] }),
    abortOnError: false,
  });
  app.enableShutdownHooks();
  const url = await listen(app, settings);
  const colors = process.stdout.isTTY ? !process.env.NO_COLOR : false;
  app.useLogger(new ConsoleLogger({ logLevels: ['log', 'warn', 'error', 'fatal'], colors }));
  const logger = new Logger('Device');
  logger.log(`${settings.NAME} listens on ${url}, and calls ${settings.NEIGHBOUR_URL}`);
  if (key?.isNew) logger.log(`created the key ${key.keyId}; register its public half: ${key.publicFile}`);
  // For a parent process: the device is ready, with its address and public key.
  process.send?.({ type: 'ready', url, jwks: key?.jwks });
  // When the parent is gone, for whatever reason, the device ends too.
  process.once('disconnect', () => process.kill(process.pid, 'SIGTERM'));
}

/** @throws {@link ListenError} */
async function listen(app: INestApplication, settings: Settings): Promise<string> {
  await app.listen(settings.PORT, settings.HOST).catch((cause: unknown) => {
    throw new ListenError(settings, cause);
  });
  return app.getUrl();
}

main().catch((error: unknown) => {
  console.error(error instanceof Error ? error.message : error);
  process.exit(1);
});

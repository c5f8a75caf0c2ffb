import 'reflect-metadata';
import { existsSync } from 'node:fs';
import { loadEnvFile } from 'node:process';
import { fileURLToPath } from 'node:url';
import { ConsoleLogger, type INestMicroservice, Logger } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import type { MicroserviceOptions } from '@nestjs/microservices';
import { DaemonModule } from './daemon.module.js';
import { readSettings } from './settings.js';
import { microserviceOptions, prepareDeadLetters } from './transport.js';

/** Beside this app's package.json. */
const ENV_FILE = fileURLToPath(new URL('../.env', import.meta.url));

/** The daemon cannot listen on the configured address. */
class ListenError extends Error {
  readonly code = 'ADDRESS_UNUSABLE';

  constructor({ host }: URL, cause: unknown) {
    const { code } = cause as NodeJS.ErrnoException;
    const reason = code ?? String(cause);
    super(`Cannot listen on ${host} (${reason}). Set LISTEN_URL to a free address of this machine.`, { cause });
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
  await prepareDeadLetters(settings);
  const app = await NestFactory.createMicroservice<MicroserviceOptions>(DaemonModule.with(settings), {
    ...microserviceOptions(settings),
    logger: new BootLogger({ logLevels: ['warn'] }),
    abortOnError: false,
  });
  app.enableShutdownHooks();
  await listen(app, settings.LISTEN_URL);
  const colors = process.stdout.isTTY ? !process.env.NO_COLOR : false;
  app.useLogger(new ConsoleLogger({ logLevels: ['log', 'warn', 'error', 'fatal'], colors }));
  const { protocol, host } = settings.LISTEN_URL;
  const url = `${protocol}//${host}`;
  new Logger('ProvisioningDaemon').log(`takes events from ${url}`);
  // For a parent process: the daemon is ready, at this address.
  process.send?.({ type: 'ready', url });
  // When the parent is gone, for whatever reason, the daemon ends too.
  process.once('disconnect', () => process.kill(process.pid, 'SIGTERM'));
}

/**
 * Resolves when the daemon takes events. By TCP, Nest emits a failure as an event and never settles its promise.
 *
 * @throws {@link ListenError}
 */
async function listen(app: INestMicroservice, address: URL): Promise<void> {
  if (!address.protocol.startsWith('tcp')) return app.listen();
  const failed = new Promise<never>((_resolve, reject) => app.on('error', reject));
  await Promise.race([app.listen(), failed]).catch((cause: unknown) => {
    throw new ListenError(address, cause);
  });
}

main().catch((error: unknown) => {
  console.error(error instanceof Error ? error.message : error);
  process.exit(1);
});

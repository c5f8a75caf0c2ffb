import 'reflect-metadata';
import { existsSync } from 'node:fs';
import { loadEnvFile } from 'node:process';
import { fileURLToPath } from 'node:url';
import { ConsoleLogger, type INestApplication, Logger } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { serveApiDocumentation } from './api-documentation.js';
import { AppModule } from './app.module.js';
import { readSettings, type Settings } from './settings.js';

/** Beside this app's package.json. */
const ENV_FILE = fileURLToPath(new URL('../.env', import.meta.url));

const DEFAULT_PORT = 3000;

/** Another process listens on the configured port. */
class PortTakenError extends Error {
  readonly code = 'PORT_TAKEN';

  constructor(host: string, port: number) {
    super(`Port ${port} on ${host} is taken by another process. Set PORT to a free one, or to 0 for any free one.`);
    this.name = 'PortTakenError';
  }
}

/** The service cannot listen on the configured address. */
class ListenError extends Error {
  readonly code = 'ADDRESS_UNUSABLE';

  constructor(host: string, port: number, cause: unknown) {
    const { code } = cause as NodeJS.ErrnoException;
    const reason = code ?? String(cause);
    super(
      `Cannot listen on ${host}, port ${port} (${reason}). Set HOST to an address of this machine, and PORT to a port that this process may use.`,
      { cause },
    );
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
  const app = await NestFactory.create(AppModule.with(settings), {
    logger: new BootLogger({ logLevels: ['warn'] }),
    abortOnError: false,
  });
  app.enableShutdownHooks();
  serveApiDocumentation(
    app,
    `curl -su '<client id>:<client secret>' -d grant_type=client_credentials ${settings.TENANT_URL}/oauth2/token/${settings.API_APPLICATION_ID}`,
  );
  const url = await listen(app, settings);
  const colors = process.stdout.isTTY ? !process.env.NO_COLOR : false;
  app.useLogger(new ConsoleLogger({ logLevels: ['log', 'warn', 'error', 'fatal'], colors }));
  new Logger('UserProvisioning').log(`listening on ${url}, API documentation on ${url}/docs`);
  // For a parent process: the service is ready, at this address.
  process.send?.({ type: 'ready', url });
  // When the parent is gone, for whatever reason, the service ends too.
  process.once('disconnect', () => process.kill(process.pid, 'SIGTERM'));
}

/**
 * Listens on the configured port. Without one, any free port replaces a default port that is taken.
 *
 * @throws {@link PortTakenError}; {@link ListenError}
 */
async function listen(app: INestApplication, { HOST: host, PORT }: Settings): Promise<string> {
  const port = PORT ?? DEFAULT_PORT;
  try {
    await app.listen(port, host);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EADDRINUSE') throw new ListenError(host, port, error);
    if (PORT !== undefined) throw new PortTakenError(host, port);
    await app.listen(0, host);
  }
  return app.getUrl();
}

main().catch((error: unknown) => {
  console.error(error instanceof Error ? error.message : error);
  process.exit(1);
});

import 'reflect-metadata';
import { existsSync } from 'node:fs';
import { loadEnvFile } from 'node:process';
import { fileURLToPath } from 'node:url';
import { ConsoleLogger, Logger } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { serveApiDocumentation } from './api-documentation.js';
import { AppModule } from './app.module.js';
import { BootLogger } from './boot-logger.js';
import { listen } from './listen.js';
import { readSettings } from './settings/settings.js';

/** Beside this app's package.json. */
const ENV_FILE = fileURLToPath(new URL('../.env', import.meta.url));

async function main(): Promise<void> {
  // Settings come from one place: whoever gives the tenant in the environment gives all that goes with it there.
  if (!process.env.TENANT_URL && existsSync(ENV_FILE)) loadEnvFile(ENV_FILE);
  const settings = readSettings(process.env);
  // Nest's own account of its boot is not what a reader of this log looks for.
  const app = await NestFactory.create(AppModule.with(settings), {
    logger: new BootLogger(),
    abortOnError: false,
  });
  app.enableShutdownHooks();
  serveApiDocumentation(
    app,
    `curl -su '<client id>:<client secret>' -d grant_type=client_credentials ${settings.tenant.url}/oauth2/token/${settings.api.applicationId}`,
  );
  const url = await listen(app, settings);
  const colors = process.stdout.isTTY ? !process.env.NO_COLOR : false;
  app.useLogger(new ConsoleLogger({ logLevels: ['log', 'warn', 'error', 'fatal'], colors }));
  new Logger('UserProvisioning').log(`listening on ${url}, API documentation on ${url}/docs`);
  // Whoever started this process may want to know when, and where, it can be called.
  process.send?.({ type: 'ready', url });
  // A parent that is gone, however it went, takes this process along.
  process.once('disconnect', () => process.kill(process.pid, 'SIGTERM'));
}

main().catch((error: unknown) => {
  console.error(error instanceof Error ? error.message : error);
  process.exit(1);
});

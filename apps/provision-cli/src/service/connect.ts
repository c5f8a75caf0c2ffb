import type { INestApplicationContext, LoggerService } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { partiesText } from '../output/event-text.js';
import { partiesOf, type Settings } from '../settings/settings.js';
import type { Surroundings } from '../surroundings.js';
import { ClientModule } from './client.module.js';

/**
 * Does something as a client of the service: in a Nest application without a server, which ends with it.
 *
 * @param warn Gets what the library has to say that is worth a line. Left out where one call is made, whose error says
 * the same.
 */
export async function connected<Result>(
  settings: Settings,
  action: (app: INestApplicationContext) => Promise<Result>,
  warn: (text: string) => void = () => {},
): Promise<Result> {
  const app = await NestFactory.createApplicationContext(ClientModule.with(settings), {
    logger: new WarningsOnly(warn),
    abortOnError: false,
  });
  try {
    return await action(app);
  } finally {
    await app.close();
  }
}

/** Does something in one call, after a line on standard error about who is called, and as whom. */
export function connectedForOneCall<Result>(
  settings: Settings,
  { stderr }: Surroundings,
  action: (app: INestApplicationContext) => Promise<Result>,
): Promise<Result> {
  stderr.write(`Calling ${partiesText(partiesOf(settings))}.\n`);
  return connected(settings, action);
}

class WarningsOnly implements LoggerService {
  constructor(private readonly write: (text: string) => void) {}

  log(): void {}

  warn(message: unknown): void {
    this.write(String(message));
  }

  error(message: unknown): void {
    this.write(String(message));
  }
}

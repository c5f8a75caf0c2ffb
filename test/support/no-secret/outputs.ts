import { appendFileSync } from 'node:fs';
import { join } from 'node:path';
import { inspect } from 'node:util';
import { ConsoleLogger, Logger } from '@nestjs/common';

/** As much as can be shown of a value. */
const EVERYTHING = { depth: null, showHidden: true, maxStringLength: null, maxArrayLength: null } as const;

const jsonLogger = new ConsoleLogger({ json: true, logLevels: ['verbose', 'debug', 'log', 'warn', 'error', 'fatal'] });

/** Writes a value in every way in which an application writes what went wrong. */
export function write(name: string, value: unknown, directory: string): void {
  heading(name);
  console.error(value);
  console.log('%s %O %j', name, value, asJson(value));
  const logger = new Logger(name);
  logger.error(value);
  logger.verbose({ name, value });
  jsonLogger.error(value);
  appendFileSync(join(directory, 'application.log'), `${name}\n${inspect(value, EVERYTHING)}\n`);
  if (!(value instanceof Error)) return;
  logger.error(value.message, value.stack);
  console.log(`${value.name}: ${value.message}`, String(value), value.stack, asJson(Object.entries(value)));
  if ('toJSON' in value && typeof value.toJSON === 'function') console.log(inspect(value.toJSON(), EVERYTHING));
  // The attributes that a tracing library makes of an exception (OpenTelemetry semantic conventions).
  const { name: type, message, stack, cause } = value;
  console.log(asJson({ 'exception.type': type, 'exception.message': message, 'exception.stacktrace': stack }));
  if (cause !== undefined) console.log('cause %s', cause, inspect(cause, EVERYTHING));
}

/** Stands above what belongs together, so that a reader sees that it is there. */
export function heading(name: string): void {
  console.log(`\n### ${name}`);
  console.error(`\n### ${name}`);
}

function asJson(value: unknown): string {
  try {
    return JSON.stringify(value) ?? 'undefined';
  } catch (error) {
    return `not JSON: ${String(error)}`;
  }
}

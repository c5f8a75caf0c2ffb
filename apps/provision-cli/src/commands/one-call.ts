import type { INestApplicationContext } from '@nestjs/common';
import type { Clock, CommandContext } from '../context.js';
import { EXIT, ServiceUnreachableError } from '../errors.js';
import { partiesText } from '../output/import-event.js';
import { OutputStream } from '../output/output-stream.js';
import { jsonLine, printable } from '../output/safe-text.js';
import { connected } from '../service/client.module.js';
import { type ConnectionOptions, partiesOf, type Settings } from '../settings.js';

export interface OutputOptions extends ConnectionOptions {
  readonly json?: true;
}

/**
 * Runs a command of one call: names the service and the client on standard error, then writes the result.
 *
 * @returns The exit code.
 */
export async function runOneCall(
  settings: Settings,
  options: OutputOptions,
  { stdout, stderr }: CommandContext,
  call: (app: INestApplicationContext) => Promise<Readonly<Record<string, unknown>>>,
): Promise<number> {
  stderr.write(`Calling ${partiesText(partiesOf(settings))}.\n`);
  return connected(settings, async (app) => {
    const result = await call(app);
    const output = new OutputStream(stdout);
    output.write(options.json ? jsonLine(result) : table(result));
    await output.flushed();
    output.requireWritten();
    return EXIT.done;
  });
}

/** Formats a result as a line for each member. */
function table(result: Readonly<Record<string, unknown>>): string {
  const known = Object.entries(result).filter(([, value]) => value !== undefined && value !== null);
  const width = Math.max(...known.map(([name]) => name.length));
  return known.map(([name, value]) => `${name.padEnd(width)}  ${printable(String(value))}\n`).join('');
}

const ATTEMPTS = 3;
const PAUSE_MS = 1000;
/** Longest pause that the user has to wait. */
const LONGEST_PAUSE_MS = 10_000;

/** Makes a call that is safe to repeat. Retries it after a pause if the service cannot be reached or asks for that. */
export async function withRetries<Result>(clock: Clock, call: () => Promise<Result>): Promise<Result> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await call();
    } catch (error) {
      if (!(error instanceof ServiceUnreachableError) || attempt === ATTEMPTS) throw error;
      const pauseMs = error.retryAfterMs ?? PAUSE_MS;
      if (pauseMs > LONGEST_PAUSE_MS) throw error;
      await new Promise<void>((resolve) => clock.setTimer(pauseMs, resolve));
    }
  }
}

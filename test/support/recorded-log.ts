import { ConsoleLogger, Logger, type LogLevel } from '@nestjs/common';

/**
 * Records the lines of Nest's log, each with its level in front: `warn: guard: …`. Call `Logger.overrideLogger(false)` at
 * the end of the test.
 *
 * @param levels Default: all. Lines of other levels are dropped.
 */
export function recordLog(levels: readonly LogLevel[] = ['debug', 'log', 'warn', 'error']): string[] {
  const lines: string[] = [];
  const logger = new ConsoleLogger();
  for (const level of ['debug', 'log', 'warn', 'error'] as const) {
    logger[level] = (message: string) => {
      if (levels.includes(level)) lines.push(`${level}: ${message}`);
    };
  }
  Logger.overrideLogger(logger);
  return lines;
}

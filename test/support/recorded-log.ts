import { ConsoleLogger, Logger } from '@nestjs/common';

const LEVELS = ['debug', 'log', 'warn', 'error'] as const;
type Level = (typeof LEVELS)[number];

/** A logger for an application that passes its lines to the test, and prints none. */
export function recordingLogger(record: (level: Level, line: string) => unknown): ConsoleLogger {
  const logger = new ConsoleLogger();
  for (const level of LEVELS) logger[level] = (line: string) => void record(level, line);
  return logger;
}

/**
 * Records the lines of Nest's log, each with its level in front: `warn: guard: …`. Call `Logger.overrideLogger(false)`
 * at the end of the test.
 *
 * @param levels Default: all. Lines of other levels are dropped.
 */
export function recordLog(levels: readonly Level[] = LEVELS): string[] {
  const lines: string[] = [];
  Logger.overrideLogger(recordingLogger((level, line) => levels.includes(level) && lines.push(`${level}: ${line}`)));
  return lines;
}

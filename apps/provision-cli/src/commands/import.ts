import { z } from 'zod';
import type { Clock, CommandContext } from '../context.js';
import { EXIT, SettingsError } from '../errors.js';
import { ImportRun } from '../import/import-run.js';
import { IMPORT_LIMITS, type ImportLimits } from '../import/sending-window.js';
import { isBad, linesOf } from '../input/input-record.js';
import { inputRecords } from '../input/input-records.js';
import { type InputSource, openInput, STANDARD_INPUT } from '../input/input-source.js';
import { type DoneLines, requireUnchanged } from '../journal/done-lines.js';
import { Journal } from '../journal/journal.js';
import { RejectsFile } from '../journal/rejects-file.js';
import { eventText, type ImportEvent, type ImportSummary } from '../output/import-event.js';
import { OutputStream } from '../output/output-stream.js';
import { type Reporter, reporterFor } from '../output/reporter.js';
import { jsonLine } from '../output/safe-text.js';
import { BatchEndpoint } from '../service/batch-endpoint.js';
import { connected } from '../service/client.module.js';
import { type ConnectionOptions, partiesOf, readBoth, readSettings, type Settings } from '../settings.js';
import { Interruption } from './interruption.js';

/** Options of `import`, as typed. */
export interface ImportOptions {
  readonly journal?: string;
  readonly concurrency?: string;
  readonly giveUpAfter?: string;
  readonly dryRun?: true;
  readonly retryRejected?: true;
  readonly json?: true;
}

interface ImportPlan {
  readonly journalPath: string;
  readonly rejectsPath: string;
  readonly limits: ImportLimits;
}

const number = (max: number, min: number) =>
  z.coerce
    .number(`must be a number from ${min} to ${max}`)
    .int('must be a whole number')
    .min(min, `must be at least ${min}`)
    .max(max, `must be at most ${max}`)
    .optional();

const numberOptions = z.object({ '--concurrency': number(64, 1), '--give-up-after': number(86_400, 0) });

/** @throws SettingsError */
function planImport(path: string, options: ImportOptions): ImportPlan {
  const { journal, concurrency, giveUpAfter } = options;
  const result = numberOptions.safeParse({ '--concurrency': concurrency, '--give-up-after': giveUpAfter });
  const faults = (result.error?.issues ?? []).map(({ path, message }) => `${path.join('.')}: ${message}`);
  if (path === STANDARD_INPUT && !journal) {
    faults.push('--journal: standard input has no name to put a journal beside; name the journal');
  }
  if (!result.success || faults.length > 0) throw new SettingsError(faults);
  const seconds = result.data['--give-up-after'];
  return {
    journalPath: journal ?? `${path}.journal`,
    rejectsPath: `${journal ?? path}.rejects.ndjson`,
    limits: {
      ...IMPORT_LIMITS,
      ...(result.data['--concurrency'] !== undefined && { maxSize: result.data['--concurrency'] }),
      ...(seconds !== undefined && { patienceMs: seconds * 1000 }),
    },
  };
}

/**
 * Imports a file of users, or the lines of it that are still open.
 *
 * @returns The exit code.
 */
export async function importUsers(
  path: string,
  options: ImportOptions & ConnectionOptions,
  context: CommandContext,
): Promise<number> {
  const [settings, plan] = readBoth(
    () => readSettings(context.environment, options),
    () => planImport(path, options),
  );
  const { clock } = context;
  const retriesRejected = options.retryRejected ?? false;
  const input = await openInput(path, context.stdin);
  if (input.content) await requireHeader(input);
  RejectsFile.requireFree(plan.rejectsPath, plan.journalPath);
  const reporter = reporterFor(context, options.json ?? false);
  const importInto = async (service: BatchEndpoint): Promise<number> => {
    const { serviceUrl, clientId } = settings;
    const subject = { content: input.content, service: serviceUrl, clientId };
    const journal = await Journal.open(plan.journalPath, subject, retriesRejected);
    try {
      if (input.content && retriesRejected) await requireDoneLines(input, journal.done);
      const rejects = await RejectsFile.open(plan.rejectsPath, journal.done);
      try {
        return await runImport({ input, settings, plan, journal, rejects, service, retriesRejected, clock, reporter });
      } finally {
        await rejects.close(retriesRejected ? journal.done : undefined);
      }
    } finally {
      await journal.close();
    }
  };
  return connected(
    settings,
    (app) => importInto(app.get(BatchEndpoint)),
    (text) => reporter.emit({ event: 'note', text }),
  );
}

/** Checks the header before the journal is begun: a journal for this content would not fit the corrected file. */
async function requireHeader(input: InputSource): Promise<void> {
  const source = input.read();
  await inputRecords(source, input.format).next();
  source.destroy();
}

/** Checks the lines that are done before anything is sent: moved lines would be imported twice. */
async function requireDoneLines(input: InputSource, done: DoneLines): Promise<void> {
  for await (const records of inputRecords(input.read(), input.format)) {
    for (const record of records) {
      const outcome = done.outcomeOf(record.line);
      if (outcome !== undefined && outcome !== 'rejected') requireUnchanged(record, done);
    }
  }
}

interface Preparation {
  readonly input: InputSource;
  readonly settings: Settings;
  readonly plan: ImportPlan;
  readonly journal: Journal;
  readonly rejects: RejectsFile;
  readonly service: BatchEndpoint;
  readonly retriesRejected: boolean;
  readonly clock: Clock;
  readonly reporter: Reporter;
}

async function runImport(preparation: Preparation): Promise<number> {
  const { input, settings, plan, journal, rejects, service, retriesRejected, clock, reporter } = preparation;
  const source = input.read();
  const run = new ImportRun({
    records: inputRecords(source, input.format),
    journal,
    rejects,
    service,
    retriesRejected,
    limits: plan.limits,
    clock,
    emit: (event) => reporter.emit(event),
    drained: () => reporter.drained(),
  });
  const stop = () => {
    run.interrupt();
    source.destroy();
  };
  const interruption = new Interruption(() => {
    stop();
    reporter.emit({ event: 'stopping', reason: 'Finishing the batches under way. Press Ctrl-C again to end at once.' });
  });
  reporter.output.onBroken = stop;
  reporter.emit({
    event: 'started',
    input: input.name,
    ...partiesOf(settings),
    journal: plan.journalPath,
    doneBefore: journal.done.size,
  });
  reporter.follow(() => run.progress, input.content?.size);
  try {
    await run.run();
  } finally {
    source.destroy();
    interruption.end();
    reporter.stop();
    reporter.emit({ event: 'summary', ...run.summary });
    await reporter.flushed();
  }
  reporter.output.requireWritten();
  return interruption.exitCode ?? (reporter.output.isBroken ? EXIT.brokenPipe : exitCodeOfSummary(run.summary));
}

function exitCodeOfSummary({ complete, rejected }: ImportSummary): number {
  if (!complete) return EXIT.unreachable;
  return rejected > 0 ? EXIT.rejected : EXIT.done;
}

/**
 * Checks all lines of a file and reports the faults of each. Sends nothing, writes no file, needs no settings.
 *
 * @returns The exit code.
 */
export async function checkUsers(path: string, isJson: boolean, context: CommandContext): Promise<number> {
  const output = new OutputStream(context.stdout);
  const report = (event: ImportEvent) => output.write(isJson ? jsonLine(event) : `${eventText(event) ?? ''}\n`);
  const input = await openInput(path, context.stdin);
  let [right, wrong, maybeGood] = [0, 0, 0];
  for await (const records of inputRecords(input.read(), input.format)) {
    output.requireWritten();
    if (output.isBroken) return EXIT.brokenPipe;
    for (const record of records) {
      if (!isBad(record)) right++;
      else {
        wrong += linesOf(record);
        maybeGood += record.maybeGood ?? 0;
        const { line, lastLine, fault } = record;
        report({ event: 'rejected', line, lastLine, code: 'invalid', reason: fault });
      }
    }
    await output.drained();
  }
  report({ event: 'checked', right, wrong, maybeGood });
  await output.flushed();
  output.requireWritten();
  return wrong > 0 ? EXIT.rejected : EXIT.done;
}

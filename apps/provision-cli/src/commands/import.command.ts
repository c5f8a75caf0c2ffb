import type { Clock } from '../clock.js';
import { EXIT } from '../exit-code.js';
import type { ImportSummary } from '../import/import-event.js';
import { ImportRun } from '../import/import-run.js';
import { inputRecords } from '../input/input-records.js';
import { type Input, openInput } from '../input/open-input.js';
import type { DoneLines } from '../journal/done-lines.js';
import { Journal } from '../journal/journal.js';
import { requireUnchanged } from '../journal/line-mark.js';
import { RejectsFile } from '../journal/rejects-file.js';
import { BatchEndpoint } from '../service/batch-endpoint.js';
import { connected } from '../service/connect.js';
import { readBoth } from '../settings/settings-error.js';
import { type ConnectionOptions, partiesOf, readSettings, type Settings } from '../settings/settings.js';
import type { Surroundings } from '../surroundings.js';
import { ImportOutput } from './import-output.js';
import { type ImportOptions, type ImportPlan, planImport } from './import-options.js';
import { Interruption } from './interruption.js';

/**
 * Imports a file of users, or what is left of it.
 *
 * @returns The exit code.
 */
export async function importUsers(
  path: string,
  options: ImportOptions & ConnectionOptions,
  surroundings: Surroundings,
): Promise<number> {
  const [settings, plan] = readBoth(
    () => readSettings(surroundings.environment, options),
    () => planImport(path, options),
  );
  const { clock } = surroundings;
  const retriesRejected = options.retryRejected ?? false;
  const input = await openInput(path, surroundings.stdin);
  if (input.content) await requireHeader(input);
  RejectsFile.requireFree(plan.rejectsPath, plan.journalPath);
  const output = new ImportOutput(surroundings, options.json ?? false);
  const importInto = async (service: BatchEndpoint): Promise<number> => {
    const { serviceUrl, clientId } = settings;
    const subject = { content: input.content, service: serviceUrl, clientId };
    const journal = await Journal.open(plan.journalPath, subject, retriesRejected);
    try {
      if (input.content && retriesRejected) await requireDoneLines(input, journal.done);
      const rejects = await RejectsFile.open(plan.rejectsPath, journal.done);
      try {
        return await runImport({ input, settings, plan, journal, rejects, service, retriesRejected, clock, output });
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
    (text) => output.reporter.emit({ event: 'note', text }),
  );
}

/** Before there is a journal, which would go with this very content: once its header is mended, the file is another. */
async function requireHeader(input: Input): Promise<void> {
  const source = input.read();
  await inputRecords(source, input.format).next();
  source.destroy();
}

/** Before anything is sent: an input whose lines have moved would be imported once more. */
async function requireDoneLines(input: Input, done: DoneLines): Promise<void> {
  for await (const records of inputRecords(input.read(), input.format)) {
    for (const record of records) {
      const outcome = done.outcomeOf(record.line);
      if (outcome !== undefined && outcome !== 'rejected') requireUnchanged(record, done);
    }
  }
}

interface Prepared {
  readonly input: Input;
  readonly settings: Settings;
  readonly plan: ImportPlan;
  readonly journal: Journal;
  readonly rejects: RejectsFile;
  readonly service: BatchEndpoint;
  readonly retriesRejected: boolean;
  readonly clock: Clock;
  readonly output: ImportOutput;
}

async function runImport(prepared: Prepared): Promise<number> {
  const { input, settings, plan, journal, rejects, service, retriesRejected, clock, output } = prepared;
  const { reporter } = output;
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
    drained: () => output.drained(),
  });
  const stop = () => {
    run.interrupt();
    source.destroy();
  };
  const interruption = new Interruption(() => {
    stop();
    reporter.emit({ event: 'stopping', reason: 'Finishing what is under way. Ctrl-C again ends at once.' });
  });
  output.onBroken(stop);
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
    await output.flushed();
  }
  output.requireWritten();
  return interruption.exitCode ?? (output.isBroken ? EXIT.brokenPipe : exitCodeOfSummary(run.summary));
}

function exitCodeOfSummary({ complete, rejected }: ImportSummary): number {
  if (!complete) return EXIT.unreachable;
  return rejected > 0 ? EXIT.rejected : EXIT.done;
}

import { EXIT } from '../exit-code.js';
import type { ImportSummary } from '../import/import-event.js';
import { ImportRun } from '../import/import-run.js';
import { inputRecords } from '../input/input-records.js';
import { type Input, openInput } from '../input/open-input.js';
import { Journal } from '../journal/journal.js';
import { RejectsFile } from '../journal/rejects-file.js';
import { BatchEndpoint } from '../service/batch-endpoint.js';
import { connected } from '../service/connect.js';
import { readBoth } from '../settings/settings-error.js';
import { type ConnectionOptions, readSettings, type Settings } from '../settings/settings.js';
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
  const input = await openInput(path, surroundings.stdin);
  if (input.content) await requireHeader(input);
  RejectsFile.requireFree(plan.rejectsPath, plan.journalPath);
  const output = new ImportOutput(surroundings, options.json ?? false);
  const importInto = async (service: BatchEndpoint): Promise<number> => {
    const { serviceUrl, clientId } = settings;
    const journal = await Journal.open(plan.journalPath, { content: input.content, service: serviceUrl, clientId });
    try {
      const rejects = await RejectsFile.open(plan.rejectsPath, journal.done);
      try {
        return await runImport({ input, settings, plan, journal, rejects, service, output });
      } finally {
        await rejects.close();
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

interface Prepared {
  readonly input: Input;
  readonly settings: Settings;
  readonly plan: ImportPlan;
  readonly journal: Journal;
  readonly rejects: RejectsFile;
  readonly service: BatchEndpoint;
  readonly output: ImportOutput;
}

async function runImport({ input, settings, plan, journal, rejects, service, output }: Prepared): Promise<number> {
  const { reporter } = output;
  const source = input.read();
  const run = new ImportRun({
    records: inputRecords(source, input.format),
    journal,
    rejects,
    service,
    limits: plan.limits,
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
    service: settings.serviceUrl,
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

import { z } from 'zod';
import { IMPORT_LIMITS, type ImportLimits } from '../import/import-limits.js';
import { STANDARD_INPUT } from '../input/open-input.js';
import { SettingsError } from '../settings/settings-error.js';

/** Options of `import`, as they were written. */
export interface ImportOptions {
  readonly journal?: string;
  readonly concurrency?: string;
  readonly giveUpAfter?: string;
  readonly dryRun?: true;
  readonly retryRejected?: true;
  readonly json?: true;
}

export interface ImportPlan {
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

const schema = z.object({ '--concurrency': number(64, 1), '--give-up-after': number(86_400, 0) });

/** @throws {@link SettingsError} */
export function planImport(path: string, options: ImportOptions): ImportPlan {
  const { journal, concurrency, giveUpAfter } = options;
  const result = schema.safeParse({ '--concurrency': concurrency, '--give-up-after': giveUpAfter });
  const faults = (result.error?.issues ?? []).map(({ path, message }) => `${path.join('.')}: ${message}`);
  if (path === STANDARD_INPUT && !journal) {
    faults.push('--journal: standard input has no name that a journal could stand beside; give the journal one');
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

// The mutants of files, and the sample of them that is run.

import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { relative } from 'node:path';
import { commonTokens } from '@stryker-mutator/api/plugin';
import { createInstrumenter } from '@stryker-mutator/instrumenter';
import { createInjector } from 'typed-inject';

/** Mutators that are left out: they change messages, and objects whose members types demand. */
export const EXCLUDED_MUTATORS = ['StringLiteral', 'ObjectLiteral'];

/** Names a mutant: the same in each run of one commit. */
export function keyOf({ fileName, location: { start, end }, mutatorName, replacement }) {
  const file = fileName.slice(fileName.indexOf('libs/identity-m2m'));
  return [file, start.line, start.column, end.line, end.column, mutatorName, replacement].join(':');
}

/** Returns all mutants of files. */
export async function mutantsOf(files, root) {
  const log = { isTraceEnabled: () => false, isDebugEnabled: () => false };
  for (const level of ['trace', 'debug', 'info', 'warn', 'error', 'fatal']) log[level] = () => {};
  const instrumenter = createInjector().provideValue(commonTokens.logger, log).injectFunction(createInstrumenter);
  const sources = files.map((file) => ({ name: file, content: readFileSync(file, 'utf8'), mutate: true }));
  const { mutants } = await instrumenter.instrument(sources, {
    plugins: null,
    excludedMutations: EXCLUDED_MUTATORS,
    ignorers: [],
    noHeader: true,
  });
  return mutants
    .filter(({ mutatorName }) => !EXCLUDED_MUTATORS.includes(mutatorName))
    .map((mutant) => ({ ...mutant, fileName: relative(root, mutant.fileName) }));
}

/** Returns the mutants whose hashes with the seed are lowest. */
export function sampleOf(mutants, size, seed) {
  const rankOf = (mutant) =>
    createHash('sha256')
      .update(`${seed} ${keyOf(mutant)}`)
      .digest('hex');
  return mutants
    .map((mutant) => ({ mutant, rank: rankOf(mutant) }))
    .toSorted((a, b) => (a.rank < b.rank ? -1 : 1))
    .slice(0, size)
    .map(({ mutant }) => mutant);
}

// run-part.mjs <checkout> <files, comma> <sample file> <result file> <tests …>
//
// Runs the sampled mutants of some files against some tests, in a checkout of its own, and writes how each ended.

import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Stryker } from '@stryker-mutator/core';
import { EXCLUDED_MUTATORS, keyOf } from './mutants.mjs';

const [checkout, files, sampleFile, resultFile, ...tests] = process.argv.slice(2);
process.chdir(checkout);
process.env.MUTATION_SAMPLE = sampleFile;
const nodeArgs = ['--experimental-vm-modules', '--disable-warning=ExperimentalWarning'];

const { default: jest } = await import(join(checkout, 'jest.config.js'));

const stryker = new Stryker({
  inPlace: true,
  mutate: files.split(','),
  mutator: { excludedMutations: EXCLUDED_MUTATORS },
  plugins: [join(import.meta.dirname, 'sampled-runner.mjs')],
  testRunner: 'sampled-jest',
  testRunnerNodeArgs: nodeArgs,
  coverageAnalysis: 'perTest',
  concurrency: 1,
  // Jest keeps the ES modules of each run in memory.
  maxTestRunnerReuse: 25,
  timeoutMS: 6000,
  disableTypeChecks: false,
  allowConsoleColors: false,
  logLevel: 'error',
  reporters: ['progress-append-only'],
  jest: {
    projectType: 'custom',
    enableFindRelatedTests: false,
    config: {
      ...jest,
      rootDir: checkout,
      testEnvironment: join(import.meta.dirname, 'first-failure-environment.cjs'),
      // Compiles the apps, which these tests do not start.
      globalSetup: null,
      testMatch: tests.map((test) => join(checkout, test)),
      maxWorkers: 1,
    },
  },
});
const sample = new Set(JSON.parse(readFileSync(sampleFile, 'utf8')));
const results = await stryker.runMutationTest();
const ended = results
  // Stryker counts lines and columns from 1 in its results, and from 0 before.
  .map((result) => ({ ...result, key: keyOf({ ...result, location: fromZero(result.location) }) }))
  .filter(({ key }) => sample.has(key));
writeFileSync(resultFile, JSON.stringify(ended.map(({ key, status }) => ({ key, status }))));
process.exit(0);

function fromZero({ start, end }) {
  const less = ({ line, column }) => ({ line: line - 1, column: column - 1 });
  return { start: less(start), end: less(end) };
}

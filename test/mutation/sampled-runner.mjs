// Stryker's runner for Jest, which passes over mutants that are not in the sample, runs only the files whose tests
// cover a mutant, the fastest one first, and stops at the first file that notices the mutant.

import { readFileSync, writeFileSync } from 'node:fs';
import { commonTokens, declareFactoryPlugin, PluginKind, tokens } from '@stryker-mutator/api/plugin';
import { strykerPlugins as jestPlugins } from '@stryker-mutator/jest-runner';
import { keyOf } from './mutants.mjs';

const { factory: jestRunner } = jestPlugins.find(({ name }) => name === 'jest');

/**
 * Jest takes the names of tests as a regular expression, which has a limit. Beyond this length, all tests of a file
 * run.
 */
const MAX_NAMES_LENGTH = 10_000;

function sampledRunner(injector) {
  const runner = injector.injectFunction(jestRunner);
  const sampleFile = process.env.MUTATION_SAMPLE;
  const sample = new Set(JSON.parse(readFileSync(sampleFile, 'utf8')));
  // Other processes, which have no dry run, run further mutants.
  const testsFile = `${sampleFile}.tests.json`;
  const run = runner.dryRun.bind(runner);
  runner.dryRun = async (options) => {
    const result = await run(options);
    const tests = (result.tests ?? []).map(({ id, fileName, timeSpentMs }) => ({ id, fileName, timeSpentMs }));
    writeFileSync(testsFile, JSON.stringify(tests));
    return result;
  };
  const runMutant = runner.mutantRun.bind(runner);
  runner.mutantRun = async (options) => {
    let result = { status: 'survived', nrOfTests: 0 };
    if (!sample.has(keyOf(options.activeMutant))) return result;
    const config = runner.jestConfig;
    for (const { fileName, ids } of filesOf(JSON.parse(readFileSync(testsFile, 'utf8')), options.testFilter)) {
      runner.jestConfig = { ...config, testMatch: [fileName] };
      const isNameable = ids.join('|').length <= MAX_NAMES_LENGTH;
      result = await runMutant({ ...options, testFilter: options.testFilter && isNameable ? ids : undefined });
      if (result.status !== 'survived') break;
    }
    runner.jestConfig = config;
    return result;
  };
  return runner;
}
sampledRunner.inject = tokens(commonTokens.injector);

/** Returns the files with the tests, the fastest first. */
function filesOf(tests, filter) {
  const wanted = filter && new Set(filter);
  const files = new Map();
  for (const { id, fileName, timeSpentMs } of tests) {
    if (wanted && !wanted.has(id)) continue;
    const file = files.get(fileName) ?? { fileName, ids: [], ms: 0 };
    files.set(fileName, file);
    file.ids.push(id);
    file.ms += timeSpentMs;
  }
  return [...files.values()].toSorted((a, b) => a.ms - b.ms);
}

export const strykerPlugins = [declareFactoryPlugin(PluginKind.TestRunner, 'sampled-jest', sampledRunner)];

// Stryker's runner for Jest, which passes over mutants that are not in the sample.

import { readFileSync } from 'node:fs';
import { commonTokens, declareFactoryPlugin, PluginKind, tokens } from '@stryker-mutator/api/plugin';
import { strykerPlugins as jestPlugins } from '@stryker-mutator/jest-runner';
import { keyOf } from './mutants.mjs';

const { factory: jestRunner } = jestPlugins.find(({ name }) => name === 'jest');

function sampledRunner(injector) {
  const runner = injector.injectFunction(jestRunner);
  const sample = new Set(JSON.parse(readFileSync(process.env.MUTATION_SAMPLE, 'utf8')));
  const runMutant = runner.mutantRun.bind(runner);
  runner.mutantRun = async (options) =>
    sample.has(keyOf(options.activeMutant)) ? runMutant(options) : { status: 'survived', nrOfTests: 0 };
  return runner;
}
sampledRunner.inject = tokens(commonTokens.injector);

export const strykerPlugins = [declareFactoryPlugin(PluginKind.TestRunner, 'sampled-jest', sampledRunner)];

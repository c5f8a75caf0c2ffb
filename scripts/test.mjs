// `npm test`: everything that has to be right before a change is, on a fresh checkout as well as on a used one.

import { install, run } from './prepare.mjs';

const node = process.execPath;
/** @type {[string, string[]][]} */
const steps = [
  ['types', ['node_modules/typescript/bin/tsc', '-p', 'tsconfig.jest.json', '--noEmit']],
  ['lint', ['node_modules/oxlint/bin/oxlint', '--type-aware', '--deny-warnings']],
  ['format', ['node_modules/prettier/bin/prettier.cjs', '--check', '--log-level=warn', '.']],
  [
    'tests',
    [
      '--experimental-vm-modules',
      '--disable-warning=ExperimentalWarning',
      'node_modules/jest/bin/jest.js',
      ...process.argv.slice(2),
    ],
  ],
];

install();
for (const [name, args] of steps) {
  const start = performance.now();
  run(node, ...args);
  console.log(`✓ ${name} (${((performance.now() - start) / 1000).toFixed(1)} s)`);
}

// `npm test`: all checks that a change must pass, on a fresh checkout as well as on a used one.

import { spawn } from 'node:child_process';
import { text } from 'node:stream/consumers';
import { install, root, run } from './prepare.mjs';

const node = process.execPath;
/** @type {[string, string[]][]} */
const checks = [
  ['types', ['node_modules/typescript/bin/tsc', '-p', 'tsconfig.jest.json', '--noEmit', '--pretty']],
  ['lint', ['node_modules/oxlint/bin/oxlint', '--type-aware', '--deny-warnings']],
  ['format', ['node_modules/prettier/bin/prettier.cjs', '--check', '--log-level=warn', '.']],
];
const tests = [
  '--experimental-vm-modules',
  '--disable-warning=ExperimentalWarning',
  'node_modules/jest/bin/jest.js',
  ...process.argv.slice(2),
];

install();
const results = await Promise.all(checks.map(([name, args]) => check(name, args)));
if (results.includes(false)) process.exit(1);
const start = performance.now();
run(node, ...tests);
done('tests', start);

/** Runs next to others, so it prints its output at its end. Resolves with whether it succeeded. */
async function check(name, args) {
  const start = performance.now();
  const child = spawn(node, args, { cwd: root, stdio: ['ignore', 'pipe', 'pipe'] });
  const exited = new Promise((resolve, reject) => child.on('error', reject).on('close', resolve));
  const [status, ...output] = await Promise.all([exited, text(child.stdout), text(child.stderr)]);
  if (status === 0) done(name, start);
  else console.error(`✗ ${name}\n${output.join('')}`);
  return status === 0;
}

function done(name, start) {
  console.log(`✓ ${name} (${((performance.now() - start) / 1000).toFixed(1)} s)`);
}

// Runs the consumer projects: each is an application of its own with its own lock file, copied out of this repository,
// with the packed library installed; its types are checked and its tests run.
//
//   node run.mjs [<name of a project> …]

import { spawn } from 'node:child_process';
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, delimiter, dirname, join } from 'node:path';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { pack } from '../packaging/pack.mjs';

const here = dirname(fileURLToPath(import.meta.url));
/** Sources that the projects `hosts-…` share. */
const SHARED = 'hosts-shared';
const projects = readdirSync(here, { withFileTypes: true })
  .filter((entry) => entry.isDirectory() && entry.name !== SHARED)
  .map(({ name }) => name);

/** Time limit for one step of a project, in milliseconds. */
const STEP_TIMEOUT_MS = 120_000;
/** Folders that are created again in the copy. */
const MADE = ['node_modules', 'dist'];

const named = process.argv.slice(2);
const strange = named.filter((name) => !projects.includes(name));
if (strange.length > 0) throw new Error(`unknown project ${strange.join(', ')}; there are ${projects.join(', ')}`);

for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => process.exit(1));

// Outside of the repository, so that no package is found in a node_modules folder further up.
const workshop = mkdtempSync(join(tmpdir(), 'identity-m2m-consumers-'));
process.once('exit', () => rmSync(workshop, { recursive: true, force: true }));
const tarball = pack(workshop);
for (const name of named.length > 0 ? named : projects) await check(name, tarball);

/** Prints one line. If a step fails, prints its output too, and ends this process with 1. */
async function check(name, tarball) {
  const start = performance.now();
  const folder = join(workshop, name);
  cpSync(join(here, name), folder, { recursive: true, filter: (path) => !MADE.includes(basename(path)) });
  if (name.startsWith('hosts-')) cpSync(join(here, SHARED), join(folder, 'src'), { recursive: true });
  const { scripts } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'));
  const steps = [
    ['ci', '--prefer-offline', '--loglevel=error'],
    ['install', '--no-save', '--prefer-offline', '--loglevel=error', tarball],
    ...['typecheck', 'test', 'test:e2e'].filter((script) => script in scripts).map((script) => ['run', script]),
  ];
  let skipped = [];
  for (const step of steps) {
    const { status, output } = await npm(step, folder);
    skipped = [...skipped, ...skippedTests(output)];
    if (status !== 0) {
      console.log(`✗ ${name}: npm ${step.join(' ')} failed\n${output}`);
      process.exitCode = 1;
      return;
    }
  }
  console.log(`✓ ${name} (${((performance.now() - start) / 1000).toFixed(1)} s)`);
  for (const line of skipped) console.log(`  ${line}`);
}

/** The message of a test that can't run here. */
function skippedTests(output) {
  return output.split('\n').flatMap((line) => line.match(/^\s*(skipped: .*)$/)?.slice(1) ?? []);
}

async function npm(args, cwd) {
  const env = {
    ...process.env,
    // The version of Node.js that runs this script runs the projects too.
    PATH: [dirname(process.execPath), process.env.PATH].join(delimiter),
    NO_COLOR: '1',
  };
  // In a process group of its own, so that its child processes end with it.
  const child = spawn('npm', args, { cwd, env, stdio: ['ignore', 'pipe', 'pipe'], detached: true });
  const end = () => process.kill(-Number(child.pid), 'SIGKILL');
  const timer = setTimeout(end, STEP_TIMEOUT_MS);
  process.once('exit', end);
  const exited = new Promise((resolve, reject) => child.on('error', reject).on('close', resolve));
  const [status, ...output] = await Promise.all([exited, text(child.stdout), text(child.stderr)]);
  clearTimeout(timer);
  process.off('exit', end);
  if (status === null) output.push(`killed after ${STEP_TIMEOUT_MS / 1000} s\n`);
  return { status, output: output.join('') };
}

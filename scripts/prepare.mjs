// Prepares a checkout for running: installs dependencies and builds sources. Skips what is done already, so every
// command can run it first.

import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const root = join(dirname(fileURLToPath(import.meta.url)), '..');

/** Installs the dependencies in the lock file, unless they are installed. */
export function install() {
  requireNode();
  const workspaces = ['libs', 'apps'].flatMap((folder) =>
    readdirSync(join(root, folder)).map((name) => join(folder, name, 'package.json')),
  );
  installIn('.', ['package-lock.json', 'package.json', ...workspaces], 'dependencies');
}

/** Installs the additional packages of one kind of test in a folder of `test`, unless they are installed. */
export function installForTest(name, what) {
  const folder = join('test', name);
  const files = ['package-lock.json', 'package.json'].map((file) => join(folder, file));
  installIn(folder, files, what);
}

/** @param files All files that determine what is installed. */
function installIn(folder, files, what) {
  const stampFile = join(root, folder, 'node_modules', '.installed-for');
  const hash = createHash('sha256').update(process.version.split('.')[0] + process.platform + process.arch);
  for (const file of files) hash.update(readFileSync(join(root, file)));
  const stamp = hash.digest('hex');
  if (existsSync(stampFile) && readFileSync(stampFile, 'utf8') === stamp) return;
  console.log(`Installing ${what} (only the first time, and when they change) …`);
  runNpm('ci', '--prefix', folder, '--no-audit', '--no-fund', '--loglevel=error');
  writeFileSync(stampFile, stamp);
}

/**
 * Compiles the library and the apps, and bundles the library, unless that is done. Does not check types, which would
 * take twice as long: `npm test` and `npm run build` do that.
 */
export function build() {
  if (!existsSync(join(root, 'apps', 'tenant-emulator', 'dist'))) console.log('Compiling (only the first time) …');
  run(process.execPath, join('node_modules', 'typescript', 'bin', 'tsc'), '-b', '--noCheck');
  const library = join(root, 'libs', 'identity-m2m');
  const config = join(library, 'rollup.config.mjs');
  // The bundler writes the declarations of the entries last.
  const bundledAt = modifiedAt(join(library, 'dist', 'index.d.ts'));
  const isBundled = [config, ...filesIn(join(library, 'build'))].every((file) => modifiedAt(file) < bundledAt);
  if (!isBundled)
    run(process.execPath, join('node_modules', 'rollup', 'dist', 'bin', 'rollup'), '-c', config, '--silent');
}

function filesIn(folder) {
  return readdirSync(folder, { recursive: true }).map((name) => join(folder, name));
}

/** When a file was last written, in milliseconds; 0 if there is none. */
function modifiedAt(path) {
  return statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? 0;
}

/** Runs a program in the root of the project, and ends this process if that fails. */
export function run(command, ...args) {
  const { status, signal, error } = spawnSync(command, args, { cwd: root, stdio: 'inherit' });
  if (error) throw error;
  if (signal) process.kill(process.pid, signal);
  if (status !== 0) process.exit(status ?? 1);
}

function runNpm(...args) {
  // The npm that runs this script, so that npm does not have to be on the path.
  const npm = process.env.npm_execpath;
  if (npm) run(process.execPath, npm, ...args);
  else run('npm', ...args);
}

function requireNode() {
  const [major, minor] = process.versions.node.split('.').map(Number);
  if ((major === 20 && minor >= 19) || (major === 22 && minor >= 12) || major >= 24) return;
  console.error(`This needs Node.js 20.19, 22.12, or 24 or later, but runs on ${process.version}.`);
  process.exit(1);
}

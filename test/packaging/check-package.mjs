// Packs the library as it would be published, checks the package's form, and uses it from applications of each kind
// that it claims to support: installed from the tarball, type-checked with the library's declarations, and run.
//
//   node check-package.mjs [<name of an installation>]

import { execFileSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { install, root } from '../../scripts/prepare.mjs';
import { checkContents } from './contents.mjs';
import { checkImportCost } from './import-cost.mjs';
import { pack } from './pack.mjs';

const TYPESCRIPT = 'typescript@5.9';
const NEST_12 = ['@nestjs/common@12', '@nestjs/core@12', '@nestjs/platform-express@12', '@nestjs/axios@12'];
const NEST_11 = ['@nestjs/common@11', '@nestjs/core@11', '@nestjs/platform-express@11', '@nestjs/axios@4'];
/** Packages that the other entries need, and the root must not need. */
const OPTIONAL_12 = ['@nestjs/microservices@12', 'undici@7'];
const OPTIONAL_11 = ['@nestjs/microservices@11', 'undici@7'];
const ESM = { type: 'module', module: 'nodenext' };
const COMMONJS = { type: 'commonjs', module: 'nodenext' };
const OLD_COMMONJS = { type: 'commonjs', module: 'commonjs', moduleResolution: 'node10' };
/** The installations, and the kinds of application that use each. */
const INSTALLATIONS = [
  {
    name: 'Nest 12',
    packages: NEST_12,
    consumers: { 'ES modules': ESM, CommonJS: COMMONJS },
  },
  {
    name: 'Nest 11',
    packages: NEST_11,
    consumers: { 'ES modules': ESM, CommonJS: COMMONJS, 'CommonJS of the old kind': OLD_COMMONJS },
  },
  {
    name: 'Nest 12 with all entries',
    packages: [...NEST_12, ...OPTIONAL_12],
    entries: true,
    importCost: true,
    consumers: { 'ES modules': ESM, CommonJS: COMMONJS },
  },
  {
    name: 'Nest 11 with all entries',
    packages: [...NEST_11, ...OPTIONAL_11],
    entries: true,
    consumers: { 'CommonJS of the old kind': OLD_COMMONJS },
  },
  {
    name: 'Nest 12 with undici 8',
    packages: [...NEST_12, '@nestjs/microservices@12', 'undici@8'],
    entries: true,
    // On older versions undici does not load, and the types alone are checked.
    runsOn: { major: 22, minor: 19 },
    consumers: { 'ES modules': ESM, CommonJS: COMMONJS },
  },
  {
    name: 'Nest 11 with the oldest axios',
    packages: [...NEST_11, 'axios@1.8.2'],
    consumers: { 'ES modules': ESM },
  },
];

const [only] = process.argv.slice(2);

// One installation alone is checked by another version of Node.js, in a checkout that is ready.
if (only === undefined) install();
const workshop = mkdtempSync(join(tmpdir(), 'identity-m2m-package-'));
try {
  const tarball = pack(workshop);
  checkForm(tarball);
  const installations = INSTALLATIONS.filter(({ name }) => only === undefined || name === only);
  if (installations.length === 0) throw new Error(`there is no installation "${only}"`);
  for (const installation of installations) useIn(installation, tarball);
} finally {
  rmSync(workshop, { recursive: true, force: true });
}

function checkForm(tarball) {
  checkContents(tarball, workshop);
  npx(['-y', 'publint@0.3', 'run', tarball, '--strict'], workshop);
  console.log('publint: in order');
  npx(['-y', '@arethetypeswrong/cli@0.18', tarball, '--profile', 'esm-only'], workshop);
  console.log('are the types wrong? no');
}

function useIn({ name, packages, entries = false, importCost = false, runsOn, consumers }, tarball) {
  const isRun = runsOn === undefined || isNodeSince(runsOn);
  const folder = join(workshop, name.replaceAll(' ', '-'));
  mkdirSync(folder);
  writeFileSync(join(folder, 'package.json'), JSON.stringify({ name: 'installation', private: true }));
  const wanted = [tarball, ...packages, 'reflect-metadata', 'rxjs@7', TYPESCRIPT, '@types/node@20'];
  npm(['install', '--no-audit', '--no-fund', '--loglevel=error', ...wanted], folder);
  for (const [kind, consumer] of Object.entries(consumers)) {
    use(join(folder, kind.replaceAll(' ', '-')), consumer, { entries, isRun });
    const result = isRun
      ? 'type-checks and runs'
      : `type-checks (not run: needs Node.js ${Object.values(runsOn).join('.')})`;
    console.log(`${name}, ${kind}: ${result}`);
  }
  if (importCost) checkImportCost(folder);
}

function isNodeSince({ major, minor }) {
  const [ownMajor, ownMinor] = process.versions.node.split('.').map(Number);
  return ownMajor > major || (ownMajor === major && ownMinor >= minor);
}

/** @param folder Below one in which everything is installed. */
function use(folder, { type, module, moduleResolution = module }, { entries, isRun }) {
  mkdirSync(folder);
  writeFileSync(join(folder, 'package.json'), JSON.stringify({ name: 'consumer', private: true, type }));
  writeFileSync(
    join(folder, 'tsconfig.json'),
    JSON.stringify({
      compilerOptions: {
        module,
        moduleResolution,
        target: 'ES2022',
        strict: true,
        experimentalDecorators: true,
        emitDecoratorMetadata: true,
        esModuleInterop: true,
        types: ['node'],
        // The declarations of the library itself are to be checked with those of its peers.
        skipLibCheck: false,
        outDir: 'dist',
      },
      files: ['consumer.ts', ...(entries ? ['entries.ts'] : [])],
    }),
  );
  for (const file of ['consumer.ts', 'entries.ts']) cpSync(join(root, 'test', 'packaging', file), join(folder, file));
  npx(['tsc'], folder);
  if (!isRun) return;
  const found = JSON.parse(execFileSync(process.execPath, ['dist/consumer.js'], { cwd: folder, encoding: 'utf8' }));
  const { tokenSent, isNestHttpService, fingerprint, guarded, open } = found;
  const isRight =
    tokenSent === 'Bearer abc' && isNestHttpService && guarded === 401 && open === 200 && !fingerprint.includes('abc ');
  if (!isRight) throw new Error(`${folder}: ${JSON.stringify(found)}`);
  if (entries)
    execFileSync(process.execPath, ['dist/entries.js'], { cwd: folder, stdio: ['ignore', 'ignore', 'inherit'] });
}

function npm(args, cwd) {
  return execFileSync('npm', args, { cwd, encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'] });
}

function npx(args, cwd) {
  try {
    return execFileSync('npx', args, { cwd, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
  } catch (error) {
    console.error(error.stdout, error.stderr);
    throw new Error(`npx ${args.join(' ')} failed`, { cause: error });
  }
}

// npm run mutation [-- <part> …] [--again] [--since <commit>]
//
// Measures how strong the tests are: changes the library in one place at a time, and counts the changes that no test
// notices. Every mutant of the files that decide is run, and a sample of the other parts' mutants. The seed of the
// sample is the last commit. Runs in a checkout of that commit beside this one; parts that have been measured are not
// run again. With `--since`, runs only the mutants that survived at an earlier commit.

import { execFileSync, spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { install, installForTest, root } from '../../scripts/prepare.mjs';

const SRC = 'libs/identity-m2m/src';

const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: { again: { type: 'boolean', default: false }, since: { type: 'string' } },
});

install();
installForTest('mutation', 'the mutation test');
const { mutantsOf, sampleOf, keyOf } = await import('./mutants.mjs');
const { withHalvedNumbers } = await import('./numbers.mjs');
const { DECIDING, MAX_EQUIVALENT, SAMPLE_SIZE, SAMPLED, TARGETS } = await import('./parts.mjs');
const { EQUIVALENT } = await import('./equivalent.mjs');

const parts = [...Object.keys(DECIDING), ...Object.keys(SAMPLED)];
const unknown = positionals.filter((part) => !parts.includes(part));
if (unknown.length > 0) {
  console.error(`Unknown part: ${unknown.join(', ')}. Parts: ${parts.join(', ')}.`);
  process.exit(2);
}

const commit = commitOf('HEAD');
const since = options.since && commitOf(options.since);
const seed = since ?? commit;
const work = workFolderOf(commit);
const checkout = join(work, 'checkout');
makeCheckout();

const samples = await sampled();
console.log(`Commit: ${commit}\nSeed: ${seed}\n`);
for (const part of positionals.length > 0 ? positionals : parts) measure(part);
report();

function commitOf(name) {
  return execFileSync('git', ['rev-parse', name], { cwd: root, encoding: 'utf8' }).trim();
}

function workFolderOf(commit) {
  return join(tmpdir(), `identity-m2m-mutation-${commit.slice(0, 12)}`);
}

function makeCheckout() {
  if (existsSync(join(work, 'ready'))) return;
  mkdirSync(work, { recursive: true });
  execFileSync('git', ['clone', '--quiet', '--shared', root, checkout]);
  execFileSync('git', ['checkout', '--quiet', commit], { cwd: checkout });
  const apps = readdirSync(join(root, 'apps')).map((app) => join('apps', app));
  for (const folder of ['.', ...apps, join('test', 'mutation')]) {
    const modules = join(folder, 'node_modules');
    // The links of the workspaces stay relative, so that they lead to the sources of the checkout.
    const options = { recursive: true, verbatimSymlinks: true };
    if (existsSync(join(root, modules))) cpSync(join(root, modules), join(checkout, modules), options);
  }
  for (const { files } of Object.values(DECIDING)) {
    for (const file of files) {
      const path = join(checkout, SRC, file);
      writeFileSync(path, withHalvedNumbers(readFileSync(path, 'utf8'), path));
    }
  }
  writeFileSync(join(work, 'ready'), '');
}

/** Returns the mutants that are run, by part. */
async function sampled() {
  const deciding = Object.entries(DECIDING).map(async ([part, { files }]) => [part, await mutantsIn(files)]);
  const decidingFiles = Object.values(DECIDING).flatMap(({ files }) => files);
  const others = Object.entries(SAMPLED).map(async ([part, { folder }]) => {
    const files = readdirSync(join(checkout, SRC, folder), { recursive: true })
      .map((file) => join(folder, file))
      .filter((file) => file.endsWith('.ts') && !file.endsWith('.spec.ts') && !decidingFiles.includes(file));
    return (await mutantsIn(files)).map((mutant) => ({ ...mutant, part }));
  });
  const sample = sampleOf((await Promise.all(others)).flat(), SAMPLE_SIZE, seed);
  const ofSampled = Object.keys(SAMPLED).map((part) => [part, sample.filter((mutant) => mutant.part === part)]);
  return Object.fromEntries([...(await Promise.all(deciding)), ...ofSampled]);
}

function mutantsIn(files) {
  return mutantsOf(files.map((file) => join(checkout, SRC, file)).toSorted(), checkout);
}

/** Runs a part's mutants, unless they have been. */
function measure(part) {
  const resultFile = join(work, `${part}.json`);
  if (existsSync(resultFile) && !options.again) return;
  const start = performance.now();
  const { tests, slowTests = [] } = DECIDING[part] ?? SAMPLED[part];
  const before = since ? resultsSince(part) : new Map();
  const mutants = samples[part].filter((mutant) => isSurvivor(before.get(keyOf(mutant))));
  const first = run(part, mutants, tests);
  const survivors = mutants.filter((mutant) => isSurvivor(first.get(keyOf(mutant))));
  const later = run(part, survivors, slowTests);
  writeFileSync(resultFile, JSON.stringify(Object.fromEntries([...before, ...first, ...later])));
  console.log(`${part}: ${mutants.length} mutants in ${Math.round((performance.now() - start) / 1000)} s`);
}

/** Returns how each mutant of a part ended at the earlier commit, which must have the same sources. */
function resultsSince(part) {
  const files = DECIDING[part]?.files.map((file) => join(SRC, file)) ?? [join(SRC, SAMPLED[part].folder)];
  const sources = [...files, ':!*.spec.ts'];
  if (spawnSync('git', ['diff', '--quiet', since, commit, '--', ...sources], { cwd: root }).status !== 0) {
    throw new Error(`${part}: its sources are not those of ${options.since}; run it without --since.`);
  }
  const resultFile = join(workFolderOf(since), `${part}.json`);
  if (!existsSync(resultFile)) throw new Error(`${part}: was not run at ${options.since}.`);
  return new Map(Object.entries(JSON.parse(readFileSync(resultFile, 'utf8'))));
}

/** Returns how each mutant ended. */
function run(part, mutants, tests) {
  if (mutants.length === 0 || tests.length === 0) return new Map();
  const sampleFile = join(work, `${part}.sample.json`);
  const endFile = join(work, `${part}.end.json`);
  const files = [...new Set(mutants.map(({ fileName }) => fileName))].join(',');
  writeFileSync(sampleFile, JSON.stringify(mutants.map(keyOf)));
  // Of the checkout, so that no later commit changes a long run.
  const runner = join(checkout, 'test', 'mutation', 'run-part.mjs');
  const { status } = spawnSync(process.execPath, [runner, checkout, files, sampleFile, endFile, ...tests], {
    stdio: ['ignore', 'inherit', 'inherit'],
  });
  if (status !== 0) throw new Error(`${part}: the run failed; the tests may fail without any mutant.`);
  return new Map(JSON.parse(readFileSync(endFile, 'utf8')).map(({ key, status }) => [key, status]));
}

/** A run that failed for another reason than a test, `RuntimeError`, shows nothing. */
function isSurvivor(status) {
  return status !== 'Killed' && status !== 'Timeout';
}

function isEquivalent(mutant) {
  // As committed, with its numbers unchanged.
  const source = execFileSync('git', ['show', `${commit}:${mutant.fileName}`], { cwd: root, encoding: 'utf8' });
  const line = source.split('\n')[mutant.location.start.line].trim();
  return EQUIVALENT.some(
    (one) =>
      mutant.fileName === join(SRC, one.file) &&
      line === one.line &&
      mutant.mutatorName === one.mutator &&
      (one.replacement === undefined || mutant.replacement === one.replacement),
  );
}

function report() {
  const scores = { deciding: { noticed: 0, all: 0 }, sampled: { noticed: 0, all: 0 } };
  let leftOut = 0;
  console.log('\n| part | mutants | killed | timed out | equivalent | survived | score |');
  console.log('| --- | --- | --- | --- | --- | --- | --- |');
  for (const part of parts) {
    const resultFile = join(work, `${part}.json`);
    if (!existsSync(resultFile)) continue;
    const ended = JSON.parse(readFileSync(resultFile, 'utf8'));
    const count = (status) => samples[part].filter((mutant) => ended[keyOf(mutant)] === status).length;
    const unnoticed = samples[part].filter((mutant) => isSurvivor(ended[keyOf(mutant)]));
    const survivors = unnoticed.filter((mutant) => !isEquivalent(mutant));
    const equivalent = unnoticed.length - survivors.length;
    const noticed = samples[part].length - unnoticed.length;
    const all = samples[part].length - equivalent;
    const kind = part in DECIDING ? 'deciding' : 'sampled';
    scores[kind].noticed += noticed;
    scores[kind].all += all;
    leftOut += equivalent;
    const cells = [part, samples[part].length, count('Killed'), count('Timeout'), equivalent, survivors.length];
    console.log(`| ${[...cells, percent(noticed / all)].join(' | ')} |`);
    writeFileSync(join(work, `${part}.survivors.txt`), survivors.map(describe).join('\n'));
  }
  console.log(`\nSurvivors, line by line: ${join(work, '<part>.survivors.txt')}`);
  let isGood = true;
  for (const [kind, { noticed, all }] of Object.entries(scores)) {
    if (all === 0) continue;
    isGood &&= noticed / all >= TARGETS[kind];
    console.log(`${kind}: ${percent(noticed / all)} of ${all} (target ${percent(TARGETS[kind])})`);
  }
  const total = scores.deciding.all + scores.sampled.all + leftOut;
  console.log(`left out as equivalent: ${percent(leftOut / total)} of ${total} (at most ${percent(MAX_EQUIVALENT)})`);
  process.exitCode = isGood && leftOut / total <= MAX_EQUIVALENT ? 0 : 1;
}

function describe(mutant) {
  const { start, end } = mutant.location;
  const lines = linesOf(mutant);
  const original = lines.length > 1 ? `${lines[0].trim()} …` : lines[0].slice(start.column, end.column);
  return `${mutant.fileName}:${start.line + 1}:${start.column + 1} ${mutant.mutatorName}: ${original} → ${mutant.replacement}`;
}

/** Returns the lines of the source that a mutant changes. */
function linesOf({ fileName, location: { start, end } }) {
  return readFileSync(join(checkout, fileName), 'utf8')
    .split('\n')
    .slice(start.line, end.line + 1);
}

function percent(share) {
  return `${(share * 100).toFixed(1)} %`;
}

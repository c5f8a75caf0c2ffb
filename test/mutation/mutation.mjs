// npm run mutation [-- <room> …] [--again] [--since <commit>]
//
// Measures how strong the tests are: changes the library in one place at a time, and counts the changes that no test
// notices. Every mutant of the files that decide is run, and a sample of the other rooms' mutants. The seed of the sample is
// the last commit. Runs in a checkout of that commit beside this one; rooms that have been measured are not run again.
// With `--since`, runs only the mutants that survived at an earlier commit.

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
const { DECIDING, MAX_EQUIVALENT, SAMPLE_SIZE, SAMPLED, TARGETS } = await import('./rooms.mjs');
const { EQUIVALENT } = await import('./equivalent.mjs');

const rooms = [...Object.keys(DECIDING), ...Object.keys(SAMPLED)];
const unknown = positionals.filter((room) => !rooms.includes(room));
if (unknown.length > 0) {
  console.error(`Unknown room: ${unknown.join(', ')}. Rooms: ${rooms.join(', ')}.`);
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
for (const room of positionals.length > 0 ? positionals : rooms) measure(room);
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

/** Returns the mutants that are run, by room. */
async function sampled() {
  const deciding = Object.entries(DECIDING).map(async ([room, { files }]) => [room, await mutantsIn(files)]);
  const decidingFiles = Object.values(DECIDING).flatMap(({ files }) => files);
  const others = Object.entries(SAMPLED).map(async ([room, { folder }]) => {
    const files = readdirSync(join(checkout, SRC, folder), { recursive: true })
      .map((file) => join(folder, file))
      .filter((file) => file.endsWith('.ts') && !file.endsWith('.spec.ts') && !decidingFiles.includes(file));
    return (await mutantsIn(files)).map((mutant) => ({ ...mutant, room }));
  });
  const sample = sampleOf((await Promise.all(others)).flat(), SAMPLE_SIZE, seed);
  const ofRooms = Object.keys(SAMPLED).map((room) => [room, sample.filter((mutant) => mutant.room === room)]);
  return Object.fromEntries([...(await Promise.all(deciding)), ...ofRooms]);
}

function mutantsIn(files) {
  return mutantsOf(files.map((file) => join(checkout, SRC, file)).toSorted(), checkout);
}

/** Runs a room's mutants, unless they have been. */
function measure(room) {
  const resultFile = join(work, `${room}.json`);
  if (existsSync(resultFile) && !options.again) return;
  const start = performance.now();
  const { tests, slowTests = [] } = DECIDING[room] ?? SAMPLED[room];
  const before = since ? resultsSince(room) : new Map();
  const mutants = samples[room].filter((mutant) => isSurvivor(before.get(keyOf(mutant))));
  const first = run(room, mutants, tests);
  const survivors = mutants.filter((mutant) => isSurvivor(first.get(keyOf(mutant))));
  const later = run(room, survivors, slowTests);
  writeFileSync(resultFile, JSON.stringify(Object.fromEntries([...before, ...first, ...later])));
  console.log(`${room}: ${mutants.length} mutants in ${Math.round((performance.now() - start) / 1000)} s`);
}

/** Returns how each mutant of a room ended at the earlier commit, which must have the same sources. */
function resultsSince(room) {
  const files = DECIDING[room]?.files.map((file) => join(SRC, file)) ?? [join(SRC, SAMPLED[room].folder)];
  const sources = [...files, ':!*.spec.ts'];
  if (spawnSync('git', ['diff', '--quiet', since, commit, '--', ...sources], { cwd: root }).status !== 0) {
    throw new Error(`${room}: its sources are not those of ${options.since}; run it without --since.`);
  }
  const resultFile = join(workFolderOf(since), `${room}.json`);
  if (!existsSync(resultFile)) throw new Error(`${room}: was not run at ${options.since}.`);
  return new Map(Object.entries(JSON.parse(readFileSync(resultFile, 'utf8'))));
}

/** Returns how each mutant ended. */
function run(room, mutants, tests) {
  if (mutants.length === 0 || tests.length === 0) return new Map();
  const sampleFile = join(work, `${room}.sample.json`);
  const endFile = join(work, `${room}.end.json`);
  const files = [...new Set(mutants.map(({ fileName }) => fileName))].join(',');
  writeFileSync(sampleFile, JSON.stringify(mutants.map(keyOf)));
  // Of the checkout, so that no later commit changes a run that takes hours.
  const runner = join(checkout, 'test', 'mutation', 'run-group.mjs');
  const { status } = spawnSync(process.execPath, [runner, checkout, files, sampleFile, endFile, ...tests], {
    stdio: ['ignore', 'inherit', 'inherit'],
  });
  if (status !== 0) throw new Error(`${room}: the run failed; the tests may fail without any mutant.`);
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
  console.log('\n| room | mutants | killed | timed out | equivalent | survived | score |');
  console.log('| --- | --- | --- | --- | --- | --- | --- |');
  for (const room of rooms) {
    const resultFile = join(work, `${room}.json`);
    if (!existsSync(resultFile)) continue;
    const ended = JSON.parse(readFileSync(resultFile, 'utf8'));
    const count = (status) => samples[room].filter((mutant) => ended[keyOf(mutant)] === status).length;
    const unnoticed = samples[room].filter((mutant) => isSurvivor(ended[keyOf(mutant)]));
    const survivors = unnoticed.filter((mutant) => !isEquivalent(mutant));
    const equivalent = unnoticed.length - survivors.length;
    const noticed = samples[room].length - unnoticed.length;
    const all = samples[room].length - equivalent;
    const kind = room in DECIDING ? 'deciding' : 'sampled';
    scores[kind].noticed += noticed;
    scores[kind].all += all;
    leftOut += equivalent;
    const cells = [room, samples[room].length, count('Killed'), count('Timeout'), equivalent, survivors.length];
    console.log(`| ${[...cells, percent(noticed / all)].join(' | ')} |`);
    writeFileSync(join(work, `${room}.survivors.txt`), survivors.map(describe).join('\n'));
  }
  console.log(`\nSurvivors, line by line: ${join(work, '<room>.survivors.txt')}`);
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

// npm run bench [-- <scenario> …] [--rounds <n>]
//
// Measures the library and its rivals, and prints tables. Contenders take turns (A B C A B C …), each measurement in
// processes of its own, and the tables show the median with the range of all rounds.
import { spawnSync } from 'node:child_process';
import { cpus } from 'node:os';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { build, install, installForTest } from '../../scripts/prepare.mjs';

const here = fileURLToPath(new URL('.', import.meta.url));

const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: { rounds: { type: 'string' }, only: { type: 'string', multiple: true } },
});

install();
build();
installForTest('benchmark', 'the rivals');
const { scenarios } = await import('./scenarios/index.mjs');

const wanted = positionals.length > 0 ? positionals : Object.keys(scenarios);
const unknown = wanted.filter((name) => !(name in scenarios));
if (unknown.length > 0) {
  console.error(`No such benchmark: ${unknown.join(', ')}. There are: ${Object.keys(scenarios).join(', ')}.`);
  process.exit(2);
}

console.log(`Node.js ${process.version}, ${cpus().length} cores, ${process.platform} ${process.arch}\n`);
for (const name of wanted) report(scenarios[name], measureAll(name, scenarios[name]));

/** Results of all rounds, by contender. */
function measureAll(name, { contenders, rounds, timeoutMs = 120_000 }) {
  const chosen = contenders.filter(
    (contender) => !options.only || options.only.some((part) => contender.includes(part)),
  );
  const results = new Map(chosen.map((contender) => [contender, []]));
  const total = Number(options.rounds ?? rounds);
  for (let round = 1; round <= total; round += 1) {
    for (const [contender, measured] of results) {
      if (process.stderr.isTTY) process.stderr.write(`\r\x1b[K${name}: round ${round} of ${total}, ${contender}`);
      measured.push(measureOne(name, contender, timeoutMs));
    }
  }
  if (process.stderr.isTTY) process.stderr.write('\r\x1b[K');
  return results;
}

function measureOne(name, contender, timeoutMs) {
  const { status, stdout, stderr } = spawnSync(process.execPath, [`${here}worker.mjs`, name, contender], {
    encoding: 'utf8',
    timeout: timeoutMs,
  });
  if (status !== 0) throw new Error(`${name}, ${contender}: the measurement failed.\n${stderr}`);
  return JSON.parse(stdout.trim().split('\n').at(-1));
}

function report(scenario, results) {
  console.log(`### ${scenario.title}\n`);
  const rows = scenario.columns ? countRows(scenario, results) : ratioRows(scenario, results);
  for (const row of rows) console.log(`| ${row.join(' | ')} |`);
  console.log('');
}

/** One figure, and its ratio to the reference's figure of the same round. */
function ratioRows({ reference, unit, value }, results) {
  const references = results.get(reference)?.map(value);
  const rows = [...results].map(([contender, measured]) => {
    const figures = measured.map(value);
    const ratios = references ? figures.map((figure, round) => figure / references[round]) : [];
    return [contender, spread(ratios, 2), spread(figures, figures[0] < 1000 ? 1 : 0)];
  });
  return [['client', `ratio to “${reference}”`, unit], ['---', '---', '---'], ...rows];
}

function countRows({ columns, rows: what = 'client' }, results) {
  const rows = [...results].map(([contender, measured]) => [
    contender,
    ...Object.values(columns).map((column) => spread(measured.map(column), 1)),
  ]);
  const heads = [what, ...Object.keys(columns)];
  return [heads, heads.map(() => '---'), ...rows];
}

/** The median, and the range if there is one. */
function spread(figures, digits) {
  if (figures.length === 0) return '';
  const sorted = figures.toSorted((a, b) => a - b);
  const text = (figure) => (Number.isInteger(figure) ? String(figure) : figure.toFixed(digits));
  const [median, least, most] = [sorted[sorted.length >> 1], sorted[0], sorted.at(-1)].map(text);
  return least === most ? median : `${median} (${least}–${most})`;
}

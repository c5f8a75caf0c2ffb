// npm run interop [-- <server> …]
//
// Tests the built library with authorization servers of other vendors, and prints a table. A server whose packages are
// not installed is skipped; with REQUIRE_SERVERS=1 that is an error.
import { build, install, installForTest } from '../../scripts/prepare.mjs';

install();
build();
installForTest('interop', 'authorization servers');
// The import needs the build above.
const { checks, NOT_THERE } = await import('./checks.mjs');
const { makers } = await import('./makers.mjs');
const { isInstalled, ServerProcess } = await import('./servers.mjs');

const asked = process.argv.slice(2);
const unknown = asked.filter((name) => !makers.some((maker) => maker.name === name));
if (unknown.length > 0) {
  console.error(`No such server: ${unknown.join(', ')}. There are: ${makers.map(({ name }) => name).join(', ')}.`);
  process.exit(2);
}

const failures = [];
printRow(['server', ...Object.keys(checks)]);
printRow(['---', ...Object.keys(checks).map(() => '---')]);
for (const maker of makers) {
  if (asked.length === 0 || asked.includes(maker.name)) printRow([maker.name, ...(await cellsOf(maker))]);
}
for (const failure of failures) console.error(`\n${failure}`);
process.exitCode = failures.length > 0 ? 1 : 0;

async function cellsOf(maker) {
  if (!isInstalled(maker)) {
    const skipped = `skipped: apt install ${maker.apt}`;
    if (process.env.REQUIRE_SERVERS) failures.push(`${maker.name}: ${skipped}`);
    return [
      skipped,
      ...Object.keys(checks)
        .slice(1)
        .map(() => ''),
    ];
  }
  let server;
  try {
    server = await ServerProcess.start(maker);
  } catch (error) {
    failures.push(error.message);
    return [
      'does not start',
      ...Object.keys(checks)
        .slice(1)
        .map(() => ''),
    ];
  }
  try {
    const cells = [];
    for (const [name, check] of Object.entries(checks)) cells.push(await cellOf(name, check, server));
    return cells;
  } finally {
    await server.close();
  }
}

async function cellOf(name, check, server) {
  try {
    const note = await check(server);
    return note === NOT_THERE ? '–' : (note ?? 'ok');
  } catch (error) {
    failures.push(`${server.maker.name}, ${name}: ${error.message}`);
    return 'FAILED';
  }
}

function printRow(cells) {
  console.log(`| ${cells.join(' | ')} |`);
}

// Fails the n-th system call of each kind by which the store of requests writes, for each n, or kills the process
// there; goes on, restarts, and compares what the store remembers with what it acknowledged.
//
//   node test/durability/failed-writes.mjs [groups]      needs strace (Linux), and a build: npm run build

import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { EmbeddedStore } from '../../apps/user-provisioning/dist/idempotency/embedded-store.js';

const WRITER = fileURLToPath(new URL('note-writer.mjs', import.meta.url));
const GROUPS = process.argv[2] ?? '6';
const CALLS = ['pwrite64', 'fsync'];
/** What happens at the n-th call: an error once, a few times, from then on; or the end of the process. */
const FAULTS = {
  'ENOSPC once': (n) => `error=ENOSPC:when=${n}`,
  'EIO once': (n) => `error=EIO:when=${n}`,
  'ENOSPC four times': (n) => `error=ENOSPC:when=${n}..${n + 3}`,
  'EIO from then on': (n) => `error=EIO:when=${n}+`,
  SIGKILL: (n) => `signal=KILL:when=${n}`,
};

const folder = mkdtempSync(join(tmpdir(), 'failed-writes-'));
process.once('exit', () => rmSync(folder, { recursive: true }));

function write(directory, run, inject) {
  const args = [process.execPath, WRITER, directory, run, GROUPS];
  const trace = inject
    ? ['-f', '-qq', '-e', `trace=${inject.split(':')[0]}`, '-e', `inject=${inject}`, '-o', '/dev/null']
    : [];
  const [command, ...rest] = inject ? ['strace', ...trace, ...args] : args;
  // One thread writes, so that calls are counted together.
  const { stdout } = spawnSync(command, rest, { encoding: 'utf8', env: { ...process.env, TOKIO_WORKER_THREADS: '1' } });
  const lines = stdout
    .trim()
    .split('\n')
    .map((line) => line.split(' '));
  return (word) => lines.filter(([said]) => said === word).map(([, key]) => key);
}

async function remembered(directory, key) {
  const beginning = await directory.begin({ client: 'client', key }, 'digest', 2);
  if (beginning.kind === 'completed') return beginning.outcome.id === key ? 'completed' : 'of another';
  return beginning.inDoubtSince === undefined ? 'forgotten' : 'begun';
}

let lost = 0;
console.log('call        fault              runs  acknowledged  refused  lost  not opened after');
for (const call of CALLS) {
  for (const [fault, inject] of Object.entries(FAULTS)) {
    const row = { runs: 0, acknowledged: 0, refused: 0, lost: 0, unopened: 0 };
    for (let n = 1; ; n++) {
      const directory = join(folder, `${call}-${fault}-${n}`.replaceAll(' ', '-'));
      write(directory, 'before');
      const said = write(directory, 'during', `${call}:${inject(n)}`);
      const [begun, completed, failed] = ['begun', 'completed', 'failed'].map(said);
      row.runs++;
      row.acknowledged += begun.length + completed.length;
      row.refused += failed.length;
      try {
        const store = await EmbeddedStore.open(directory, { keepMs: 86_400_000, maxKeys: 100_000 });
        for (const key of begun) {
          const wanted = completed.includes(key) ? ['completed'] : ['begun', 'completed'];
          if (!wanted.includes(await remembered(store, key))) row.lost++;
        }
        await store.close();
      } catch (error) {
        row.unopened++;
        console.log(`  ${call} ${fault} ${n}: ${error.message}`);
      }
      rmSync(directory, { recursive: true });
      // After the last call nothing fails any more.
      const isOver = said('closed').length > 0 && failed.length === 0;
      if (isOver && n > 3) break;
    }
    lost += row.lost + row.unopened;
    const cells = [row.runs, row.acknowledged, row.refused, row.lost, row.unopened];
    console.log(call.padEnd(11), fault.padEnd(18), ...cells.map((cell) => String(cell).padStart(8)));
  }
}
process.exitCode = lost === 0 ? 0 : 1;

// Lets the files of a store of requests grow to this many bytes and no further, for each size in turn; goes on without
// a limit; restarts the store; and compares what it remembers with what it has acknowledged. Prints the comparison as
// JSON.
//
// A limit on the size of files fails a write as a full disk does, in the middle of a commit, and needs no disk.

import { execFileSync } from 'node:child_process';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { EmbeddedStore } from '../../../apps/user-provisioning/dist/idempotency/embedded-store.js';

const [folder, largest, step] = [process.argv[2], Number(process.argv[3]), Number(process.argv[4])];
const RETENTION = { keepMs: 86_400_000, maxKeys: 100_000 };

function limitFiles(bytes) {
  execFileSync('prlimit', ['--pid', `${process.pid}`, `--fsize=${bytes}:unlimited`]);
}

const found = { sizes: 0, begun: 0, completed: 0, refused: 0, forgotten: [] };
for (let bytes = 0; bytes <= largest; bytes += step) {
  found.sizes++;
  const directory = join(folder, `${bytes}`);
  let store = await EmbeddedStore.open(directory, RETENTION);
  const acknowledged = new Map();
  /** Requests that come together, and so share a commit. */
  const request = (names) =>
    Promise.all(
      names.map(async (name) => {
        // About the length that digests and outcomes have.
        const key = name.padEnd(43, '.');
        try {
          const { execution } = await store.begin({ client: 'client', key }, 'digest', 1);
          acknowledged.set(key, 'begun');
          await execution.complete({ id: key });
          acknowledged.set(key, 'completed');
        } catch (error) {
          if (error.code !== 'IDEMPOTENCY_STORE_UNAVAILABLE') throw error;
          found.refused++;
        }
      }),
    );
  const names = (when, count) => Array.from({ length: count }, (_, i) => `${when}-${i}`);
  await request(names('before', 10));
  limitFiles(bytes);
  for (const name of names('full', 10)) await request([name]);
  await request(names('full-together', 30));
  limitFiles('unlimited');
  await request(names('after', 10));
  await store.close();

  store = await EmbeddedStore.open(directory, RETENTION);
  for (const [key, state] of acknowledged) {
    found[state]++;
    const beginning = await store.begin({ client: 'client', key }, 'digest', 2);
    const isRight =
      beginning.kind === 'completed' ? beginning.outcome.id === key : state === 'begun' && beginning.inDoubtSince === 1;
    if (!isRight) found.forgotten.push(`${state} ${key} at ${bytes}`);
  }
  await store.close();
  rmSync(directory, { recursive: true });
}
console.log(JSON.stringify(found));

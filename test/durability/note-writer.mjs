// Begins and completes requests in a store, one group after the other, and writes a line for each step that the store
// has acknowledged. Skips steps that fail, as the service does. Run by failed-writes.mjs.

import { writeSync } from 'node:fs';
import { EmbeddedStore } from '../../apps/user-provisioning/dist/idempotency/embedded-store.js';

const [directory, run, groups] = process.argv.slice(2);
const GROUP = 4;
const say = (...words) => writeSync(1, `${words.join(' ')}\n`);

let store;
try {
  store = await EmbeddedStore.open(directory, { keepMs: 86_400_000, maxKeys: 100_000 });
} catch (error) {
  say('unopened', error.message.replaceAll('\n', ' '));
  process.exit(3);
}
say('opened');
let keys = 0;
for (let group = 0; group < Number(groups); group++) {
  const begun = [];
  await Promise.all(
    Array.from({ length: GROUP }, async () => {
      const key = `${run}-${keys++}-${'k'.repeat(40)}`;
      try {
        const beginning = await store.begin({ client: 'client', key }, 'digest', 1);
        say('begun', key);
        begun.push([key, beginning.execution]);
      } catch {
        say('failed', key);
      }
    }),
  );
  await Promise.all(
    begun.map(async ([key, execution]) => {
      try {
        await execution.complete({ id: key });
        say('completed', key);
      } catch {
        say('failed', key);
      }
    }),
  );
}
await store.close();
say('closed');

// Flips one bit of the store's file on disk, at each byte in turn or at as many as the argument says; opens the store,
// and compares what it remembers with what it was given.
//
//   node test/durability/flipped-bits.mjs [flips]      needs a build: npm run build

import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { EmbeddedStore } from '../../apps/user-provisioning/dist/idempotency/embedded-store.js';

const KEYS = 150;
const FILE = 'notes.sqlite';
const retention = { keepMs: 86_400_000, maxKeys: 100_000 };
const folder = mkdtempSync(join(tmpdir(), 'flipped-bits-'));
process.once('exit', () => rmSync(folder, { recursive: true }));
const ids = Array.from({ length: KEYS }, (_, i) => ({ client: `client-${i % 3}`, key: `key-${i}-${'k'.repeat(36)}` }));
const outcomeOf = ({ key }) => ({ id: `${key}-outcome` });

async function opened(directory) {
  return EmbeddedStore.open(directory, retention);
}

const original = join(folder, 'original');
const store = await opened(original);
await Promise.all(
  ids.map(async (id) => {
    const { execution } = await store.begin(id, 'digest', 1);
    await execution.complete(outcomeOf(id));
  }),
);
await store.close();

const bytes = readFileSync(join(original, FILE));
const flips = Math.min(Number(process.argv[2] ?? bytes.length), bytes.length);
const found = { 'refused at the start': 0, 'refused at a read': 0, 'nothing lost': 0, 'lost in silence': 0 };

for (let i = 0; i < flips; i++) {
  const at = Math.floor((i * bytes.length) / flips);
  const damaged = Buffer.from(bytes);
  damaged[at] ^= 1 << Math.floor(Math.random() * 8);
  const directory = join(folder, `${i}`);
  mkdirSync(directory);
  copyFileSync(join(original, `${FILE}-journal`), join(directory, `${FILE}-journal`));
  writeFileSync(join(directory, FILE), damaged);
  found[await whatHappens(directory, at)]++;
  rmSync(directory, { recursive: true });
}
console.log(`${flips} flips in ${bytes.length} bytes:`, found);
process.exitCode = found['lost in silence'] === 0 ? 0 : 1;

async function whatHappens(directory, at) {
  let store;
  try {
    store = await opened(directory);
  } catch (error) {
    if (/are damaged \(/.test(error.message)) return 'refused at the start';
    throw error;
  }
  try {
    for (const id of ids) {
      const beginning = await store.begin(id, 'digest', 1);
      if (beginning.kind === 'completed' && beginning.outcome.id === outcomeOf(id).id) continue;
      console.log(`byte ${at}: ${id.key} is ${beginning.kind}`);
      return 'lost in silence';
    }
    return 'nothing lost';
  } catch {
    return 'refused at a read';
  } finally {
    await store.close();
  }
}

// Loaded into a process before its main file: it answers each message to it with the bytes that are in use, once garbage is
// collected. How much garbage lies about is V8's own affair, and differs between versions of Node.js.

import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc');

process.on('message', () => {
  collectGarbage();
  const { heapUsed, external } = process.memoryUsage();
  process.send({ type: 'live-memory', bytes: heapUsed + external });
});

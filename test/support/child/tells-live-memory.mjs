// Loaded into a process before its main file: it answers each message with the number of bytes in use after a garbage
// collection. The amount of garbage before one is up to V8, and differs between versions of Node.js.

import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc');

process.on('message', () => {
  collectGarbage();
  const { heapUsed, external } = process.memoryUsage();
  process.send({ type: 'live-memory', bytes: heapUsed + external });
});

// Imports 10,000 users, or as many as the first argument says, with the command line client. Uses the sample system
// that `npm start` has started; if there is none, starts one for this import.

import { once } from 'node:events';
import { mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { startProvisionCli } from './provision-cli.mjs';
import { findRunningSample } from './running-sample.mjs';
import { SampleSystem } from './sample-system.mjs';
import { startService } from './services.mjs';

async function main(count) {
  if (!Number.isSafeInteger(count) || count < 1) throw new Error('The number of users must be a whole number from 1.');
  const running = await findRunningSample();
  if (running) {
    console.log('The sample system of `npm start` is running: the users go there.\n');
    return importUsers(running, count);
  }
  console.log('No sample system is running (`npm start`): a tenant and a service are started for this import alone.\n');
  const system = new SampleSystem(() => {});
  const stop = () => void system.stop();
  for (const signal of SIGNALS) process.on(signal, stop);
  try {
    const addresses = await startService(system);
    for (const signal of SIGNALS) process.off(signal, stop);
    const importing = importUsers({ ...addresses, folder: system.folder }, count, system.ending);
    const exitCode = await Promise.race([importing, system.failure]);
    if (exitCode > 1)
      console.log(
        'The tenant and the service have ended with the import, so the next import starts from the beginning.',
      );
    return exitCode;
  } catch (error) {
    if (system.ending.aborted) return 1;
    throw error;
  } finally {
    await system.stop();
  }
}

const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'];

/** @returns {Promise<number>} The exit code. */
async function importUsers({ folder, ...addresses }, count, signal) {
  const path = usersFile(folder, count);
  const cli = startProvisionCli(['import', path], addresses, { stdio: 'inherit', signal, killSignal: 'SIGKILL' });
  // Ctrl-C reaches the client as well. It finishes its open requests, and this process ends after it.
  process.on('SIGINT', () => {});
  for (const signal of ['SIGTERM', 'SIGHUP']) process.on(signal, () => cli.kill(signal));
  const [code] = await once(cli, 'close');
  if (code === 0 || code === 1) for (const file of [path, `${path}.journal`]) rmSync(file);
  return code ?? 1;
}

/** Returns the path of a new file of users, or of an interrupted import, which then resumes. */
function usersFile(folder, count) {
  const imports = join(folder, 'imports');
  mkdirSync(imports, { recursive: true });
  const unfinished = readdirSync(imports).find((name) => name.endsWith('.csv'));
  if (unfinished) return join(imports, unfinished);
  const run = Date.now().toString(36);
  const names = Array.from({ length: count }, (_, i) => `user-${run}-${i + 1}`);
  const lines = names.map((name, i) => `${name},${name}@example.org,User ${i + 1}\n`);
  const path = join(imports, `users-${run}.csv`);
  writeFileSync(path, `name,mail,displayName\n${lines.join('')}`);
  return path;
}

try {
  process.exitCode = await main(Number(process.argv[2] ?? 10_000));
} catch (error) {
  console.error(error.message);
  process.exitCode = 1;
}

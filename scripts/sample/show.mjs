// Runs the whole sample system until Ctrl-C, and shows the calls between its machines.

import { once } from 'node:events';
import { rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { conversationsHeading, processesText, suggestionsText, tokensText, usersText } from './account.mjs';
import { ConversationLog } from './conversation-log.mjs';
import { startProvisionCli } from './provision-cli.mjs';
import { announceSample } from './running-sample.mjs';
import { SampleSystem } from './sample-system.mjs';
import { startAllServices } from './services.mjs';

/** Maximum wait for the first conversations, in milliseconds. After it, the log shows what delays them. */
const PATIENCE_MS = 15_000;

async function main() {
  console.log('Starting six processes …');
  const log = new ConversationLog((line) => console.log(line));
  const system = new SampleSystem((...line) => log.read(...line));
  for (const event of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(event, () => void system.stop());
  // The reader of standard output has closed it.
  process.stdout.on('error', () => void system.stop());
  try {
    await Promise.race([show(system, log), system.failure]);
  } catch (error) {
    if (!system.ending.aborted) {
      console.error(`\n${error.message}`);
      process.exitCode = 1;
    }
  }
  await system.stop();
  console.log('\nStopped.');
}

async function show(system, log) {
  const addresses = await startAllServices(system);
  announceSample(system.folder, addresses);
  console.log(processesText(system.processes, addresses));
  console.log(conversationsHeading);
  log.open();
  await converse(system, log, addresses);
  const [{ sessions }, { users }] = await Promise.all(
    ['sessions', 'users'].map((what) => getJson(`${addresses.adminUrl}/${what}`)),
  );
  console.log(tokensText(sessions));
  console.log(usersText(users));
  console.log(suggestionsText(addresses));
  log.forgetRepetitions();
  await once(system.ending, 'abort');
}

/** Creates the first user, adds a joiner, and waits until every machine has made a call. */
async function converse(system, log, addresses) {
  const calls = [
    'svc-cli → user-provisioning',
    'svc-provisioning → tenant',
    'svc-hr → daemon',
    'svc-daemon → user-provisioning',
    'svc-device-south → device-north',
    'svc-device-north → device-south',
  ];
  const { ending: signal } = system;
  const all = Promise.all(calls.map((call) => once(log, call, { signal })));
  const user = { name: 'ada.king', mail: 'ada.king@example.org', displayName: 'Ada King' };
  await Promise.all([
    createUser(system, addresses),
    putEvent(addresses.outbox, { type: 'joiner', id: '1', user }),
    Promise.race([all, pause(PATIENCE_MS, undefined, { signal })]),
  ]);
}

async function createUser(system, addresses) {
  const args = ['create', '--name', 'jane.doe', '--mail', 'jane.doe@example.org', '--display-name', 'Jane Doe'];
  const cli = startProvisionCli(args, addresses, { stdio: ['ignore', 'ignore', 'pipe'], signal: system.ending });
  let complaint = '';
  cli.stderr.setEncoding('utf8').on('data', (text) => (complaint += text));
  const [code] = await once(cli, 'close');
  if (code !== 0) throw new Error(`provision-cli ended with exit code ${code}.\n${complaint}`);
}

/** Like an HR system: written under another name first, so that the backend reads no incomplete event. */
async function putEvent(outbox, event) {
  const path = join(outbox, event.id);
  await writeFile(`${path}.tmp`, JSON.stringify(event), { flush: true });
  await rename(`${path}.tmp`, `${path}.json`);
}

async function getJson(url) {
  const response = await fetch(url);
  if (!response.ok) throw new Error(`${url} returned HTTP ${response.status}: ${await response.text()}`);
  return response.json();
}

await main();

// Lets other commands find the sample system that `npm start` has started: by a file in its working folder.

import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { root } from '../prepare.mjs';

/**
 * @typedef {object} Addresses
 * @property {string} tenantUrl
 * @property {string} adminUrl The tenant's admin API.
 * @property {string} serviceUrl
 */

/** Prefix of the names of such folders, in the folder for temporary files. */
export const RUN_FOLDER_PREFIX = 'identity-m2m-sample-';

const NOTE = 'running.json';

/** @param {string} folder @param {Addresses} addresses */
export function announceSample(folder, addresses) {
  writeFileSync(join(folder, NOTE), JSON.stringify({ root, ...addresses }));
}

/** @returns {Promise<Addresses & { folder: string } | undefined>} The one of this checkout, if there is one. */
export async function findRunningSample() {
  const folders = readdirSync(tmpdir()).filter((name) => name.startsWith(RUN_FOLDER_PREFIX));
  for (const name of folders) {
    const folder = join(tmpdir(), name);
    const note = noteIn(folder);
    if (note?.root === root && (await answers(note.serviceUrl))) return { ...note, folder };
  }
  return undefined;
}

/** A folder may belong to another user, to a system that is not ready, or to one that crashed. */
function noteIn(folder) {
  try {
    return JSON.parse(readFileSync(join(folder, NOTE), 'utf8'));
  } catch {
    return undefined;
  }
}

function answers(serviceUrl) {
  return fetch(`${serviceUrl}/status`).then(
    ({ ok }) => ok,
    () => false,
  );
}

// node import-cost.mjs
//
// Measures the CPU time of importing each entry of the library, beyond that of what it depends on. The limit is a share
// of what Nest and axios cost on the same machine, because milliseconds differ from machine to machine.

import { execFileSync } from 'node:child_process';
import { pathToFileURL } from 'node:url';
import { build, install, root } from '../../scripts/prepare.mjs';

const ENTRIES = ['', '/microservices', '/testing', '/undici'];
const ROUNDS = 9;
/** 35 ms where importing @nestjs/common, @nestjs/core and axios costs 350 ms. */
const MAX_SHARE = 0.1;

/** Run in a process of its own: imports Nest and axios, then all other dependencies of an entry, then the entry. */
const MEASUREMENT = `
  import { readFileSync } from 'node:fs';
  const cpuMs = async (names) => {
    const before = process.cpuUsage();
    for (const name of names) await import(name);
    const { user, system } = process.cpuUsage(before);
    return (user + system) / 1000;
  };
  const importsOf = (url) =>
    [...readFileSync(new URL(url), 'utf8').matchAll(/^(?:import|export) (?:.* from )?'([^']+)';$/gm)].flatMap(([, name]) =>
      name.startsWith('.') ? importsOf(new URL(name, url)) : [name],
    );
  const entry = process.argv[1];
  const base = await cpuMs(['reflect-metadata', '@nestjs/common', '@nestjs/core', 'axios']);
  await cpuMs(importsOf(import.meta.resolve(entry)));
  console.log(JSON.stringify({ base, own: await cpuMs([entry]) }));
`;

/**
 * Prints what importing each entry costs.
 *
 * @param folder One from which the library and all its peers are found.
 * @throws An error that names the entries over the limit.
 */
export function checkImportCost(folder) {
  const results = new Map(ENTRIES.map((entry) => [`nestjs-identity-m2m${entry}`, []]));
  for (let round = 0; round < ROUNDS; round += 1)
    for (const [entry, measured] of results) measured.push(measure(entry, folder));
  const figures = [...results].map(([entry, measured]) => ({
    entry,
    ownMs: median(measured.map(({ own }) => own)),
    share: median(measured.map(({ own, base }) => own / base)),
  }));
  for (const { entry, ownMs, share } of figures)
    console.log(`import of ${entry}: ${ownMs.toFixed(1)} ms of CPU, ${percent(share)} of what Nest and axios cost`);
  const over = figures.filter(({ share }) => share > MAX_SHARE).map(({ entry }) => entry);
  if (over.length > 0) throw new Error(`the import costs more than ${percent(MAX_SHARE)}: ${over.join(', ')}`);
}

function measure(entry, folder) {
  const args = ['--input-type=module', '-e', MEASUREMENT, entry];
  return JSON.parse(execFileSync(process.execPath, args, { cwd: folder, encoding: 'utf8' }));
}

function median(figures) {
  return figures.toSorted((a, b) => a - b)[figures.length >> 1];
}

function percent(share) {
  return `${(share * 100).toFixed(1)} %`;
}

if (import.meta.url === pathToFileURL(process.argv[1]).href) {
  install();
  build();
  checkImportCost(root);
}

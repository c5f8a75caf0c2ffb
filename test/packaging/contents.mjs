// Which files the package must have, and must not have.

import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { SourceMap } from 'node:module';
import { dirname, join, relative } from 'node:path';

const MAX_FILES = 350;
const DOCUMENTS = ['CHANGELOG.md', 'LICENSE', 'README.md', 'package.json'];
const FIELDS = [
  'name',
  'version',
  'description',
  'keywords',
  'homepage',
  'bugs',
  'repository',
  'license',
  'author',
  'type',
  'sideEffects',
  'engines',
  'main',
  'types',
  'exports',
  'typesVersions',
  'peerDependencies',
];
const CLASS = /^(?:export )?(?:abstract )?class ([\w$]+)|^let [\w$]+ = class ([\w$]+)/gm;

/**
 * Unpacks the tarball and checks its files.
 *
 * @param workshop A folder for temporary files.
 * @throws An error that lists all faults.
 */
export function checkContents(tarball, workshop) {
  const folder = mkdtempSync(join(workshop, 'contents-'));
  execFileSync('tar', ['-xzf', tarball, '-C', folder]);
  const root = join(folder, 'package');
  const files = readdirSync(root, { recursive: true }).filter((path) => statSync(join(root, path)).isFile());
  const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
  const bundles = files.filter((path) => /^dist\/.*(\.js|\.d\.ts)$/.test(path)).map((path) => readBundle(root, path));
  const faults = [
    ...(files.length > MAX_FILES ? [`${files.length} files, expected at most ${MAX_FILES}`] : []),
    ...DOCUMENTS.filter((path) => !files.includes(path)).map((path) => `no ${path}`),
    ...FIELDS.filter((field) => !(field in manifest)).map((field) => `package.json has no "${field}"`),
    ...entryFaults(manifest, files),
    ...bundles.flatMap(bundleFaults),
    ...sharedFaults(bundles),
    ...strayFiles(files, bundles, manifest).map((path) => `unexpected file ${path}`),
  ];
  if (faults.length > 0) throw new Error(`wrong contents of the package:\n  ${faults.join('\n  ')}`);
  console.log(`contents: ${files.length} files, as expected`);
}

/** Files that an entry names must exist, each with its source map. */
function entryFaults({ main, types, exports, typesVersions }, files) {
  const conditions = Object.values(exports).flatMap((entry) => (typeof entry === 'string' ? [] : Object.values(entry)));
  const named = [main, types, ...conditions, ...Object.values(typesVersions['*']).flat()].map((path) => path.slice(2));
  const wanted = named.flatMap((path) => (path.startsWith('dist/') ? [path, `${path}.map`] : [path]));
  return [...new Set(wanted)].filter((path) => !files.includes(path)).map((path) => `no ${path}, which an entry names`);
}

/** A file of dist/ with its source map, if it has one. */
function readBundle(root, path) {
  const file = join(root, path);
  const text = readFileSync(file, 'utf8');
  if (!existsSync(`${file}.map`)) return { root, path, text, sources: [] };
  const map = JSON.parse(readFileSync(`${file}.map`, 'utf8'));
  const sources = map.sources.map((source) => relative(root, join(dirname(file), source)));
  return { root, path, text, map: new SourceMap({ ...map, sources }), sources };
}

function bundleFaults({ root, path, text, map, sources }) {
  if (!map || !text.includes(`//# sourceMappingURL=`)) return [`${path} has no source map`];
  const missing = sources.filter((source) => !existsSync(join(root, source)));
  if (missing.length > 0) return missing.map((source) => `${path}.map leads to ${source}, which is not in the package`);
  // Nest and the messages of errors show the names of classes.
  return path.endsWith('.js')
    ? [...text.matchAll(CLASS)].flatMap((match) => classFaults({ root, path, text, map }, match))
    : [];
}

/** A class must have the name that it has in its source, on the line that the source map leads to. */
function classFaults({ root, path, text, map }, { 0: match, 1: name, 2: decoratedName, index }) {
  const className = name ?? decoratedName;
  const before = text.slice(0, index + match.lastIndexOf(className)).split('\n');
  const { originalSource, originalLine } = map.findEntry(before.length - 1, before.at(-1).length);
  const line = originalSource && readFileSync(join(root, originalSource), 'utf8').split('\n')[originalLine];
  if (line?.split(/[ <]/).includes(className)) return [];
  return [`${path}: class ${className} leads to "${line}" in ${originalSource}`];
}

/** A module that two bundles hold would make two classes of one. */
function sharedFaults(bundles) {
  const sources = bundles.filter(({ path }) => path.endsWith('.js')).flatMap((bundle) => bundle.sources);
  return sources
    .filter((source, index) => sources.indexOf(source) < index)
    .map((source) => `${source} is in more than one bundle`);
}

/** Files besides documents, bundles, and the sources of bundles and entries. */
function strayFiles(files, bundles, { exports }) {
  const expected = new Set([
    ...DOCUMENTS,
    ...bundles.flatMap(({ path, sources }) => [path, `${path}.map`, ...sources]),
    ...Object.values(exports).flatMap((entry) => Object.values(entry).map((path) => String(path).slice(2))),
  ]);
  return files.filter((path) => !expected.has(path));
}

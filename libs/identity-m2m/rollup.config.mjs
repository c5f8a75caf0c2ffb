// Bundles what tsc wrote to build/ into dist/: a module and a declaration file for each entry, and chunks that entries
// share, so that a class is the same one in all of them. tsc comes first because it writes the metadata of decorators.
import { readFile, rm } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { dts } from 'rollup-plugin-dts';

const ENTRIES = ['index', 'microservices', 'testing', 'undici'];
const path = (name) => fileURLToPath(new URL(name, import.meta.url));
const entries = (extension) => Object.fromEntries(ENTRIES.map((name) => [name, path(`build/${name}${extension}`)]));
const isPackage = (id) => /^[^./]/.test(id);

/** Removes what an earlier build left. */
const emptyDist = { name: 'empty-dist', buildStart: () => rm(path('dist'), { recursive: true, force: true }) };

/** Reads the source maps of tsc, so that those of the bundle lead to the TypeScript sources. */
const sourceMaps = {
  name: 'source-maps',
  load: async (id) => ({ code: await readFile(id, 'utf8'), map: JSON.parse(await readFile(`${id}.map`, 'utf8')) }),
};

const output = (extension) => ({
  dir: path('dist'),
  entryFileNames: `[name]${extension}`,
  chunkFileNames: ({ name }) => `shared/${name.replace(/\.d$/, '')}${extension}`,
  minifyInternalExports: false,
  sourcemap: true,
  // The package has the sources, which the maps lead to.
  sourcemapExcludeSources: true,
});

/** Fails the build on a warning. */
const onwarn = ({ message }) => {
  // The base class of AccessToken, which users never name.
  if (message.includes('no public re-export: SensitiveValue.')) return;
  throw new Error(message);
};

export default [
  {
    input: entries('.js'),
    external: isPackage,
    // The helpers that tsc writes mention it.
    context: 'this',
    plugins: [emptyDist, sourceMaps],
    output: output('.js'),
    onwarn,
  },
  {
    input: entries('.d.ts'),
    external: isPackage,
    plugins: [dts({ sourcemap: true })],
    output: output('.d.ts'),
    onwarn,
  },
];

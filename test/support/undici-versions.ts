import * as undici7 from 'undici';

type Undici = typeof undici7;

/** undici 8 does not load on older versions of Node.js. Says so plainly there, because tests with it are skipped. */
export const undici8: Undici | undefined = await import('undici-8').then(
  (module) => module as unknown as Undici,
  (error: unknown) => {
    const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
    if (major > 22 || (major === 22 && minor >= 19)) throw error;
    console.warn('Skipped: all tests with undici 8, because it needs Node.js 22.19.');
    return undefined;
  },
);

/** Each version of undici that the library works with, as far as it runs on this version of Node.js. */
export const UNDICI_VERSIONS: [string, Undici][] = [
  ['undici 7', undici7],
  ...(undici8 ? [['undici 8', undici8] as [string, Undici]] : []),
];

// Packs the library as it would be published.

import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { root } from '../../scripts/prepare.mjs';

/**
 * Builds the library and packs it.
 *
 * @param folder Where the tarball goes.
 * @returns The path of the tarball.
 * @throws An error that names the files that must not be published.
 */
export function pack(folder) {
  const output = execFileSync('npm', ['pack', '-w', 'nestjs-identity-m2m', '--json', '--pack-destination', folder], {
    cwd: root,
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const [{ filename, files }] = JSON.parse(output.slice(output.indexOf('[')));
  const unwanted = files.map(({ path }) => path).filter((path) => /\.spec\.|tsbuildinfo|(^|\/)\.env/.test(path));
  if (unwanted.length > 0) throw new Error(`the package has files that must not be published: ${unwanted.join(', ')}`);
  console.log(`packed ${filename}: ${files.length} files`);
  return join(folder, filename);
}

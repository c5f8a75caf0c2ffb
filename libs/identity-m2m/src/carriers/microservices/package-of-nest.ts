import { createRequire } from 'node:module';

/**
 * Loads a transport's package as `@nestjs/microservices` itself sees it: the one that its clients work with, which need
 * not be the one that is found from here.
 *
 * @throws Error of Node.js where it is not installed; the client could not have been made then.
 */
export function packageOfNest(name: string): unknown {
  const nest = createRequire(import.meta.url).resolve('@nestjs/microservices');
  return createRequire(nest)(name);
}

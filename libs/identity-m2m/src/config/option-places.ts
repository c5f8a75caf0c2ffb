import { clientSchema } from './client-options.js';
import { guardSchema } from './guard-schema.js';

const PLACES: readonly (readonly [string, readonly string[]])[] = [
  ['client', Object.keys(clientSchema.shape)],
  ['guard', Object.keys(guardSchema.shape)],
  ['forRoot', ['client', 'clients', 'guard']],
  ['forRoot, or beside useFactory in forRootAsync', ['isGlobal', 'globalGuard']],
  ['forRootAsync', ['imports', 'inject', 'useFactory', 'useClass', 'useExisting']],
];

/** Says where an option belongs that was found in a place which does not know it; undefined if nowhere. */
export function placeOf(option: string): string | undefined {
  const places = PLACES.flatMap(([place, options]) => (options.includes(option) ? [place] : []));
  return places.length === 0 ? undefined : places.join(' or ');
}

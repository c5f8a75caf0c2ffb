import { strayCharacters } from '../foundation/stray-characters.js';
import { accessRule } from './access-metadata.js';

/**
 * Lets in only these clients, by their identifier, out of those that the guard lets in at all; others get 403.
 *
 * On a method it takes the place of what stands on the class.
 *
 * @throws TypeError, while the class is being defined, where there is no client or an empty one, or one with blanks at its
 * ends or control characters: a list that was split at its commas, say.
 */
export function AllowClients(...clients: readonly [string, ...string[]]): ClassDecorator & MethodDecorator {
  if (clients.length === 0 || !clients.every(isClientId)) {
    throw new TypeError(`@AllowClients() takes one or more client identifiers; found ${JSON.stringify(clients)}`);
  }
  return accessRule('clients', clients);
}

function isClientId(client: unknown): boolean {
  return typeof client === 'string' && client !== '' && strayCharacters(client) === undefined;
}

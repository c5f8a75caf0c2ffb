import { accessRule } from './access-metadata.js';

/**
 * Lets in only these clients, by their identifier, out of those that the guard lets in at all; others get 403.
 *
 * On a method it takes the place of what stands on the class.
 *
 * @throws TypeError, while the class is being defined, where there is no client or an empty one.
 */
export function AllowClients(...clients: readonly [string, ...string[]]): ClassDecorator & MethodDecorator {
  if (clients.length === 0 || clients.some((client) => typeof client !== 'string' || client === '')) {
    throw new TypeError(`@AllowClients() takes one or more client identifiers; found ${JSON.stringify(clients)}`);
  }
  return accessRule('clients', clients);
}

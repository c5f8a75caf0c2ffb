import type { NamedClient } from './guard-options.js';
import { endOf } from './guard-schema.js';
import type { RegisteredClient } from '../verification/client-registry.js';

/** The entries of a client that the options name, one for each of its issuers. */
export function registeredClients(client: string | NamedClient, onlyIssuer: string | undefined): RegisteredClient[] {
  const { clientId, issuer, scopes, until }: NamedClient = typeof client === 'string' ? { clientId: client } : client;
  const issuers = [issuer ?? onlyIssuer ?? []].flat();
  return issuers.map((one) => ({ clientId, issuer: one, scopes, endsAtMs: endOf(until) }));
}

/** A client that was named. */
export interface RegisteredClient {
  readonly issuer: string;
  readonly clientId: string;
  /** Scopes that count when it brings them; undefined: all that it brings. */
  readonly scopes?: readonly string[] | undefined;
  /** When it stops being let in, in milliseconds since the epoch; undefined: never. */
  readonly endsAtMs?: number | undefined;
}

/** The clients that were named, each with its issuer. */
export class ClientRegistry {
  readonly #clients = new Map<string, Map<string, RegisteredClient>>();

  constructor(clients: Iterable<RegisteredClient>) {
    for (const client of clients) {
      const ofIssuer = this.#clients.get(client.issuer) ?? new Map<string, RegisteredClient>();
      this.#clients.set(client.issuer, ofIssuer.set(client.clientId, client));
    }
  }

  /** The clients of an issuer, by their identifiers. */
  clientIdsOf(issuer: string): readonly string[] {
    return [...(this.#clients.get(issuer)?.keys() ?? [])];
  }

  find(issuer: string, clientId: string): RegisteredClient | undefined {
    return this.#clients.get(issuer)?.get(clientId);
  }
}

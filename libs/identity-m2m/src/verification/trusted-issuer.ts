import type { ClaimsPolicy } from './claims-policy.js';
import type { Introspection } from './introspection.js';
import type { KeySet } from './key-set.js';

/** An issuer whose tokens are accepted, and the rules for them. */
export interface TrustedIssuer {
  readonly issuer: string;
  /** Rules for the claims of its tokens. */
  readonly policy: ClaimsPolicy;
  readonly keys: KeySet;
  /** Clients that may call; undefined: every machine of the issuer. */
  readonly clients: ClientRegistry | undefined;
  /**
   * Whether the keys are fetched at boot. False for an issuer with opaque tokens and no configured key set: it may have
   * none.
   */
  readonly fetchesKeysEarly: boolean;
  /** Whether the resolver accepted it at run time, for a limited time. */
  readonly isResolved: boolean;
  /** Introspection of opaque tokens; undefined: they are refused. */
  readonly opaqueTokens?: Introspection | undefined;
  /**
   * Introspection of signed tokens; undefined: sensitive routes are refused. Separate, because any caller can make up
   * opaque tokens, whose requests must not crowd out these.
   */
  readonly signedTokens?: Introspection | undefined;
}

/** A client that the options name. */
export interface RegisteredClient {
  readonly issuer: string;
  readonly clientId: string;
  /** Granted scopes that count; undefined: all of them. */
  readonly scopes?: readonly string[] | undefined;
  /** When its access ends, in milliseconds since the epoch; undefined: never. */
  readonly endsAtMs?: number | undefined;
}

/** The clients that the options name, each with its issuer. */
export class ClientRegistry {
  readonly #clients = new Map<string, Map<string, RegisteredClient>>();

  constructor(clients: Iterable<RegisteredClient>) {
    for (const client of clients) {
      const ofIssuer = this.#clients.get(client.issuer) ?? new Map<string, RegisteredClient>();
      this.#clients.set(client.issuer, ofIssuer.set(client.clientId, client));
    }
  }

  /** Returns the identifiers of an issuer's clients. */
  clientIdsOf(issuer: string): readonly string[] {
    return [...(this.#clients.get(issuer)?.keys() ?? [])];
  }

  find(issuer: string, clientId: string): RegisteredClient | undefined {
    return this.#clients.get(issuer)?.get(clientId);
  }
}

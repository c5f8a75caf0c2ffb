import type { ClaimsPolicy } from './claims-policy.js';
import type { Introspection } from './introspection.js';
import type { KeySet } from './key-set.js';
import type { ClientRegistry } from './client-registry.js';

/** An issuer whose tokens are accepted, and the rules for them. */
export interface TrustedIssuer {
  readonly issuer: string;
  /** Rules for the claims of its tokens. */
  readonly policy: ClaimsPolicy;
  readonly keys: KeySet;
  /** Clients that may call; undefined: every machine of the issuer. */
  readonly clients: ClientRegistry | undefined;
  /** Whether the keys are fetched at boot. Not for an issuer with opaque tokens and no known key address: it may have none. */
  readonly hasKeysEarly: boolean;
  /** Whether the resolver accepted it at run time, for a limited time. */
  readonly isResolved: boolean;
  /** Introspection of opaque tokens; undefined: they are refused. */
  readonly opaqueTokens?: Introspection | undefined;
  /**
   * Introspection of signed tokens; undefined: sensitive routes are refused. Separate, because a stranger can make up opaque
   * tokens: their requests take no place of these.
   */
  readonly signedTokens?: Introspection | undefined;
}

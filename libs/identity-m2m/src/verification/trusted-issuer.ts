import type { ClaimsPolicy } from './claims-policy.js';
import type { Introspection } from './introspection.js';
import type { KeySet } from './key-set.js';
import type { ClientRegistry } from './client-registry.js';

/** An issuer whose tokens are accepted, and how they are verified. */
export interface TrustedIssuer {
  readonly issuer: string;
  /** What the claims of its tokens are measured against. */
  readonly policy: ClaimsPolicy;
  readonly keys: KeySet;
  /** Clients that may call; undefined: every machine that the issuer vouches for. */
  readonly clients: ClientRegistry | undefined;
  /**
   * Whether the keys are fetched at boot. Not where tokens of the issuer may all be opaque and its keys would have to be
   * found first: it may have none.
   */
  readonly hasKeysEarly: boolean;
  /** Whether the resolver accepted it at run time: then only for a while. */
  readonly isResolved: boolean;
  /** Where it is asked about tokens that can't be read; undefined: nowhere. */
  readonly opaqueTokens?: Introspection | undefined;
  /**
   * Where it is asked about tokens whose signature is good; undefined: nowhere. Apart from the others, because anybody can
   * make up a token that can't be read: such questions take no place of these, and what comes of them stops none of these.
   */
  readonly signedTokens?: Introspection | undefined;
}

import type { ClaimsPolicy } from './claims-policy.js';
import type { Introspection } from './introspection.js';
import type { KeySet } from './key-set.js';

/** An issuer whose tokens are accepted, and how they are verified. */
export interface TrustedIssuer {
  readonly issuer: string;
  /** What the claims of its tokens are measured against. */
  readonly policy: ClaimsPolicy;
  readonly keys: KeySet;
  /** Where it is asked about tokens that can't be read; undefined: nowhere. */
  readonly introspection?: Introspection | undefined;
  /**
   * Where it is asked about tokens whose signature is good; undefined: nowhere. Apart from the others, because anybody can
   * make up a token that can't be read: such questions take no place of these, and what comes of them stops none of these.
   */
  readonly confirmation?: Introspection | undefined;
}

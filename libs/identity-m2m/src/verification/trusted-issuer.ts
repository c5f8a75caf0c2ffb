import type { ClaimsPolicy } from './claims-policy.js';
import type { Introspection } from './introspection.js';
import type { KeySet } from './key-set.js';

/** An issuer whose tokens are accepted, and how they are verified. */
export interface TrustedIssuer {
  readonly issuer: string;
  /** What the claims of its tokens are measured against. */
  readonly policy: ClaimsPolicy;
  readonly keys: KeySet;
  /** Where it can be asked about its tokens; undefined: nowhere. */
  readonly introspection?: Introspection | undefined;
}

import type { Instant } from '../foundation/clock.js';
import type { Claims } from '../identity-providers/access-token-profile.js';
import type { VerificationKeys } from './key-set.js';
import type { Refusal } from './refusal.js';
import type { SignedToken } from './signed-token.js';
import type { TokenHeader } from './token-header.js';
import type { TokenHolder } from './token-holder.js';
import type { TrustedIssuer } from './trusted-issuer.js';
import type { VerificationKey } from './verification-key.js';

/**
 * A token whose signature was found good, with the key that it was good with. Nothing else about it has been decided:
 * whether it is good now, here and for this route is asked anew each time.
 */
export class VerifiedToken implements SignedToken {
  readonly ok = true;
  readonly token: string;
  readonly issuer: TrustedIssuer;
  readonly header: TokenHeader;
  readonly claims: Claims;
  /** Whom the claims name, once somebody has read it from them. */
  holder: TokenHolder | Refusal | undefined;
  /** The set in which the key was seen last. */
  #set: VerificationKeys;

  constructor(
    { token, issuer, header, claims }: SignedToken,
    private readonly key: VerificationKey,
    set: VerificationKeys,
  ) {
    this.token = token;
    this.issuer = issuer;
    this.header = header;
    this.claims = deepFreeze(claims);
    this.#set = set;
  }

  /** `kid` of the key, also where the token does not name it. */
  get keyId(): string | undefined {
    return this.key.kid;
  }

  /** Whether the issuer still has the key. Undefined where that can't be said without waiting. */
  hasKeyStill(now: Instant): boolean | undefined {
    const set = this.issuer.keys.current(now);
    if (set === this.#set) return true;
    if (!set) return undefined;
    if (!set.candidates(this.header.kid, this.header.algorithm).includes(this.key)) return false;
    this.#set = set;
    return true;
  }
}

/** Nobody below may change what others read. The depth is limited by the parser that made the value. */
export function deepFreeze<T>(value: T): T {
  if (typeof value === 'object' && value !== null && !Object.isFrozen(value)) {
    Object.freeze(value);
    Object.values(value).forEach(deepFreeze);
  }
  return value;
}

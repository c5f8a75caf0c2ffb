import { BoundedMap, type BoundedMapLimits } from '../foundation/bounded-map.js';
import type { Instant } from '../foundation/clock.js';
import type { Claims } from '../identity-providers/identity-provider.js';
import type { CallerIdentity } from './caller-identity.js';
import type { VerificationKeys } from './key-set.js';
import type { Refusal } from './refusal.js';
import type { SignedToken, TokenHeader } from './signed-token.js';
import type { TrustedIssuer } from './trusted-issuer.js';
import type { VerificationKey } from './verification-key.js';
import { verifyJws } from './jws-signature.js';
import { deepFreeze } from '../foundation/plain-objects.js';

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
  /** The caller that the claims name, once they were read. */
  identity: CallerIdentity | Refusal | undefined;
  /** The set in which the key was seen last. */
  #set: VerificationKeys;

  constructor(
    { token, issuer, header, claims }: SignedToken,
    readonly key: VerificationKey,
    set: VerificationKeys,
  ) {
    this.token = token;
    this.issuer = issuer;
    this.header = header;
    this.claims = deepFreeze(claims);
    this.#set = set;
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

/** Characters of a token that it is found by: the end of its signature, which differs as a whole hash does. */
const TAIL_LENGTH = 64;

/** What an entry takes besides the token and its claims, in bytes. */
const ENTRY_BYTES = 1024;

export const VERIFIED_TOKENS_LIMITS: Required<BoundedMapLimits> = { maxEntries: 10_000, maxBytes: 67_108_864 };

/**
 * Tokens whose signature was verified, so that it need not be again.
 *
 * Hashing a whole token costs several times what the rest of a warm check does; the end of its signature tells tokens
 * apart as well. It is no proof of anything, though: a token counts as known only where all of it is the same.
 */
export class VerifiedTokens {
  readonly #tokens: BoundedMap<VerifiedToken>;

  constructor(limits: BoundedMapLimits) {
    this.#tokens = new BoundedMap(limits);
  }

  get(token: string): VerifiedToken | undefined {
    const known = this.#tokens.get(token.slice(-TAIL_LENGTH));
    return known?.token === token ? known : undefined;
  }

  add(token: VerifiedToken): void {
    // The text, its claims, which are about as long, and what is made of them.
    this.#tokens.set(token.token.slice(-TAIL_LENGTH), token, token.token.length * 4 + ENTRY_BYTES);
  }

  delete(token: VerifiedToken): void {
    this.#tokens.delete(token.token.slice(-TAIL_LENGTH));
  }

  clear(): void {
    this.#tokens.clear();
  }
}

/** Verifies a token's signature with its issuer's keys: only these, and only by the algorithm that each is for. */
export async function verifySignature(signed: SignedToken): Promise<VerifiedToken | Refusal> {
  const { token, header, issuer } = signed;
  const verified = await verifyJws(token, header, issuer.keys);
  return 'ok' in verified ? verified : new VerifiedToken(signed, verified.key, verified.set);
}

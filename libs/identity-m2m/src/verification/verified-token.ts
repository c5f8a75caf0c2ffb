import { BoundedMap, type BoundedMapLimits } from '../foundation/bounded-map.js';
import type { Instant } from '../foundation/clock.js';
import type { Claims } from '../identity-providers/identity-provider.js';
import type { CallerIdentity } from './caller-identity.js';
import type { VerificationKeys } from './key-set.js';
import type { Refusal } from './refusal.js';
import type { JoseHeader, SignedToken } from './signed-token.js';
import type { TrustedIssuer } from './trusted-issuer.js';
import type { VerificationKey } from './verification-key.js';
import { verifyJws } from './compact-jws.js';
import { deepFreeze } from '../foundation/plain-objects.js';

/**
 * A token with a verified signature, and the key that signed it. Nothing else is decided yet: each call checks whether
 * it is valid now, for this API and for the route.
 */
export class VerifiedToken implements SignedToken {
  readonly ok = true;
  readonly token: string;
  readonly issuer: TrustedIssuer;
  readonly header: JoseHeader;
  readonly claims: Claims;
  /** The caller that the claims name, once they were read. */
  identity: CallerIdentity | Refusal | undefined;
  /** The key set that held the key last. */
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

  /** Whether the issuer still publishes the key; undefined if the keys have to be read first. */
  hasCurrentKey(now: Instant): boolean | undefined {
    const set = this.issuer.keys.current(now);
    if (set === this.#set) return true;
    if (!set) return undefined;
    if (!set.candidates(this.header.kid, this.header.algorithm).includes(this.key)) return false;
    this.#set = set;
    return true;
  }
}

/** Length of a token's cache key in characters: the end of its signature, which is as distinctive as a hash. */
const TAIL_LENGTH = 64;

/** Size of an entry besides the token and its claims, in bytes. */
const ENTRY_BYTES = 1024;

export const VERIFIED_TOKENS_LIMITS: Required<BoundedMapLimits> = { maxEntries: 10_000, maxBytes: 67_108_864 };

/**
 * Caches tokens whose signature was verified.
 *
 * Hashing a whole token costs several times as much as the rest of a cached check, so the end of its signature is the
 * key. A match proves nothing: a token counts as known only if all of it is equal.
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
    // The token, its claims, which are about as long, and the identity made of them.
    this.#tokens.set(token.token.slice(-TAIL_LENGTH), token, token.token.length * 4 + ENTRY_BYTES);
  }

  delete(token: VerifiedToken): void {
    this.#tokens.delete(token.token.slice(-TAIL_LENGTH));
  }

  clear(): void {
    this.#tokens.clear();
  }
}

/** Verifies a token's signature, only with its issuer's keys and the algorithms of each key. */
export async function verifySignature(signed: SignedToken): Promise<VerifiedToken | Refusal> {
  const { token, header, issuer } = signed;
  const verified = await verifyJws(token, header, issuer.keys);
  return 'ok' in verified ? verified : new VerifiedToken(signed, verified.key, verified.set);
}

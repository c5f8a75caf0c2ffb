import type { Claims } from '../identity-providers/identity-provider.js';

/** A machine that was let in: who it is, by a token whose every claim here has been verified. */
export interface MachineCaller {
  /** Its client identifier at the issuer. */
  readonly clientId: string;
  /** The token's issuer. */
  readonly issuer: string;
  /** Whether the guard's options name it, rather than let in every machine. */
  readonly isNamed: boolean;
  /** Whether the issuer itself was asked about the token (RFC 7662), a minute ago at most. */
  readonly isIntrospected?: boolean;
  /** The token's `sub`, where it has one. */
  readonly subject: string | undefined;
  /** Scopes that were granted to it, as far as the guard's options let them count. */
  readonly scopes: readonly string[];
  /** When its token ends. */
  readonly expiresAt: Date;
  /** Names its token in logs without telling it. */
  readonly tokenFingerprint: string;
  /** All claims of the token that are not null, frozen: several requests may share them. */
  readonly claims: Claims;
}

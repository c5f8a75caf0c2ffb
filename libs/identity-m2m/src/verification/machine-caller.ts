import type { Claims } from '../identity-providers/identity-provider.js';

/** A machine with a verified token. */
export interface MachineCaller {
  /** Client identifier at the issuer. */
  readonly clientId: string;
  /** The token's issuer. */
  readonly issuer: string;
  /** Whether the guard's options name the client, rather than allow every machine. */
  readonly isNamed: boolean;
  /** Whether the token was checked with its issuer (RFC 7662), at most a minute ago. */
  readonly isIntrospected?: boolean;
  /** The claim `sub`, where the token has one. */
  readonly subject: string | undefined;
  /** Granted scopes, as far as the guard's options count them. */
  readonly scopes: readonly string[];
  /** When its token expires. */
  readonly expiresAt: Date;
  /** Identifies the token in logs without revealing it. */
  readonly tokenFingerprint: string;
  /** All claims of the token that are not null; frozen, because several requests may share them. */
  readonly claims: Claims;
}

import type { Claims } from '../identity-providers/identity-provider.js';

/** A machine with a verified token. */
export interface MachineCaller {
  /** Client identifier at the issuer. */
  readonly clientId: string;
  /** The token's issuer. */
  readonly issuer: string;
  /** Whether the guard's options name this client, rather than allow every machine. */
  readonly isNamed: boolean;
  /** Whether the token was checked with its issuer by introspection (RFC 7662), at most a minute ago. */
  readonly isIntrospected?: boolean;
  /** The claim `sub`, if the token has one. */
  readonly subject: string | undefined;
  /** Granted scopes, without those that the guard's options exclude for this client. */
  readonly scopes: readonly string[];
  /** When its token expires. */
  readonly expiresAt: Date;
  /** Identifies the token in logs without revealing it: the same in every process. */
  readonly tokenFingerprint: string;
  /** All claims of the token that are not null; frozen, because several requests may share them. */
  readonly claims: Claims;
}

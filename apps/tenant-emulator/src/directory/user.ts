import { createHash, timingSafeEqual } from 'node:crypto';

/** The fields that a caller sets to create or change a user. */
export interface UserProfile {
  /** Login name with its suffix, in lower case. */
  name: string;
  mail: string | null;
  displayName: string | null;
  description: string | null;
  mobileNumber: string | null;
  officeNumber: string | null;
  homeNumber: string | null;
  /** UUID of another user. */
  reportsTo: string | null;
  inEverybodyRole: boolean;
  inSysAdminRole: boolean;
  forcePasswordChangeNext: boolean;
  passwordNeverExpire: boolean;
  serviceUser: boolean;
  /** An OAuth confidential client: can request tokens with its name and password. */
  oauthClient: boolean;
}

/** A user of the tenant's cloud directory. Times are milliseconds since the Unix epoch. */
export interface User extends UserProfile {
  readonly uuid: string;
  /** `None`, or one or more of `Locked`, `Disabled` and `Expired`, separated by commas. */
  state: string;
  /** Undefined for a random password, which is unknown. */
  passwordDigest: Buffer | undefined;
  readonly createdAt: number;
  modifiedAt: number;
  passwordChangedAt: number;
  /** Starts at 1; each change adds 1. */
  version: number;
  /** Invitations that a real tenant would have sent by mail. */
  mailInvitations: number;
  /** Invitations that a real tenant would have sent as a text message. */
  smsInvitations: number;
}

/** Returns the SHA-256 of a secret, which is stored in place of the secret. */
export function secretDigest(secret: string): Buffer {
  return createHash('sha256').update(secret, 'utf8').digest();
}

/** Compares in constant time, which is the same without a digest. */
export function matchesDigest(secret: string, digest: Buffer | undefined): boolean {
  const equal = timingSafeEqual(secretDigest(secret), digest ?? NO_DIGEST);
  return equal && digest !== undefined;
}

const NO_DIGEST = Buffer.alloc(32);

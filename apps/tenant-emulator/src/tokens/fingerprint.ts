import { createHash } from 'node:crypto';

/** In hexadecimal digits: enough to follow a token through the logs, and no use to a thief. */
export const FINGERPRINT_LENGTH = 12;

/** The first digits of the {@link digestOf} a token. */
export function fingerprintOf(token: string): string {
  return digestOf(token).slice(0, FINGERPRINT_LENGTH);
}

/** The SHA-256 of a token, in hexadecimal digits. */
export function digestOf(token: string): string {
  return createHash('sha256').update(token).digest('hex');
}

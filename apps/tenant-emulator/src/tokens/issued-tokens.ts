import { createHash } from 'node:crypto';
import type { Clock } from '../clock.js';
import type { SwitchBoard } from '../faults/switch-board.js';
import { bearerTokenOf, type TenantRequest } from '../http/tenant-request.js';

/** The tenant's record of a token that it issued. */
export interface IssuedToken {
  readonly applicationId: string;
  readonly issuer: string;
  readonly audience: string;
  readonly userUuid: string;
  readonly loginName: string;
  readonly scopes: readonly string[];
  /** Seconds since the Unix epoch. */
  readonly issuedAt: number;
  /** Seconds since the Unix epoch. */
  readonly expiresAt: number;
}

/** An active token, identified by its fingerprint. */
export interface Session {
  readonly fingerprint: string;
  readonly token: IssuedToken;
}

/**
 * The tokens that the tenant issued, both JWT and opaque. The tenant's own endpoints look up a token here, so
 * revocation takes effect immediately, and forged tokens are unknown.
 */
export class IssuedTokens {
  /** By digest, oldest first. A revoked token stays until it expires, so that the same text is not issued again. */
  readonly #byDigest = new Map<string, { readonly token: IssuedToken; revoked: boolean }>();

  /** @param maxTokens At this limit, the oldest token is evicted and so becomes inactive early. */
  constructor(
    private readonly maxTokens: number,
    private readonly clock: Clock,
    private readonly switches: SwitchBoard,
  ) {}

  /** Stores a token. Returns false if the same text was issued before; the first record then stays. */
  remember(text: string, token: IssuedToken): boolean {
    const digest = digestOf(text);
    if (this.#byDigest.has(digest)) return false;
    this.#forgetOldest();
    this.#byDigest.set(digest, { token, revoked: false });
    return true;
  }

  /** Returns the record of a token, if the tenant issued it, it has not expired and its session is active. */
  live(text: string): IssuedToken | undefined {
    const entry = this.#byDigest.get(digestOf(text));
    return entry && !entry.revoked && !this.#isOver(entry.token) ? entry.token : undefined;
  }

  /** Returns the record of the bearer token of a request, as {@link live} does. Logs its fingerprint. */
  presentedIn({ headers, record }: TenantRequest): IssuedToken | undefined {
    const text = bearerTokenOf(headers.authorization);
    if (text === undefined) return undefined;
    if (record) record.tokenFingerprint = fingerprintOf(text);
    return this.live(text);
  }

  /** Returns the active tokens, oldest first. */
  sessions(): Session[] {
    return [...this.#byDigest]
      .filter(([, { token, revoked }]) => !revoked && !this.#isOver(token))
      .map(([digest, { token }]) => ({ fingerprint: digest.slice(0, FINGERPRINT_LENGTH), token }));
  }

  /** @param loginName The client that sent the request; it cannot revoke the tokens of another client. */
  revoke(text: string, loginName: string): void {
    const entry = this.#byDigest.get(digestOf(text));
    if (entry?.token.loginName === loginName) entry.revoked = true;
  }

  /**
   * Ends sessions before their tokens expire.
   *
   * @param client Login name. Default: every client.
   * @returns The number of sessions that were active.
   */
  revokeSessions({ client }: { client?: string | undefined } = {}): number {
    const loginName = client?.toLowerCase();
    let ended = 0;
    for (const entry of this.#byDigest.values()) {
      if (entry.revoked || (loginName !== undefined && entry.token.loginName !== loginName)) continue;
      if (!this.#isOver(entry.token)) ended++;
      entry.revoked = true;
    }
    return ended;
  }

  #isOver({ issuedAt, expiresAt }: IssuedToken): boolean {
    const now = this.clock.now() / 1000;
    const { sessionLifetimeSeconds } = this.switches.current;
    return now >= expiresAt || (sessionLifetimeSeconds !== null && now >= issuedAt + sessionLifetimeSeconds);
  }

  #forgetOldest(): void {
    for (const [digest, { token }] of this.#byDigest) {
      if (token.expiresAt > this.clock.now() / 1000 && this.#byDigest.size < this.maxTokens) return;
      this.#byDigest.delete(digest);
    }
  }
}

/** Hexadecimal digits: enough to follow a token through the logs, useless to a thief. */
const FINGERPRINT_LENGTH = 12;

/** Returns the first digits of the digest of a token. */
export function fingerprintOf(token: string): string {
  return digestOf(token).slice(0, FINGERPRINT_LENGTH);
}

/** Returns the SHA-256 of a token in hexadecimal digits. */
function digestOf(token: string): string {
  return createHash('sha256').update(token).digest('hex');
}

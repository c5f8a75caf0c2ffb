import { createHash } from 'node:crypto';
import type { Clock } from '../clock.js';
import type { SwitchBoard } from '../faults/switch-board.js';

/** What the tenant remembers of a token that it handed out. */
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

/** A token that is good still, by its fingerprint. */
export interface Session {
  readonly fingerprint: string;
  readonly token: IssuedToken;
}

/**
 * The tokens that the tenant handed out, JWT and opaque alike. The tenant's own endpoints judge a token by looking it
 * up here, so revocation is in force at once, and forged tokens are unknown.
 */
export class IssuedTokens {
  /** By digest, oldest first. A revoked token stays until it expires, so that the same text is not issued again. */
  readonly #byDigest = new Map<string, { readonly token: IssuedToken; revoked: boolean }>();

  /** @param maxTokens Beyond that, the oldest is forgotten and thus dies early. */
  constructor(
    private readonly maxTokens: number,
    private readonly clock: Clock,
    private readonly switches: SwitchBoard,
  ) {}

  /** @returns false if the same text has been issued before, and then it is not remembered again. */
  remember(text: string, token: IssuedToken): boolean {
    const digest = digestOf(text);
    if (this.#byDigest.has(digest)) return false;
    this.#forgetOldest();
    this.#byDigest.set(digest, { token, revoked: false });
    return true;
  }

  /** The token, if it is one of ours, not expired, and its session is alive. */
  live(text: string): IssuedToken | undefined {
    const entry = this.#byDigest.get(digestOf(text));
    return entry && !entry.revoked && !this.#isOver(entry.token) ? entry.token : undefined;
  }

  /** All that are good still, oldest first. */
  sessions(): Session[] {
    return [...this.#byDigest]
      .filter(([, { token, revoked }]) => !revoked && !this.#isOver(token))
      .map(([digest, { token }]) => ({ fingerprint: digest.slice(0, FINGERPRINT_LENGTH), token }));
  }

  /** @param loginName Of the client that asks; a client cannot revoke the tokens of another. */
  revoke(text: string, loginName: string): void {
    const entry = this.#byDigest.get(digestOf(text));
    if (entry?.token.loginName === loginName) entry.revoked = true;
  }

  /**
   * Ends sessions before their tokens expire.
   *
   * @param client Login name. Default: every client.
   * @returns How many were alive.
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

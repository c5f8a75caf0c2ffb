/** Longest lifetime believed, in seconds: 30 days. A larger figure is cut to it. */
export const MAX_LIFETIME_SECONDS = 30 * 24 * 3600;

/** Lifetime assumed where nothing says how long a token lives, in seconds. */
const DEFAULT_LIFETIME_SECONDS = 300;

/** What is known about how long a token will live. */
export interface LifetimeEvidence {
  /** `expires_in` as it stands in the answer (RFC 6749 §5.1); undefined, null or empty where it is absent. */
  readonly expiresIn: unknown;
  /** `exp` and `iat` of the token where it can be read as a JWT, in seconds since the epoch. */
  readonly jwt?: { readonly exp?: number; readonly iat?: number } | undefined;
  /** The server's own time when it answered, from its `Date` header, in milliseconds since the epoch. */
  readonly serverTimeMs?: number | undefined;
}

export interface AccessTokenLifetime {
  readonly lifetimeMs: number;
  /** What it was learned from. */
  readonly source: 'expires_in' | 'jwt' | 'default';
}

/**
 * Returns how long a token lives from the moment just before its request; undefined where `expires_in` is not a positive
 * number of seconds, which never means "for ever".
 *
 * `expires_in` counts first, then a readable JWT by the server's clock, then {@link DEFAULT_LIFETIME_SECONDS}. A readable
 * JWT also shortens the life that `expires_in` claims: some servers return a cached token with the lifetime of a new one.
 * A token that cannot be read is left alone, because access tokens are opaque to clients.
 */
export function accessTokenLifetime(evidence: LifetimeEvidence): AccessTokenLifetime | undefined {
  const jwtSeconds = secondsLeftInJwt(evidence);
  if (evidence.expiresIn == null || evidence.expiresIn === '') {
    return jwtSeconds === undefined
      ? { lifetimeMs: DEFAULT_LIFETIME_SECONDS * 1000, source: 'default' }
      : { lifetimeMs: toMs(jwtSeconds), source: 'jwt' };
  }
  const seconds = positiveSeconds(evidence.expiresIn);
  if (seconds === undefined) return undefined;
  return { lifetimeMs: toMs(Math.min(seconds, jwtSeconds ?? Infinity)), source: 'expires_in' };
}

/** Reads a number of seconds that may be written as a decimal string; undefined where it is none. */
export function positiveSeconds(value: unknown): number | undefined {
  const seconds = typeof value === 'string' && /^ *\d{1,15}(\.\d{1,9})? *$/.test(value) ? Number(value) : value;
  return typeof seconds === 'number' && Number.isFinite(seconds) && seconds > 0 ? seconds : undefined;
}

function secondsLeftInJwt({ jwt, serverTimeMs }: LifetimeEvidence): number | undefined {
  if (typeof jwt?.exp !== 'number') return undefined;
  // Both, because a Date may be that of a cache in between; the server's clock was never behind the token's making.
  const serverNow = Math.max(jwt.iat ?? -Infinity, (serverTimeMs ?? -Infinity) / 1000);
  const left = jwt.exp - serverNow;
  return Number.isFinite(left) && left > 0 ? left : undefined;
}

function toMs(seconds: number): number {
  return Math.min(seconds, MAX_LIFETIME_SECONDS) * 1000;
}

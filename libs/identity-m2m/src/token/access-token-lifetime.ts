/** Maximum lifetime of a token, in seconds: 30 days. A longer one is cut to it. */
const MAX_LIFETIME_SECONDS = 30 * 24 * 3600;

/** Lifetime of a token without any known lifetime, in seconds. */
const DEFAULT_LIFETIME_SECONDS = 300;

/** Facts about a token's lifetime. */
export interface LifetimeEvidence {
  /** `expires_in` of the response, unchecked (RFC 6749 §5.1); undefined, null or empty if absent. */
  readonly expiresIn: unknown;
  /** `exp` and `iat` of a token that is a readable JWT, in seconds since the epoch. */
  readonly jwt?: { readonly exp?: number; readonly iat?: number } | undefined;
  /** Time of the server's clock at its response (`Date`), in milliseconds since the epoch. */
  readonly serverTimeMs?: number | undefined;
}

export interface AccessTokenLifetime {
  readonly lifetimeMs: number;
  /** Where the lifetime comes from. */
  readonly source: 'expires_in' | 'jwt' | 'default';
}

/**
 * Returns a token's lifetime, measured from just before its request; undefined if `expires_in` is not a positive number
 * of seconds, which never means "unlimited".
 *
 * `expires_in` takes precedence, then a readable JWT by the server's clock, then {@link DEFAULT_LIFETIME_SECONDS}. A
 * readable JWT also shortens `expires_in`, because some servers return a cached token with the lifetime of a new one.
 * Other tokens are not read, because access tokens are opaque to clients.
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

/** Returns a positive number of seconds, which may be a decimal string; undefined for any other value. */
export function positiveSeconds(value: unknown): number | undefined {
  const seconds = typeof value === 'string' && /^ *\d{1,15}(\.\d{1,9})? *$/.test(value) ? Number(value) : value;
  return typeof seconds === 'number' && Number.isFinite(seconds) && seconds > 0 ? seconds : undefined;
}

function secondsLeftInJwt({ jwt, serverTimeMs }: LifetimeEvidence): number | undefined {
  if (typeof jwt?.exp !== 'number') return undefined;
  // The later of both, because the `Date` may come from a cache. The server's clock was never before `iat`.
  const serverNow = Math.max(jwt.iat ?? -Infinity, (serverTimeMs ?? -Infinity) / 1000);
  const left = jwt.exp - serverNow;
  return Number.isFinite(left) && left > 0 ? left : undefined;
}

function toMs(seconds: number): number {
  return Math.min(seconds, MAX_LIFETIME_SECONDS) * 1000;
}

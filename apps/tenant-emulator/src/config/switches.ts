import { z } from 'zod';

/**
 * The parts of the tenant that fail independently of each other.
 *
 * - `token`: endpoints for clients that request tokens: Token, platformtoken, Revoke.
 * - `keys`: endpoints for APIs that check tokens: Keys, discovery, GetMeta, Introspect, UserInfo.
 * - `api`: the REST API.
 */
export const TENANT_PARTS = ['token', 'api', 'keys'] as const;

export type TenantPart = (typeof TENANT_PARTS)[number];

/**
 * Kinds of outages of a part of the tenant.
 *
 * - `refuse`: closes the connection without a response. (The port stays open, because all parts share it.)
 * - `reset`: resets the TCP connection.
 * - `hang`: accepts the request and never responds.
 * - `500`: responds with a server error in JSON.
 * - `lose-answer`: executes the request, then closes the connection without a response.
 * - `html`: responds with a web page and status 200, like a wrong host or a captive portal.
 */
const OUTAGES = ['none', 'refuse', 'reset', 'hang', 'lose-answer', '500', 'html'] as const;

export type Outage = (typeof OUTAGES)[number];

const printableText = z.string().regex(/^[\x20-\x7e]+$/, 'must be printable ASCII, like a header');

const partFault = z.strictObject({
  outage: z.enum(OUTAGES),
  /** Delay before the request is processed, in milliseconds. */
  slowMs: z.int().min(0).max(600_000),
  /** Responds with 429. `retryAfter` is the Retry-After header: seconds, or a string such as an HTTP date. */
  rateLimit: z.union(
    [z.literal('none'), z.strictObject({ retryAfter: z.union([z.number(), printableText]).optional() })],
    { error: 'expected "none" or {"retryAfter": seconds or string}, where retryAfter is optional' },
  ),
});

/** The faults of one part of the tenant. They combine: first the delay, then the outage or the rate limit. */
export type PartFault = Readonly<z.output<typeof partFault>>;

const NO_FAULT: PartFault = { outage: 'none', slowMs: 0, rateLimit: 'none' };

const switches = z.strictObject({
  /** Lifetime of new tokens in seconds. Null: the lifetime set in the application. */
  tokenLifetimeSeconds: z.int().positive().nullable(),
  /** Seconds from the issue of a token to the end of its session, regardless of the token's `exp`. Null: `exp`. */
  sessionLifetimeSeconds: z.int().positive().nullable(),
  /** Format of `expires_in` in token responses. */
  expiresIn: z.enum(['number', 'string', 'missing']),
  /** Format of `exp`, `iat` and `auth_time` in introspection responses. The vendor's specification has strings. */
  introspectionTimes: z.enum(['number', 'string']),
  /** Issues opaque tokens, regardless of the application's token type. */
  opaqueTokens: z.boolean(),
  /** Rejects valid credentials: of every client (true), or of the clients with these login names. */
  refuseCredentials: z.union([z.boolean(), z.array(z.string())], {
    error: 'expected true, false or a list of login names',
  }),
  /** Response status for invalid credentials. */
  badCredentialsStatus: z.union([z.literal(400), z.literal(401)], { error: 'expected 400 or 401' }),
  /** Accepts token requests in JSON. Otherwise they fail as if grant_type were missing. */
  acceptJsonTokenRequests: z.boolean(),
  /** The response to a REST call that no scope of the token covers. The vendor does not document it. */
  scopeViolation: z.union([z.literal('envelope'), z.literal(401), z.literal(403)], {
    error: 'expected "envelope", 401 or 403',
  }),
  faults: z.strictObject({ token: partFault, api: partFault, keys: partFault }),
});

/** How the tenant behaves and fails. */
export type TenantSwitches = Readonly<z.output<typeof switches>>;

/** Some of the switches. Missing ones stay unchanged; lists and `rateLimit` are replaced as a whole. */
export const switchesPatch = switches.partial().extend({
  faults: z
    .strictObject({ token: partFault.partial(), api: partFault.partial(), keys: partFault.partial() })
    .partial()
    .optional(),
});

export type SwitchesPatch = z.output<typeof switchesPatch>;

export const DEFAULT_SWITCHES: TenantSwitches = {
  tokenLifetimeSeconds: null,
  sessionLifetimeSeconds: null,
  expiresIn: 'number',
  introspectionTimes: 'number',
  opaqueTokens: false,
  refuseCredentials: false,
  badCredentialsStatus: 400,
  acceptJsonTokenRequests: false,
  scopeViolation: 'envelope',
  faults: { token: NO_FAULT, api: NO_FAULT, keys: NO_FAULT },
};

export function mergeSwitches(current: TenantSwitches, { faults, ...rest }: SwitchesPatch): TenantSwitches {
  return {
    ...current,
    ...rest,
    faults: {
      token: { ...current.faults.token, ...faults?.token },
      api: { ...current.faults.api, ...faults?.api },
      keys: { ...current.faults.keys, ...faults?.keys },
    },
  };
}

export const timedOutage = z.strictObject({
  part: z.enum(TENANT_PARTS),
  outage: z.enum(OUTAGES).exclude(['none']),
  /** Duration in milliseconds. */
  forMs: z.int().positive(),
});

/** An outage that ends after a time. */
export type TimedOutage = Readonly<z.output<typeof timedOutage>>;

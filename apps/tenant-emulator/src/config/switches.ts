import { z } from 'zod';

/**
 * The parts of the tenant that fail apart from each other.
 *
 * - `token`: what a client calls for its token: Token, platformtoken, Revoke.
 * - `keys`: what an API calls that judges tokens: Keys, discovery, GetMeta, Introspect, UserInfo.
 * - `api`: the REST API.
 */
export const TENANT_PARTS = ['token', 'api', 'keys'] as const;

export type TenantPart = (typeof TENANT_PARTS)[number];

/**
 * How a part of the tenant is out.
 *
 * - `refuse`: closes the connection at once, without an answer. (One port serves all parts, so it cannot be closed.)
 * - `reset`: the same with a TCP reset.
 * - `hang`: takes the request and never answers.
 * - `500`: a server error, as JSON.
 * - `lose-answer`: does what the request asks for, and then closes the connection instead of answering.
 * - `html`: a web page with status 200, as from a wrong host or a captive portal.
 */
export const OUTAGES = ['none', 'refuse', 'reset', 'hang', 'lose-answer', '500', 'html'] as const;

export type Outage = (typeof OUTAGES)[number];

const printableText = z.string().regex(/^[\x20-\x7e]+$/, 'must be printable ASCII, as a header is');

export const partFault = z.strictObject({
  outage: z.enum(OUTAGES),
  /** Delay before anything else happens, in milliseconds. */
  slowMs: z.int().min(0).max(600_000),
  /** Answers 429. `retryAfter` is the Retry-After header: seconds or a text such as an HTTP date; left out, no header. */
  rateLimit: z.union(
    [z.literal('none'), z.strictObject({ retryAfter: z.union([z.number(), printableText]).optional() })],
    { error: 'expected "none" or {"retryAfter": seconds or text}, where retryAfter may be left out' },
  ),
});

/** What is wrong with one part of the tenant. They combine: first slow, then out or limited. */
export type PartFault = Readonly<z.output<typeof partFault>>;

export const NO_FAULT: PartFault = { outage: 'none', slowMs: 0, rateLimit: 'none' };

const switches = z.strictObject({
  /** Life of new tokens in seconds; null leaves it to the application. */
  tokenLifetimeSeconds: z.int().positive().nullable(),
  /** A session dies so many seconds after its token was issued, whatever the token's `exp` says. */
  sessionLifetimeSeconds: z.int().positive().nullable(),
  /** How a token response says `expires_in`. */
  expiresIn: z.enum(['number', 'string', 'missing']),
  /** How an introspection response says `exp`, `iat` and `auth_time`; the vendor's specification types them as strings. */
  introspectionTimes: z.enum(['number', 'string']),
  /** Hands out opaque tokens, whatever the application's token type is. */
  opaqueTokens: z.boolean(),
  /** Takes right credentials for wrong: of every client (true), or of the clients with these login names. */
  refuseCredentials: z.union([z.boolean(), z.array(z.string())], {
    error: 'expected true, false or a list of login names',
  }),
  /** Status of the answer to wrong credentials. */
  badCredentialsStatus: z.union([z.literal(400), z.literal(401)], { error: 'expected 400 or 401' }),
  /** Takes token requests in JSON. Otherwise they fail as if grant_type were missing. */
  acceptJsonTokenRequests: z.boolean(),
  /** The answer to a REST call that the token's scopes do not cover. What the tenant does is not documented. */
  scopeViolation: z.union([z.literal('envelope'), z.literal(401), z.literal(403)], {
    error: 'expected "envelope", 401 or 403',
  }),
  faults: z.strictObject({ token: partFault, api: partFault, keys: partFault }),
});

/** How the tenant behaves, and misbehaves. */
export type TenantSwitches = Readonly<z.output<typeof switches>>;

/** Some of the switches. What is left out stays as it is; lists and `rateLimit` are replaced as a whole. */
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
  /** How long it lasts, in milliseconds. */
  forMs: z.int().positive(),
});

/** An outage that ends by itself. */
export type TimedOutage = Readonly<z.output<typeof timedOutage>>;

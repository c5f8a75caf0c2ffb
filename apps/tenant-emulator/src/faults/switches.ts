import { z } from 'zod';
import { NO_FAULT, partFault } from './part-fault.js';

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

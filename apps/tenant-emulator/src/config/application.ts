import { z } from 'zod';

const name = z.string().min(1);

const knownScope = z.strictObject({
  scope: z.string().regex(/^\S+$/, 'expected one word'),
  description: z.string().optional(),
  /** Regular expressions of the REST paths that the scope covers, matched by {@link RestPathPattern}. */
  allowedRest: z.array(z.string().refine(isRegularExpression, 'not a regular expression')).default([]),
});

/** An OAuth2 application, in the terms of the admin portal. */
export const applicationConfiguration = z
  .strictObject({
    /** Application ID, the `<app>` of the paths. Compared exactly. */
    id: z.string().regex(/^[^\s/?#%]+$/, 'expected an Application ID without spaces, slashes, "?", "#" or "%"'),
    description: z.string().optional(),
    /** OAuth2 Client (`TargetIsUs`): tokens for the tenant's own REST API. OAuth2 Server: tokens for your API. */
    type: z.enum(['OAuth2 Client', 'OAuth2 Server']),
    /** The `aud` of the tokens. Optional for an OAuth2 Client: default is the client's login name. */
    audience: name.optional(),
    tokenType: z.enum(['JwtRS256', 'Opaque']).default('JwtRS256'),
    /** `d.hh:mm:ss`. */
    tokenLifetime: z
      .string()
      .refine((text) => parseTokenLifetime(text) !== undefined, 'expected a lifetime d.hh:mm:ss above zero')
      .default('0.05:00:00'),
    allowedAuth: z
      .array(z.enum(['ClientCreds', 'AuthorizationCode', 'Implicit', 'ResourceCreds']))
      .default(['ClientCreds']),
    knownScopes: z.array(knownScope).default([]),
  })
  .refine(({ type, audience }) => type === 'OAuth2 Client' || audience !== undefined, {
    path: ['audience'],
    error: 'an OAuth2 Server application needs an audience',
    // Reports this fault together with the others, which zod would otherwise report first.
    when: ({ value }) => typeof value === 'object' && value !== null && 'type' in value,
  });

type ApplicationConfiguration = z.output<typeof applicationConfiguration>;

function isRegularExpression(text: string): boolean {
  try {
    return Boolean(new RegExp(text));
  } catch {
    return false;
  }
}

/** Parses a lifetime `d.hh:mm:ss`, the format of application settings, into seconds. Returns undefined if invalid. */
export function parseTokenLifetime(text: string): number | undefined {
  const match = /^(\d{1,5})\.([01]\d|2[0-3]):([0-5]\d):([0-5]\d)$/.exec(text);
  if (!match) return undefined;
  const [days, hours, minutes, seconds] = match.slice(1).map(Number) as [number, number, number, number];
  return ((days * 24 + hours) * 60 + minutes) * 60 + seconds || undefined;
}

/** The built-in application behind platform tokens. */
export const PLATFORM_APPLICATION_ID = '__idaptive_cybr_user_oidc';

/** An OAuth2 application of the tenant. */
export interface Application {
  readonly id: string;
  /** True if its tokens are for the tenant's own REST API (OAuth2 Client), not for your API (OAuth2 Server). */
  readonly targetIsUs: boolean;
  /** The `aud` of its tokens. Undefined: the client's login name. */
  readonly audience: string | undefined;
  readonly opaqueTokens: boolean;
  readonly tokenLifetimeSeconds: number;
  /** True if "Client Creds" is ticked among the auth methods. */
  readonly allowsClientCredentials: boolean;
  /** The application's scopes, each with the REST paths that it covers. */
  readonly scopes: ReadonlyMap<string, readonly RestPathPattern[]>;
}

export function applicationOf(configuration: ApplicationConfiguration): Application {
  const { id, type, audience, tokenType, tokenLifetime, allowedAuth, knownScopes } = configuration;
  return {
    id,
    targetIsUs: type === 'OAuth2 Client',
    audience,
    opaqueTokens: tokenType === 'Opaque',
    tokenLifetimeSeconds: parseTokenLifetime(tokenLifetime) ?? 0,
    allowsClientCredentials: allowedAuth.includes('ClientCreds'),
    scopes: new Map(
      knownScopes.map(({ scope, allowedRest }) => [scope, allowedRest.map((pattern) => new RestPathPattern(pattern))]),
    ),
  };
}

/** The applications of the tenant. */
export class Applications {
  readonly #byId: ReadonlyMap<string, Application>;

  constructor(applications: readonly Application[]) {
    this.#byId = new Map(applications.map((application) => [application.id, application]));
  }

  /** @param id Case-sensitive, unlike the rest of a path. */
  find(id: string): Application | undefined {
    return this.#byId.get(id);
  }
}

/**
 * A regular expression of a scope, matched against REST paths.
 *
 * The vendor does not document how patterns are anchored and compared. Here a pattern matches from the start of the
 * path, need not reach its end, and ignores case, as routes do. A leading slash is ignored in path and pattern: the
 * vendor's examples have both spellings.
 */
export class RestPathPattern {
  readonly #expression: RegExp;

  constructor(pattern: string) {
    this.#expression = new RegExp(`^(?:${pattern.replace(/^\//, '')})`, 'i');
  }

  covers(path: string): boolean {
    return this.#expression.test(path.replace(/^\//, ''));
  }
}

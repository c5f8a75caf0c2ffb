import { z } from 'zod';

const name = z.string().min(1);

const knownScope = z.strictObject({
  scope: z.string().regex(/^\S+$/, 'a scope is one word'),
  description: z.string().optional(),
  /** Regular expressions for the REST paths that the scope opens. See `RestPathPattern` for how they are matched. */
  allowedRest: z.array(z.string().refine(isRegularExpression, 'not a regular expression')).default([]),
});

/** An OAuth2 application, in the terms of the admin portal. */
export const applicationConfiguration = z
  .strictObject({
    /** Application ID, the `<app>` of the paths. Compared exactly. */
    id: z.string().regex(/^[^\s/?#%]+$/, 'an Application ID has no blanks, slashes, "?", "#" or "%"'),
    description: z.string().optional(),
    /** OAuth2 Client (`TargetIsUs`): tokens for the tenant's own REST API. OAuth2 Server: tokens for an API of yours. */
    type: z.enum(['OAuth2 Client', 'OAuth2 Server']),
    /** The `aud` of the tokens. An OAuth2 Client may leave it out: the client's login name takes its place. */
    audience: name.optional(),
    tokenType: z.enum(['JwtRS256', 'Opaque']).default('JwtRS256'),
    /** `d.hh:mm:ss`. */
    tokenLifetime: z
      .string()
      .refine((text) => parseTokenLifetime(text) !== undefined, 'a lifetime is written d.hh:mm:ss and is not zero')
      .default('0.05:00:00'),
    allowedAuth: z
      .array(z.enum(['ClientCreds', 'AuthorizationCode', 'Implicit', 'ResourceCreds']))
      .default(['ClientCreds']),
    knownScopes: z.array(knownScope).default([]),
  })
  .refine(({ type, audience }) => type === 'OAuth2 Client' || audience !== undefined, {
    path: ['audience'],
    error: 'an OAuth2 Server application needs an audience',
    // Otherwise this fault would stay hidden until the others are mended.
    when: ({ value }) => typeof value === 'object' && value !== null && 'type' in value,
  });

export type ApplicationConfiguration = z.output<typeof applicationConfiguration>;

function isRegularExpression(text: string): boolean {
  try {
    return Boolean(new RegExp(text));
  } catch {
    return false;
  }
}

/** Seconds of a lifetime written `d.hh:mm:ss`, as application settings have it; undefined if it is not one. */
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
  /** Its tokens are for the tenant's own REST API (OAuth2 Client), not for an API of yours (OAuth2 Server). */
  readonly targetIsUs: boolean;
  /** The `aud` of its tokens; if undefined, that is the client's login name. */
  readonly audience: string | undefined;
  readonly opaqueTokens: boolean;
  readonly tokenLifetimeSeconds: number;
  /** "Client Creds" is ticked among the auth methods. */
  readonly allowsClientCredentials: boolean;
  /** The scopes it knows, and the REST paths that each of them opens. */
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

  /** @param id Compared exactly, unlike everything else in a path. */
  find(id: string): Application | undefined {
    return this.#byId.get(id);
  }
}

/**
 * A regular expression of a scope, matched against REST paths.
 *
 * How the tenant anchors and compares is not documented. Here a pattern must match from the start of the path, need not
 * reach its end, and takes upper and lower case as equal, as routes do. The slash at the front of a path does not
 * count, and neither does one at the front of a pattern: both spellings are found in the vendor's examples.
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

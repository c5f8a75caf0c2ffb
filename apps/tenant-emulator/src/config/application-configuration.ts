import { z } from 'zod';
import { parseTokenLifetime } from '../applications/token-lifetime.js';

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

/**
 * The parts of the tenant that fail apart from each other.
 *
 * - `token`: what a client calls for its token: Token, platformtoken, Revoke.
 * - `keys`: what an API calls that judges tokens: Keys, discovery, GetMeta, Introspect, UserInfo.
 * - `api`: the REST API.
 */
export const TENANT_PARTS = ['token', 'api', 'keys'] as const;

export type TenantPart = (typeof TENANT_PARTS)[number];

const PREFIXES: Record<string, TenantPart> = {
  '/oauth2/token': 'token',
  '/oauth2/platformtoken': 'token',
  '/oauth2/revoke': 'token',
  '/oauth2/keys': 'keys',
  '/oauth2/getmeta': 'keys',
  '/oauth2/introspect': 'keys',
  '/oauth2/userinfo': 'keys',
  '/cdirectoryservice': 'api',
  '/security': 'api',
  '/redrock': 'api',
};

/** The part that a path belongs to; undefined if the emulator serves nothing there. */
export function tenantPartOf(path: string): TenantPart | undefined {
  const lowerCase = path.toLowerCase();
  if (lowerCase.endsWith('/.well-known/openid-configuration')) return 'keys';
  const prefix = Object.keys(PREFIXES).find((prefix) => lowerCase === prefix || lowerCase.startsWith(`${prefix}/`));
  return prefix === undefined ? undefined : PREFIXES[prefix];
}

/**
 * Media types of tokens that are something other than access tokens, and that the same keys may have signed (RFC 8725
 * §3.11): logout tokens, security events (RFC 8417), DPoP proofs (RFC 9449), introspection answers (RFC 9701), request
 * objects (RFC 9101), client assertions, refresh tokens, statements and credentials.
 */
const FOREIGN_TOKEN_TYPES: ReadonlySet<string> = new Set([
  'client-authentication+jwt',
  'dc+sd-jwt',
  'dpop+jwt',
  'entity-statement+jwt',
  'id_token+jwt',
  'kb+jwt',
  'logout+jwt',
  'oauth-authz-req+jwt',
  'oauth-id-jag+jwt',
  'openid4vci-proof+jwt',
  'refresh+jwt',
  'rt+jwt',
  'secevent+jwt',
  'statuslist+jwt',
  'token-introspection+jwt',
  'txntoken+jwt',
  'vc+sd-jwt',
]);

/** @param type In lower case, without `application/`. */
export function isForeignTokenType(type: string): boolean {
  return FOREIGN_TOKEN_TYPES.has(type);
}

/**
 * Decides on the scopes of a token.
 *
 * What the tenant grants when none are asked for is not documented. Here it is every scope that the application knows
 * and the client may have.
 *
 * @param requested The parameter `scope`: names separated by blanks.
 * @param known What the application knows.
 * @param allowed What the client may have. Undefined: all that is known.
 * @returns undefined if one of them is unknown, or not for this client.
 */
export function grantedScopes(
  requested: string | undefined,
  known: Iterable<string>,
  allowed: readonly string[] | undefined,
): string[] | undefined {
  const available = new Set(known);
  if (allowed) for (const scope of available) if (!allowed.includes(scope)) available.delete(scope);
  const names = new Set(requested?.split(/\s+/).filter((name) => name !== ''));
  if (names.size === 0) return [...available];
  return [...names].every((name) => available.has(name)) ? [...names] : undefined;
}

import { tokenFingerprint } from '../foundation/sensitive-value.js';
import { isScopeName } from '../foundation/text.js';
import type { AccessTokenProfile, Claims } from '../identity-providers/identity-provider.js';
import { profileFault, unwanted } from './claims-policy.js';
import type { MachineCaller } from './machine-caller.js';
import { oneOf, type Refusal, type RefusalDetail, refuse, shown, shownClaim } from './refusal.js';
import type { RegisteredClient, TrustedIssuer } from './trusted-issuer.js';

/** The caller of a valid token: a machine that the guard's options allow, unless its entry has ended. */
export interface CallerIdentity {
  readonly ok: true;
  readonly caller: MachineCaller;
  /** When its entry in the guard's options ends, in milliseconds since the epoch; Infinity: never. */
  readonly clientEndsAtMs: number;
}

/** A token whose claims come from its issuer. */
interface AuthenticToken {
  readonly token: string;
  readonly issuer: TrustedIssuer;
  readonly claims: Claims;
}

/** How the issuer vouches for the claims. */
type Source = 'signed' | 'introspected';

/**
 * Reads the caller from a token's claims, and refuses one that is not a machine or not an allowed client. Depends only
 * on its arguments, so that the result can be cached with them.
 */
export function callerIdentity(token: AuthenticToken, source: Source): CallerIdentity | Refusal {
  const { issuer, clients, policy } = token.issuer;
  const { profile } = policy;
  const client = resolveClientId(token.claims, source === 'signed' ? profile.clientIdClaims : namesWhenAsked(profile));
  if (!client.ok) return client;
  const scopes = readScopes(token.claims, source === 'signed' ? profile.scopeClaims : undefined);
  if (!scopes.ok) return scopes;
  const registered = clients?.find(issuer, client.clientId);
  const caller = machineCaller(token, source, client.clientId, scopes.granted, registered);
  const refusal = callerRefusal(caller, token.issuer, source, registered);
  return refusal ?? { ok: true, caller, clientEndsAtMs: registered?.endsAtMs ?? Infinity };
}

/** RFC 7662 §2.2 uses its own claim for the client. */
function namesWhenAsked({ clientIdClaims }: AccessTokenProfile): readonly string[] {
  return [...new Set([...clientIdClaims, 'client_id'])];
}

function machineCaller(
  { token, issuer, claims }: AuthenticToken,
  source: Source,
  clientId: string,
  granted: readonly string[],
  registered: RegisteredClient | undefined,
): MachineCaller {
  const counted = registered?.scopes;
  const endsAtMs = (claims.exp as number) * 1000;
  return Object.freeze({
    clientId,
    issuer: issuer.issuer,
    isNamed: registered !== undefined,
    isIntrospected: source === 'introspected',
    subject: typeof claims.sub === 'string' ? claims.sub : undefined,
    scopes: counted ? Object.freeze(granted.filter((scope) => counted.includes(scope))) : granted,
    // A date can be changed even in a frozen object, and this one is shared.
    get expiresAt() {
      return new Date(endsAtMs);
    },
    tokenFingerprint: tokenFingerprint(token),
    claims,
  });
}

/**
 * Returns the caller of a token that its issuer has confirmed.
 *
 * @param scopes Scopes in the issuer's response; the token's other scopes no longer count.
 */
export function confirmedCaller(caller: MachineCaller, scopes: readonly string[]): MachineCaller {
  const confirmed = Object.freeze(caller.scopes.filter((scope) => scopes.includes(scope)));
  const members = {
    ...Object.getOwnPropertyDescriptors(caller),
    isIntrospected: { value: true, enumerable: true },
    scopes: { value: confirmed, enumerable: true },
  };
  return Object.freeze(Object.defineProperties({}, members)) as MachineCaller;
}

/** Returns why a caller is not allowed at any time; undefined if it is. */
function callerRefusal(
  caller: MachineCaller,
  { policy, clients }: TrustedIssuer,
  source: Source,
  registered: RegisteredClient | undefined,
): Refusal | undefined {
  // RFC 8693 §4.1: one party acts for another, and which of the two is the caller is not settled.
  if (Object.hasOwn(caller.claims, 'act')) return { ...unwanted('delegated_token', caller.claims, 'act'), caller };
  const fault = machineFault(caller, source, policy.profile);
  // If the profile can't tell machines from people, the options must name the client.
  if (fault && !(fault === 'unnamed' && clients)) {
    return { ...refuse('not_a_machine', fault === 'unnamed' ? NAMED_CLIENT : fault), caller };
  }
  if (!clients || registered) return undefined;
  const expected = oneOf(clients.clientIdsOf(caller.issuer));
  return { ...refuse('client_not_allowed', { claim: 'client id', found: shown(caller.clientId), expected }), caller };
}

/** Refuses a client whose entry in the guard's options has ended. */
export function clientExpired(caller: MachineCaller, endsAtMs: number): Refusal {
  const expected = `before ${new Date(endsAtMs).toISOString()}`;
  return { ...refuse('client_expired', { claim: 'client id', found: shown(caller.clientId), expected }), caller };
}

const NAMED_CLIENT: RefusalDetail = {
  expected: 'a client in the options of the guard, because its token does not show a machine',
};

/**
 * Returns what shows that a caller is not a machine; `unnamed` if its token is not conclusive and no option names it.
 */
function machineFault(
  caller: MachineCaller,
  source: Source,
  profile: AccessTokenProfile,
): RefusalDetail | 'unnamed' | undefined {
  const { clientIdClaims, isMachine } = profile;
  const byName = caller.isNamed ? undefined : 'unnamed';
  if (!isMachine) return byName;
  if (source === 'signed') return profileFault(isMachine, caller.claims, profile);
  // An introspection response may have no subject (RFC 7662 §2.2): then it is about the client, or not conclusive.
  if (!Object.hasOwn(caller.claims, 'sub') && !Object.hasOwn(caller.claims, 'username')) return byName;
  // Introspection uses its own claim for the client, which the profile need not know.
  const named = Object.fromEntries(clientIdClaims.map((name) => [name, caller.clientId]));
  return profileFault(isMachine, { ...named, ...caller.claims }, profile);
}

/**
 * Returns the client that a token was issued to, from the claims that this issuer names it in.
 *
 * Strings are compared exactly and never normalised. Two claims that name different clients are refused.
 */
function resolveClientId(
  claims: Claims,
  names: readonly string[],
): { readonly ok: true; readonly clientId: string } | Refusal {
  const present = names.filter((name) => Object.hasOwn(claims, name));
  const [first] = present;
  if (first === undefined) return refuse('client_unknown', { claim: names.join(', '), expected: 'a client id' });
  const odd = present.find((name) => typeof claims[name] !== 'string' || claims[name] === '');
  if (odd !== undefined) {
    return refuse('client_unknown', { ...shownClaim(claims, odd, names), expected: 'a client id' });
  }
  const clientId = claims[first] as string;
  const other = present.find((name) => claims[name] !== clientId);
  if (other !== undefined) {
    return refuse('client_ambiguous', {
      ...shownClaim(claims, other, names),
      expected: `${oneOf([clientId])}, as in ${first}`,
    });
  }
  return { ok: true, clientId };
}

const USUAL_CLAIMS: readonly string[] = ['scope', 'scp'];

/**
 * Reads the scopes of a token: a string of names separated by spaces (RFC 6749 §3.3, RFC 8693 §4.2), or a list of
 * names, as some servers send it. Consecutive spaces, which some issuers send, count as one.
 *
 * @param names Claims that may hold scopes.
 * @returns A refusal if a claim has another form, or two claims differ: half-understood rights are worse than none.
 */
export function readScopes(
  claims: Claims,
  names: readonly string[] = USUAL_CLAIMS,
): { readonly ok: true; readonly granted: readonly string[] } | Refusal {
  let granted: readonly string[] | undefined;
  for (const name of names) {
    if (!Object.hasOwn(claims, name)) continue;
    const scopes = namesIn(claims[name]);
    if (!scopes) return malformed(claims, name, names, 'scopes, separated by spaces or in a list');
    if (granted && !isSameSet(granted, scopes))
      return malformed(claims, name, names, 'the same scopes as in the other claim');
    granted ??= scopes;
  }
  return { ok: true, granted: Object.freeze([...new Set(granted)]) };
}

function malformed(claims: Claims, name: string, names: readonly string[], expected: string): Refusal {
  return refuse('scope_malformed', { ...shownClaim(claims, name, names), expected });
}

function namesIn(claim: unknown): string[] | undefined {
  const names: unknown = typeof claim === 'string' ? claim.split(' ').filter((name) => name !== '') : claim;
  return Array.isArray(names) && names.every(isScopeName) ? names : undefined;
}

function isSameSet(a: readonly string[], b: readonly string[]): boolean {
  return new Set([...a, ...b]).size === new Set(a).size && new Set(a).size === new Set(b).size;
}

import { tokenFingerprint } from '../foundation/sensitive-value.js';
import { isScopeName } from '../foundation/text.js';
import type { AccessTokenProfile, Claims } from '../identity-providers/identity-provider.js';
import { profileFault, unwanted } from './claims-policy.js';
import type { MachineCaller } from './machine-caller.js';
import { oneOf, type Refusal, type RefusalDetail, refuse, shown, shownClaim } from './refusal.js';
import type { TrustedIssuer } from './trusted-issuer.js';
import type { RegisteredClient } from './client-registry.js';

/** Whom a good token belongs to. Says nothing about whether that one may come: see {@link identityRefusal}. */
export interface CallerIdentity {
  readonly ok: true;
  readonly caller: MachineCaller;
  /** Its entry in the guard's options. */
  readonly registered: RegisteredClient | undefined;
  /** How the issuer told what the token says. */
  readonly source: 'signed' | 'introspected';
}

/** A token whose claims come from its issuer. */
export interface AuthenticToken {
  readonly token: string;
  readonly issuer: TrustedIssuer;
  readonly claims: Claims;
}

/** Reads from the claims who holds a token. Depends on its arguments alone, so that the result can be kept with them. */
export function callerIdentity(
  { token, issuer: trusted, claims }: AuthenticToken,
  source: CallerIdentity['source'],
): CallerIdentity | Refusal {
  const { issuer, clients } = trusted;
  const { profile } = trusted.policy;
  // RFC 7662 §2.2 has a name of its own for the client.
  const names = source === 'signed' ? profile.clientIdClaims : [...new Set([...profile.clientIdClaims, 'client_id'])];
  const client = resolveClientId(claims, names);
  if (!client.ok) return client;
  const scopes = readScopes(claims, source === 'signed' ? profile.scopeClaims : undefined);
  if (!scopes.ok) return scopes;
  const { granted } = scopes;
  const registered = clients?.find(issuer, client.clientId);
  const counted = registered?.scopes;
  const endsAtMs = (claims.exp as number) * 1000;
  const caller: MachineCaller = Object.freeze({
    clientId: client.clientId,
    issuer,
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
  return { ok: true, caller, registered, source };
}

/**
 * The same caller after its issuer was asked.
 *
 * @param scopes Those that the issuer says it has: of its own, the others don't count any more.
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

/** What stands against the holder of a valid token at a moment; undefined where nothing does. */
export function identityRefusal(
  holder: CallerIdentity,
  { policy, clients }: TrustedIssuer,
  nowMs: number,
): Refusal | undefined {
  const { caller, registered } = holder;
  const { clientId } = caller;
  // RFC 8693 §4.1: one party acts for another, and which of the two is the caller is not settled.
  if (Object.hasOwn(caller.claims, 'act')) return { ...unwanted('delegated_token', caller.claims, 'act'), caller };
  const fault = machineFault(holder, policy.profile);
  // With profiles that cannot tell machines from people, only the options can: a client that they do not name may be either.
  if (fault && !(fault === 'unnamed' && clients)) {
    return { ...refuse('not_a_machine', fault === 'unnamed' ? NAMED_CLIENT : fault), caller };
  }
  if (clients && !registered) {
    const expected = oneOf(clients.clientIdsOf(caller.issuer));
    return { ...refuse('client_not_allowed', { claim: 'client id', found: shown(clientId), expected }), caller };
  }
  const endsAtMs = registered?.endsAtMs;
  if (endsAtMs !== undefined && nowMs >= endsAtMs) {
    const expected = `before ${new Date(endsAtMs).toISOString()}`;
    return { ...refuse('client_expired', { claim: 'client id', found: shown(clientId), expected }), caller };
  }
  return undefined;
}

const NAMED_CLIENT: RefusalDetail = { expected: 'a client that the guard names, because its token does not tell' };

/** What shows that a caller is not a machine, or `unnamed` where its token does not tell and the options do not name it. */
function machineFault(
  { caller, registered, source }: CallerIdentity,
  profile: AccessTokenProfile,
): RefusalDetail | 'unnamed' | undefined {
  const { clientIdClaims, isMachine } = profile;
  const byName = registered ? undefined : 'unnamed';
  if (!isMachine) return byName;
  if (source === 'signed') return profileFault(isMachine, caller.claims, profile);
  // Introspection may leave out whom a token is about (RFC 7662 §2.2): then it is about the client, or does not tell.
  if (!Object.hasOwn(caller.claims, 'sub') && !Object.hasOwn(caller.claims, 'username')) return byName;
  // Introspection has a name of its own for the client, which the profile need not know.
  const named = Object.fromEntries(clientIdClaims.map((name) => [name, caller.clientId]));
  return profileFault(isMachine, { ...named, ...caller.claims }, profile);
}

/**
 * Which client a token was issued to, by the claims that name it with this issuer.
 *
 * Texts are compared to the letter and never normalised. Two claims that name different clients name none.
 */
export function resolveClientId(
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
 * The scopes of a token: a string of names separated by blanks (RFC 6749 §3.3, RFC 8693 §4.2), or a list of names, as some
 * servers write it. Several issuers write more blanks than the single ones of the RFC: these separate nothing.
 *
 * @param names Claims that may hold them.
 * @returns A refusal where a claim has any other form, or two claims differ: half-understood rights are worse than none.
 */
export function readScopes(
  claims: Claims,
  names: readonly string[] = USUAL_CLAIMS,
): { readonly ok: true; readonly granted: readonly string[] } | Refusal {
  let granted: readonly string[] | undefined;
  for (const name of names) {
    if (!Object.hasOwn(claims, name)) continue;
    const scopes = namesIn(claims[name]);
    if (!scopes) return malformed(claims, name, names, 'scopes, separated by blanks or as a list');
    if (granted && !isSameSet(granted, scopes)) return malformed(claims, name, names, 'the scopes of the other claim');
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

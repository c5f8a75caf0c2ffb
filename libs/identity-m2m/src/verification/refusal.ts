import type { Claims } from '../identity-providers/identity-provider.js';
import type { MachineCaller } from './machine-caller.js';

/**
 * Every reason for a refusal. `docs/refusals.md` explains each: its meaning, its usual cause and its remedy.
 *
 * For logs, events and metrics. The caller learns less: see the guard's challenges.
 */
export const REFUSAL_REASONS = [
  // The request has no readable credential.
  'credential_missing',
  'credential_repeated',
  'credential_malformed',
  // The credential is no access token of a trusted issuer.
  'token_too_long',
  'token_malformed',
  'token_header_refused',
  'token_type_refused',
  'algorithm_refused',
  'issuer_unknown',
  'key_unknown',
  'signature_invalid',
  // The token is not valid now, or not for this API.
  'token_expired',
  'token_not_yet_valid',
  'token_lifetime_excessive',
  'time_claim_malformed',
  'audience_mismatch',
  'claim_missing',
  'foreign_token',
  'scope_malformed',
  'confirmation_unsupported',
  // The token was revoked, or is inactive for its issuer.
  'token_inactive',
  'token_revoked',
  // The claims do not name exactly one client.
  'client_unknown',
  'client_ambiguous',
  // The token is valid, and does not allow this call.
  'delegated_token',
  'not_a_machine',
  'client_not_allowed',
  'client_expired',
  'scope_insufficient',
  'claims_insufficient',
  // The guard cannot decide.
  'issuer_unavailable',
  'introspection_unavailable',
  'revocation_unavailable',
  'verification_failed',
  'transport_unknown',
  'handler_unknown',
] as const;

export type RefusalReason = (typeof REFUSAL_REASONS)[number];

export interface Refusal extends RefusalDetail {
  readonly ok: false;
  readonly reason: RefusalReason;
  /** When to retry, in seconds, if the guard could not decide. */
  readonly retryAfterSeconds?: number;
  /** The caller, if its token is valid and it only lacks rights. */
  readonly caller?: MachineCaller;
}

/** @param detail Created by the functions below, which keep it printable, short and free of secrets. */
export function refuse(reason: RefusalReason, detail?: RefusalDetail): Refusal {
  return { ok: false, reason, ...detail };
}

/**
 * The detail of a refusal, for the operator. It is never part of the response to the caller.
 *
 * Its strings are one line of printable ASCII. `…` marks a cut: of a string of the token after 80 characters, of the
 * whole after 200. Strings of a token are quoted as in JSON, with escape sequences for other characters, so that `"1"`
 * is not 1 and homoglyphs are visible. Values that may be personal or secret are not shown.
 */
export interface RefusalDetail {
  /**
   * Name of the claim or header parameter: `aud`, `typ`; or `client id`, because several claims may name the client.
   */
  readonly claim?: string;
  /** Its value in the token; absent if the token has no such claim; `[not shown]` if it must not be logged. */
  readonly found?: string;
  /** The value that the guard's options require. */
  readonly expected?: string;
}

/** Longest string shown, in characters, before escaping. */
const MAX_STRING = 80;

/** Maximum number of list members shown. */
const MAX_MEMBERS = 5;

/** Longest string of a detail, in characters. */
const MAX_TEXT = 200;

export const NOT_SHOWN = '[not shown]';

/**
 * Formats a value of a token for a log. Its cost depends on the part that is shown, not on the size of the value.
 *
 * A string that looks like a signed token is not shown: a client may have put one into any claim.
 */
export function shown(value: unknown): string {
  if (!Array.isArray(value)) return bounded(shownMember(value));
  const members = value.slice(0, MAX_MEMBERS).map(shownMember);
  if (value.length > MAX_MEMBERS) members.push(`${value.length - MAX_MEMBERS} more`);
  return bounded(`[${members.join(', ')}]`);
}

function shownMember(value: unknown): string {
  if (typeof value === 'string') return value.startsWith('eyJ') ? NOT_SHOWN : quoted(value);
  if (Array.isArray(value)) return '[…]';
  return typeof value === 'object' && value !== null ? '{…}' : String(value);
}

/** Joins the values of the options that are accepted. */
export function oneOf(values: readonly (string | undefined)[], join: 'or' | 'and' = 'or'): string {
  const members = values.slice(0, MAX_MEMBERS).map((value) => (value === undefined ? 'none' : quoted(value)));
  if (values.length > MAX_MEMBERS) members.push(`${values.length - MAX_MEMBERS} more`);
  const last = members.pop() ?? 'none';
  return bounded(members.length === 0 ? last : `${members.join(', ')} ${join} ${last}`);
}

function quoted(text: string): string {
  const cut = text.length > MAX_STRING ? `${text.slice(0, MAX_STRING)}…` : text;
  return JSON.stringify(cut).replace(
    /[^\x20-\x7e…]/g,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}

function bounded(text: string): string {
  return text.length > MAX_TEXT ? `${text.slice(0, MAX_TEXT)}…` : text;
}

/** Formats a time of a token or of the options, in seconds since the epoch. */
export function shownTime(seconds: unknown): string {
  const time = typeof seconds === 'number' ? new Date(seconds * 1000) : undefined;
  return time && !Number.isNaN(time.getTime()) ? time.toISOString() : shown(seconds);
}

/** Claims whose values are neither secret nor personal, besides those of the client and its scopes. */
const SHOWN_CLAIMS: ReadonlySet<string> = new Set([
  'iss',
  'aud',
  'exp',
  'nbf',
  'iat',
  'typ',
  'alg',
  'kid',
  'azp',
  'client_id',
  'clientId',
  'cid',
  'appid',
  'scope',
  'scp',
]);

/** Returns a claim and its value in the token. */
export function shownClaim(claims: Claims, name: string, alsoShown: readonly string[] = []): RefusalDetail {
  const claim = printableName(name);
  if (!Object.hasOwn(claims, name)) return { claim };
  const isShown = SHOWN_CLAIMS.has(name) || alsoShown.includes(name);
  return { claim, found: isShown ? shown(claims[name]) : NOT_SHOWN };
}

/** Formats a name from the options or a profile: unchanged if it is printable, and quoted otherwise. */
function printableName(name: string): string {
  return /^[\x21-\x7e]{1,80}$/.test(name) ? name : quoted(name);
}

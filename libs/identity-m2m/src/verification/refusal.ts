import type { Claims } from '../identity-providers/identity-provider.js';
import type { MachineCaller } from './machine-caller.js';

/**
 * Every reason for which a caller is refused; no other exists. `docs/refusals.md` has the meaning, the usual cause and the
 * remedy of each.
 *
 * For logs, events and metrics. The caller itself is told less: see the guard's challenges.
 */
export const REFUSAL_REASONS = [
  // The request carries no credential that can be read.
  'credential_missing',
  'credential_repeated',
  'credential_malformed',
  // It is not an access token of a trusted issuer.
  'token_too_long',
  'token_malformed',
  'token_header_refused',
  'token_type_refused',
  'algorithm_refused',
  'issuer_unknown',
  'key_unknown',
  'signature_invalid',
  // It is not valid now, or not for this API.
  'token_expired',
  'token_not_yet_valid',
  'token_lifetime_excessive',
  'time_claim_malformed',
  'audience_mismatch',
  'claim_missing',
  'foreign_token',
  'scope_malformed',
  'confirmation_unsupported',
  // It was revoked, or its issuer calls it inactive.
  'token_inactive',
  'token_revoked',
  // Its claims do not name exactly one client.
  'client_unknown',
  'client_ambiguous',
  // It is valid, and does not allow this call.
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
  /** When to try again, in seconds, where the guard could not decide. */
  readonly retryAfterSeconds?: number;
  /** The caller, where its token is valid and only its rights are missing. */
  readonly caller?: MachineCaller;
}

/** @param detail Built by the functions of `refusal-detail.ts`, which keep it printable, short and free of secrets. */
export function refuse(reason: RefusalReason, detail?: RefusalDetail): Refusal {
  return { ok: false, reason, ...detail };
}

/**
 * What a refusal is about, for the operator: never part of an answer to the caller.
 *
 * The texts are short printable ASCII. Strings of a token are quoted as in JSON, with every other character as an escape
 * sequence, so that `"1"` is not 1 and a homoglyph can be seen. Values of claims that may be personal or secret are not
 * shown.
 */
export interface RefusalDetail {
  /** Name of the claim or header parameter: `aud`, `typ`. `client id` where several claims may name the client. */
  readonly claim?: string;
  /** What the token has; left out where it has no such claim. `[not shown]` for claims whose values are not for logs. */
  readonly found?: string;
  /** What the guard's options ask for. */
  readonly expected?: string;
}

/** Longest string shown, in characters, before escape sequences. */
const MAX_STRING = 80;

/** Most members of a list shown. */
const MAX_MEMBERS = 5;

/** Longest text of a detail, in characters. */
const MAX_TEXT = 200;

export const NOT_SHOWN = '[not shown]';

/**
 * A value of a token, fit for a log. Takes time for what it shows alone, however large the value is.
 *
 * What looks like a signed token is not shown: a confused client may have put one into any claim.
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

/** Values of the options, one of which is asked for. */
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

/** A time of a token or of the options, in seconds since the epoch. */
export function shownTime(seconds: unknown): string {
  const time = typeof seconds === 'number' ? new Date(seconds * 1000) : undefined;
  return time && !Number.isNaN(time.getTime()) ? time.toISOString() : shown(seconds);
}

/** Claims whose values are no secret and no personal data, besides those that name the client and its scopes. */
const SHOWN_CLAIMS: ReadonlySet<string> = new Set(
  ['iss', 'aud', 'typ', 'alg', 'kid', 'azp', 'client_id', 'clientId', 'cid', 'appid', 'scope', 'scp'].concat([
    'exp',
    'nbf',
    'iat',
  ]),
);

/** A claim and what the token has under its name. */
export function shownClaim(claims: Claims, name: string, alsoShown: readonly string[] = []): RefusalDetail {
  const claim = printableName(name);
  if (!Object.hasOwn(claims, name)) return { claim };
  const isShown = SHOWN_CLAIMS.has(name) || alsoShown.includes(name);
  return { claim, found: isShown ? shown(claims[name]) : NOT_SHOWN };
}

/** A name that comes from the options or a profile, as it is where that can be printed. */
function printableName(name: string): string {
  return /^[\x21-\x7e]{1,80}$/.test(name) ? name : quoted(name);
}

import type { MachineCaller } from './machine-caller.js';
import type { RefusalDetail } from './refusal-detail.js';

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

import type { MachineCaller } from './machine-caller.js';

/**
 * Why a caller is not let in. The whole list: what is not on it can't happen.
 *
 * For logs, events and metrics. What the caller is told is less: see the guard's challenges.
 */
export type RefusalReason =
  // The request carries no credential that could be looked at.
  | 'credential_missing'
  | 'credential_repeated'
  | 'credential_malformed'
  // It is not an access token of an issuer that is trusted.
  | 'token_too_long'
  | 'token_malformed'
  | 'token_header_refused'
  | 'token_type_refused'
  | 'algorithm_refused'
  | 'issuer_unknown'
  | 'key_unknown'
  | 'signature_invalid'
  // It is not good now, or not here.
  | 'token_expired'
  | 'token_not_yet_valid'
  | 'token_lifetime_excessive'
  | 'time_claim_malformed'
  | 'audience_mismatch'
  | 'claim_missing'
  | 'foreign_token'
  | 'scope_malformed'
  | 'confirmation_unsupported'
  // It was taken back, or its issuer does not stand by it.
  | 'token_inactive'
  | 'token_revoked'
  // It does not say, in one voice, which client it was issued to.
  | 'client_unknown'
  | 'client_ambiguous'
  // It is good, and does not allow this.
  | 'delegated_token'
  | 'not_a_machine'
  | 'client_not_allowed'
  | 'client_expired'
  | 'scope_insufficient'
  | 'claims_insufficient'
  // It can't be decided.
  | 'issuer_unavailable'
  | 'introspection_unavailable'
  | 'revocation_unavailable'
  | 'verification_failed'
  | 'transport_unknown'
  | 'handler_unknown';

export interface Refusal {
  readonly ok: false;
  readonly reason: RefusalReason;
  /** For what can't be decided: when it is worth trying again, in seconds. */
  readonly retryAfterSeconds?: number;
  /** Who it was, where the token was good and only its rights were not. */
  readonly caller?: MachineCaller;
}

export function refuse(reason: RefusalReason): Refusal {
  return { ok: false, reason };
}

/** Why the tenant said no. */
export type TenantRefusalKind = 'duplicate' | 'not_found' | 'weak_password' | 'invalid' | 'not_authorised' | 'other';

/** The tenant understood the call and refused it. The message is the tenant's own. */
export class TenantRefusalError extends Error {
  constructor(
    readonly kind: TenantRefusalKind,
    message: string,
    /** What the tenant's support can find this refusal by. */
    readonly errorId?: string,
  ) {
    super(message);
    this.name = 'TenantRefusalError';
  }
}

/** The tenant did not answer, or not to the point. */
export class TenantUnreachableError extends Error {
  /** Whether the call may have been carried out all the same. */
  readonly outcomeUnknown: boolean;
  /** When the tenant wants to be asked again, in seconds. */
  readonly retryAfterSeconds: number;

  constructor(message: string, options: { readonly outcomeUnknown: boolean; readonly retryAfterSeconds?: number }) {
    super(message);
    this.name = 'TenantUnreachableError';
    this.outcomeUnknown = options.outcomeUnknown;
    this.retryAfterSeconds = options.retryAfterSeconds ?? 5;
  }
}

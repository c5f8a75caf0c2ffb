import type { AxiosError } from 'axios';

/** Why the tenant refused a call. */
export type TenantRefusalKind = 'duplicate' | 'not_found' | 'weak_password' | 'invalid' | 'not_authorised' | 'other';

/** The tenant understood the call and refused it. The message is the tenant's own. */
export class TenantRefusalError extends Error {
  constructor(
    readonly kind: TenantRefusalKind,
    message: string,
    /** Identifies the refusal for the tenant's support. */
    readonly errorId?: string,
  ) {
    super(message);
    this.name = 'TenantRefusalError';
  }
}

/** The tenant did not answer, or its answer is not from its API. */
export class TenantUnreachableError extends Error {
  /** Whether the tenant may have carried out the call. */
  readonly outcomeUnknown: boolean;
  /** When to call the tenant again, in seconds. */
  readonly retryAfterSeconds: number;

  constructor(message: string, options: { readonly outcomeUnknown: boolean; readonly retryAfterSeconds?: number }) {
    super(message);
    this.name = 'TenantUnreachableError';
    this.outcomeUnknown = options.outcomeUnknown;
    this.retryAfterSeconds = options.retryAfterSeconds ?? 5;
  }
}

/**
 * A response of the tenant's API: HTTP 200 for success and for failure, which differ in here. Servers of different
 * versions have more or fewer members.
 */
interface Envelope {
  readonly success: boolean;
  readonly Result?: unknown;
  readonly Message?: string | null;
  readonly MessageID?: string | null;
  readonly ErrorID?: string | null;
}

/**
 * Returns the result in a response of the tenant's API.
 *
 * @throws {@link TenantRefusalError} if the tenant refuses; {@link TenantUnreachableError} if the response is not the
 * API's, such as the HTML page of a proxy.
 */
export function resultOf(answer: unknown): unknown {
  if (!isEnvelope(answer)) {
    throw new TenantUnreachableError('The response is not from the tenant’s API.', { outcomeUnknown: true });
  }
  if (answer.success) return answer.Result ?? null;
  throw new TenantRefusalError(
    refusalKind(answer),
    answer.Message ?? 'The tenant gave no reason.',
    answer.ErrorID ?? undefined,
  );
}

function isEnvelope(answer: unknown): answer is Envelope {
  return typeof answer === 'object' && answer !== null && 'success' in answer && typeof answer.success === 'boolean';
}

const KINDS: Readonly<Record<string, TenantRefusalKind>> = {
  '_I18N_System.UnauthorizedAccessException': 'not_authorised',
  _I18N_ServiceUnauthorizedAccess: 'not_authorised',
  _I18N_UserNotFound: 'not_found',
  _I18N_UserIDNotFound: 'not_found',
  _I18N_SetPasswordFailedNotComplex: 'weak_password',
  _I18N_RequiredParameter: 'invalid',
};

/** The tenant's message id determines the kind. For a name that is taken no id is known, only the sentence. */
function refusalKind({ MessageID, Message }: Envelope): TenantRefusalKind {
  if (MessageID && Object.hasOwn(KINDS, MessageID)) return KINDS[MessageID]!;
  return /\bis already in use\b/i.test(Message ?? '') ? 'duplicate' : 'other';
}

/** Errors of a call that cannot have reached the tenant. */
const NOT_SENT = new Set(['ECONNREFUSED', 'ENOTFOUND', 'EAI_AGAIN', 'EHOSTUNREACH', 'ENETUNREACH']);

/** Replaces an axios error, which holds the body of the call, and with it a user's password. */
export function tenantError({ code, response }: AxiosError): TenantRefusalError | TenantUnreachableError {
  if (!response) {
    const outcomeUnknown = code === undefined || !NOT_SENT.has(code);
    return new TenantUnreachableError(`The tenant did not answer (${code ?? 'no code'}).`, { outcomeUnknown });
  }
  const { status } = response;
  if (status === 401 || status === 403) {
    return new TenantRefusalError('not_authorised', `The tenant answered HTTP ${status} to this service's token.`);
  }
  const seconds = retryAfterSeconds(response.headers['retry-after']);
  return new TenantUnreachableError(`The tenant answered HTTP ${status}.`, {
    // After a rate limit, or at a wrong address, the call was not carried out.
    outcomeUnknown: status >= 500 || status === 408,
    ...(seconds !== undefined && { retryAfterSeconds: seconds }),
  });
}

/** Maximum wait that the service honours. */
const LONGEST_SECONDS = 3600;

/**
 * Parses `Retry-After`, in seconds or as a date (RFC 9110 §10.2.3).
 *
 * @returns Whole seconds from now, from 1 to an hour; undefined if the value is invalid.
 */
function retryAfterSeconds(value: unknown): number | undefined {
  if (typeof value !== 'string') return undefined;
  const text = value.trim();
  if (/^\d+$/.test(text)) return clamped(Number(text));
  // Date.parse accepts nearly anything, negative numbers included.
  const dateMs = /^[A-Za-z]+,? /.test(text) ? Date.parse(text) : NaN;
  return Number.isNaN(dateMs) ? undefined : clamped(Math.ceil((dateMs - Date.now()) / 1000));
}

function clamped(seconds: number): number {
  return Math.min(Math.max(seconds, 1), LONGEST_SECONDS);
}

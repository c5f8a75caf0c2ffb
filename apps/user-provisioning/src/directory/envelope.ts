import { TenantRefusalError, TenantUnreachableError, type TenantRefusalKind } from './tenant-errors.js';

/**
 * What the tenant's API answers: HTTP 200 for success and failure alike, and the difference in here. Servers of
 * different ages have more or fewer members than these.
 */
interface Envelope {
  readonly success: boolean;
  readonly Result?: unknown;
  readonly Message?: string | null;
  readonly MessageID?: string | null;
  readonly ErrorID?: string | null;
}

/**
 * The result inside an answer of the tenant's API.
 *
 * @throws {@link TenantRefusalError} where the tenant says no; {@link TenantUnreachableError} where the answer is not
 * the API's, such as the HTML page of something in between.
 */
export function resultOf(answer: unknown): unknown {
  if (!isEnvelope(answer)) {
    throw new TenantUnreachableError('The tenant answered with something that is not its API.', {
      outcomeUnknown: true,
    });
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

/** The tenant's own identifier says what happened; of a taken name none is known, only its sentence. */
function refusalKind({ MessageID, Message }: Envelope): TenantRefusalKind {
  if (MessageID && Object.hasOwn(KINDS, MessageID)) return KINDS[MessageID]!;
  return /\bis already in use\b/i.test(Message ?? '') ? 'duplicate' : 'other';
}

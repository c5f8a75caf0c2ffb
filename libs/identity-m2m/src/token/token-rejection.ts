/** A resource server's answer to a call that carried the token, as {@link TokenRejectedPredicate} sees it. */
export interface ResourceServerResponse {
  /**
   * HTTP status, 400 or above. Of message transports: 401 where the receiver answered `UNAUTHENTICATED`, 500 for any other
   * error.
   */
  readonly status: number;
  /** Response headers by their names in lower case; several fields of one name are joined by a comma and a blank. */
  readonly headers: Readonly<Record<string, string>>;
  /** Beginning of the body as UTF-8, at most 16 KiB. Of message transports: the error as JSON. */
  readonly body: string;
}

/**
 * Returns whether an answer means that the token was rejected, so that a newer one may help.
 *
 * Only `true` counts; a predicate that throws or returns a promise counts as false. Must not have side effects: one call
 * may be judged twice.
 */
export type TokenRejectedPredicate = (answer: ResourceServerResponse) => boolean;

/** Statuses that mean a rejected token, or a predicate for APIs that say it in another way. */
export type TokenRejection = readonly (401 | 403)[] | TokenRejectedPredicate;

export const DEFAULT_TOKEN_REJECTION: TokenRejection = [401];

/** Longest beginning of a body that a predicate is given, in bytes. */
export const MAX_JUDGED_BODY_BYTES = 16_384;

/** How long the beginning of a body is waited for, in milliseconds. */
export const JUDGED_BODY_TIMEOUT_MS = 1000;

/** Decides whether an answer means that the token was rejected. */
export class TokenRejectionRule {
  constructor(
    private readonly rejection: TokenRejection,
    /** Called with what a predicate threw. */
    private readonly onPredicateFailure: (error: unknown) => void,
  ) {}

  /** Whether the predicate needs to see the body. */
  get readsBody(): boolean {
    return typeof this.rejection === 'function';
  }

  /** Whether an answer of this status may be a rejection at all; for all others nothing else is looked at. */
  mayReject(status: number | undefined): boolean {
    if (status === undefined) return false;
    return typeof this.rejection === 'function'
      ? status >= 400
      : (this.rejection as readonly number[]).includes(status);
  }

  /** Whether the status alone says that it is most likely a rejection, before anything else of the answer is there. */
  isLikelyRejection(status: number | undefined): boolean {
    return typeof this.rejection === 'function' ? status === 401 : this.mayReject(status);
  }

  /** @param answer One that {@link mayReject}. */
  isRejection(answer: ResourceServerResponse): boolean {
    if (!isAboutToken(answer.headers['www-authenticate'])) return false;
    if (typeof this.rejection !== 'function') return true;
    try {
      const result: unknown = this.rejection(answer);
      if (typeof result === 'boolean') return result;
      // Of an async function: when it rejects and no handler is there, the process ends.
      void Promise.resolve(result).catch(() => {});
      throw new TypeError('isTokenRejected has to return true or false, not a promise or another value');
    } catch (error) {
      this.onPredicateFailure(error);
      return false;
    }
  }
}

/** The next token lacks the same scope (RFC 6750 §3.1), and a DPoP nonce has a retry of its own (RFC 9449 §9). */
function isAboutToken(challenges: string | undefined): boolean {
  return !/(?:^|[\s,])error\s*=\s*"?(?:insufficient_scope|use_dpop_nonce)\b/i.test(challenges ?? '');
}

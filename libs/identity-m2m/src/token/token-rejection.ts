import { callOption } from './outbound-events.js';

/** A resource server's response to a call with the token, as {@link TokenRejectedPredicate} receives it. */
export interface ResourceServerResponse {
  /**
   * HTTP status, 400 or above. For message transports: 401 for the error `UNAUTHENTICATED`, 500 for any other error.
   */
  readonly status: number;
  /** Response headers by their names in lower case. Several fields of one name are joined by a comma and a space. */
  readonly headers: Readonly<Record<string, string>>;
  /** Start of the body as UTF-8, at most 16 KiB. For message transports: the error as JSON. */
  readonly body: string;
}

/**
 * Returns whether a response means that the API rejected the token, so that a newer one may help.
 *
 * If the predicate throws, or returns anything but a boolean, the token counts as accepted and `option.failed` is
 * emitted once. It must not have side effects, because it may run twice for one call.
 */
export type TokenRejectedPredicate = (response: ResourceServerResponse) => boolean;

/** Statuses that mean a rejected token; or a predicate, for APIs that report it in another way. */
export type TokenRejection = readonly (401 | 403)[] | TokenRejectedPredicate;

export const DEFAULT_TOKEN_REJECTION: TokenRejection = [401];

/** Maximum size of a body that is sent again after a rejection, in bytes. */
export const DEFAULT_MAX_REPLAY_BYTES = 1_048_576;

/** Maximum part of a body that a predicate receives, in bytes. */
export const MAX_JUDGED_BODY_BYTES = 16_384;

/** Timeout for reading that part of a body, in milliseconds. */
export const JUDGED_BODY_TIMEOUT_MS = 1000;

/** Decides whether a response means that the token was rejected. */
export class TokenRejectionRule {
  constructor(
    private readonly rejection: TokenRejection,
    /** Called with the problem of a predicate, as `option.failed` has it. */
    private readonly onPredicateFailure: (problem: string) => void,
  ) {}

  /** Whether the predicate needs to see the body. */
  get readsBody(): boolean {
    return typeof this.rejection === 'function';
  }

  /**
   * Returns whether a response of this status may be a rejection. Other responses are not read.
   *
   * @param status 400 or above: a success is never a rejection.
   */
  mayReject(status: number): boolean {
    return typeof this.rejection === 'function' || (this.rejection as readonly number[]).includes(status);
  }

  /** Returns whether a rejection is likely by the status alone, before the rest of the response arrives. */
  isLikelyRejection(status: number): boolean {
    return typeof this.rejection === 'function' ? status === 401 : this.mayReject(status);
  }

  /**
   * Returns whether a response is a rejection.
   *
   * @param response One for whose status {@link mayReject} returned true.
   */
  isRejection(response: ResourceServerResponse): boolean {
    if (!isAboutToken(response.headers['www-authenticate'])) return false;
    const { rejection } = this;
    if (typeof rejection !== 'function') return true;
    const result = callOption(() => rejection(response), asBoolean, 'true nor false');
    if ('value' in result) return result.value;
    this.onPredicateFailure(result.problem);
    return false;
  }
}

function asBoolean(value: unknown): boolean | undefined {
  return typeof value === 'boolean' ? value : undefined;
}

/**
 * Returns false for a missing scope (RFC 6750 §3.1) and a DPoP nonce (RFC 9449 §9), where a newer token does not help.
 */
function isAboutToken(challenges: string | undefined): boolean {
  return !/(?:^|[\s,])error\s*=\s*"?(?:insufficient_scope|use_dpop_nonce)\b/i.test(challenges ?? '');
}

/** The frame around every answer of the REST API. It always has all nine keys. */
export interface Envelope {
  readonly success: boolean;
  readonly Result: unknown;
  readonly Message: string | null;
  readonly MessageID: string | null;
  readonly Exception: string | null;
  readonly ErrorID: string | null;
  readonly ErrorCode: string | null;
  readonly IsSoftError: boolean;
  readonly InnerExceptions: null;
}

export function successEnvelope(result: unknown): Envelope {
  return { ...EMPTY, success: true, Result: result ?? null };
}

export function failureEnvelope(failure: {
  readonly message: string;
  readonly messageId?: string | null;
  readonly exception?: string | null;
  readonly errorId?: string | null;
}): Envelope {
  return {
    ...EMPTY,
    Message: failure.message,
    MessageID: failure.messageId ?? null,
    Exception: failure.exception ?? null,
    ErrorID: failure.errorId ?? null,
  };
}

const EMPTY: Envelope = {
  success: false,
  Result: null,
  Message: null,
  MessageID: null,
  Exception: null,
  ErrorID: null,
  ErrorCode: null,
  IsSoftError: false,
  InnerExceptions: null,
};

import type { RefusalAnswer, RefusalKind } from './refusal-answer.js';

/** What the caller of a refused message gets, in the words of gRPC's status codes without being gRPC. */
export interface RpcAnswer {
  readonly code: RpcCode;
  /** `error` of RFC 6750 §3.1, or a word for the rest. */
  readonly error: string;
  readonly message: string;
  /** When it is worth trying again, in seconds, beside `UNAVAILABLE`. */
  readonly retryAfterSeconds?: number;
}

export type RpcCode = 'INVALID_ARGUMENT' | 'PERMISSION_DENIED' | 'UNAVAILABLE' | 'UNAUTHENTICATED';

export function rpcAnswer({ kind, error, message, retryAfterSeconds }: RefusalAnswer): RpcAnswer {
  return { code: CODES[kind], error, message, ...(retryAfterSeconds !== undefined && { retryAfterSeconds }) };
}

/** The same as a status of gRPC: 3, 7, 14 or 16. */
export function grpcStatus({ kind }: RefusalAnswer): number {
  return GRPC_STATUS[CODES[kind]];
}

const CODES: Readonly<Record<RefusalKind, RpcCode>> = {
  missing: 'UNAUTHENTICATED',
  malformed: 'INVALID_ARGUMENT',
  invalid: 'UNAUTHENTICATED',
  insufficient: 'PERMISSION_DENIED',
  forbidden: 'PERMISSION_DENIED',
  undecidable: 'UNAVAILABLE',
};

const GRPC_STATUS: Readonly<Record<RpcCode, number>> = {
  INVALID_ARGUMENT: 3,
  PERMISSION_DENIED: 7,
  UNAVAILABLE: 14,
  UNAUTHENTICATED: 16,
};

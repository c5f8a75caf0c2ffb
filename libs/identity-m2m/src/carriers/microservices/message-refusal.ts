import type { AnswerAboutToken } from '../token-carrier.js';

/** gRPC's status for a call without valid credentials, and the name that receivers on other transports use for it. */
const UNAUTHENTICATED: readonly unknown[] = [16, 'UNAUTHENTICATED'];

/**
 * What an error of a message call has to say about the token, in the terms of HTTP; undefined where it is about something
 * else.
 *
 * Why it was refused is told in the trailing metadata `www-authenticate` of gRPC, or as `error` of RFC 6750 §3.1 beside
 * the code.
 */
export function refusalIn(error: unknown): AnswerAboutToken | undefined {
  if (typeof error !== 'object' || error === null) return undefined;
  const { code, error: reason, metadata } = error as { code?: unknown; error?: unknown; metadata?: TrailingMetadata };
  if (!UNAUTHENTICATED.includes(code)) return undefined;
  const challenges = typeof reason === 'string' ? [`error="${reason}"`] : metadata?.get?.('www-authenticate');
  return { status: 401, challenges: challenges?.join(', '), dpopNonce: undefined };
}

interface TrailingMetadata {
  get?(key: string): unknown[];
}

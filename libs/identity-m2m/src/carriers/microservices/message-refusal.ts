import { startOfValue } from '../answer-body.js';

/** gRPC's status for a call without valid credentials, and the name that receivers on other transports use for it. */
const UNAUTHENTICATED: readonly unknown[] = [16, 'UNAUTHENTICATED'];

/** An error that a message call ended with, in the terms of HTTP. */
export class MessageRefusal {
  constructor(readonly error: unknown) {}

  /** 401 for `UNAUTHENTICATED`, 500 for what is about something else. */
  get status(): number {
    return UNAUTHENTICATED.includes(this.#members().code) ? 401 : 500;
  }

  /**
   * Why it was refused is told in the trailing metadata `www-authenticate` of gRPC, or as `error` of RFC 6750 §3.1 beside
   * the code.
   */
  headers(): Readonly<Record<string, string>> {
    const { error: reason, metadata } = this.#members();
    if (typeof reason === 'string') return { 'www-authenticate': `error="${reason}"` };
    // Of other transports it is what the receiver wrote there.
    const challenges: unknown = typeof metadata?.get === 'function' && metadata.get('www-authenticate');
    return Array.isArray(challenges) ? { 'www-authenticate': challenges.join(', ') } : {};
  }

  bodyStart(): string {
    const { error } = this;
    // Of an error's own members JSON leaves out the text.
    return startOfValue(error instanceof Error ? Object.assign({}, error, { message: error.message }) : error);
  }

  #members(): ErrorMembers {
    return typeof this.error === 'object' && this.error !== null ? this.error : {};
  }
}

interface ErrorMembers {
  readonly code?: unknown;
  readonly error?: unknown;
  readonly metadata?: { get?(key: string): unknown } | null;
}

/**
 * Base class of every error that this library throws.
 *
 * The message says what failed, what was found, and what to do. It never holds a token, a secret or an assertion.
 */
export abstract class IdentityM2MError extends Error {
  /** Stable identifier of this kind of error. Compare it rather than the message. */
  abstract readonly code: string;

  constructor(message: string, options?: { cause?: unknown }) {
    // Not set if it is absent, because `cause: undefined` would appear in every log.
    super(message, options?.cause === undefined ? undefined : { cause: options.cause });
    this.name = new.target.name;
  }
}

/**
 * Returns the message of an error of this library, and `otherwise` for any other error: that one may quote a secret.
 */
export function safeMessage(error: unknown, otherwise: string): string {
  return error instanceof IdentityM2MError ? error.message : otherwise;
}

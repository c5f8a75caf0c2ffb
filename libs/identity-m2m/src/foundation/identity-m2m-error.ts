/**
 * Base of every error that this library throws.
 *
 * The message says what failed, what was found and what to do. It never holds a token, a secret or an assertion.
 */
export abstract class IdentityM2MError extends Error {
  /** Stable identifier of this kind of error: compare this, not the message. */
  abstract readonly code: string;

  constructor(message: string, options?: { cause?: unknown }) {
    // An absent cause must stay absent: `cause: undefined` would show in every log.
    super(message, options?.cause === undefined ? undefined : { cause: options.cause });
    this.name = new.target.name;
  }
}

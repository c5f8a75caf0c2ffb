/** A key was used a second time for something else. */
export class IdempotencyKeyReusedError extends Error {
  readonly code = 'IDEMPOTENCY_KEY_REUSED';

  constructor() {
    super('This idempotency key was used for a different request before. Use a new key for a new request.');
    this.name = 'IdempotencyKeyReusedError';
  }
}

/** A request with this key is still being carried out, by another instance of this service. */
export class IdempotencyKeyInUseError extends Error {
  readonly code = 'IDEMPOTENCY_KEY_IN_USE';
  readonly retryAfterSeconds = 5;

  constructor() {
    super('A request with this idempotency key is still being carried out. Send it again a little later.');
    this.name = 'IdempotencyKeyInUseError';
  }
}

/** Requests cannot be remembered at the moment, and so are not carried out. */
export class IdempotencyStoreUnavailableError extends Error {
  readonly code = 'IDEMPOTENCY_STORE_UNAVAILABLE';
  readonly retryAfterSeconds = 5;
  /** What the operator of this service can do about it. */
  readonly hint: string;

  constructor(message: string, options: { readonly cause: unknown; readonly hint: string }) {
    super(message, options);
    this.name = 'IdempotencyStoreUnavailableError';
    this.hint = options.hint;
  }
}

/** What stands on disk is not what was written. The message says what was found. */
export class DamagedNotesError extends Error {
  override readonly name = 'DamagedNotesError';
}

/** The store cannot be opened when the service starts. */
export class IdempotencyStoreOpenError extends Error {
  readonly code = 'IDEMPOTENCY_STORE_NOT_OPEN';

  constructor(message: string, options?: { readonly cause: unknown }) {
    super(message, options);
    this.name = 'IdempotencyStoreOpenError';
  }
}

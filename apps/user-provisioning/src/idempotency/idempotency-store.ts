/** Identifies a request by digests that reveal neither the client nor its key. */
export interface RequestId {
  readonly client: string;
  readonly key: string;
}

/**
 * Remembers requests beyond the life of this process: their beginning before they are carried out, their outcome after.
 */
export interface IdempotencyStore {
  /**
   * Begins a request. The result `begun` is stored and survives a crash.
   *
   * @param contentDigest Distinguishes a repetition from another request under the same key.
   * @param startedAt Time of this attempt, by any clock in milliseconds: the store only returns it later.
   * @throws {@link IdempotencyStoreUnavailableError}
   */
  begin(id: RequestId, contentDigest: string, startedAt: number): Promise<Beginning>;
  close(): Promise<void>;
}

export type Beginning =
  /** @property inDoubtSince `startedAt` of the first attempt that may have been carried out. */
  | { readonly kind: 'begun'; readonly execution: Execution; readonly inDoubtSince: number | undefined }
  | { readonly kind: 'completed'; readonly outcome: unknown }
  | { readonly kind: 'other content' }
  /** Another process is carrying it out. */
  | { readonly kind: 'under way' };

/** A request that this process carries out. It ends with one call of either `complete` or `giveUp`. */
export interface Execution {
  /**
   * Call it before each step that must not happen in another process too.
   *
   * @throws {@link IdempotencyKeyInUseError} if another process has taken the request over
   */
  confirm(): Promise<void>;
  /** @param outcome Stored as JSON. */
  complete(outcome: unknown): Promise<void>;
  /** Ends it without an outcome. After `perhaps`, the next `begin` returns `inDoubtSince`. */
  giveUp(wasCarriedOut: 'no' | 'perhaps'): Promise<void>;
}

/** How much the store remembers. Beyond either bound it forgets the oldest first. */
export interface Retention {
  /** Counted from the first use of a key, in milliseconds. */
  readonly keepMs: number;
  /** Maximum number of keys of one client. */
  readonly maxKeys: number;
}

/** A key was used for two different requests. */
export class IdempotencyKeyReusedError extends Error {
  readonly code = 'IDEMPOTENCY_KEY_REUSED';

  constructor() {
    super('This idempotency key belongs to a different request. Use a new key for a new request.');
    this.name = 'IdempotencyKeyReusedError';
  }
}

/** Another instance of this service is still carrying out a request with this key. */
export class IdempotencyKeyInUseError extends Error {
  readonly code = 'IDEMPOTENCY_KEY_IN_USE';
  readonly retryAfterSeconds = 5;

  constructor() {
    super('A request with this idempotency key is still being carried out. Retry later.');
    this.name = 'IdempotencyKeyInUseError';
  }
}

/** The store cannot remember requests at the moment, so they are not carried out. */
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

/** The service cannot open the store when it starts. */
export class IdempotencyStoreOpenError extends Error {
  readonly code = 'IDEMPOTENCY_STORE_NOT_OPEN';

  constructor(message: string, options?: { readonly cause: unknown }) {
    super(message, options);
    this.name = 'IdempotencyStoreOpenError';
  }
}

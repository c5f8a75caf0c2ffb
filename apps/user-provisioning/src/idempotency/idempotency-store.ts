/** Names a request by digests, from which neither the client nor its key can be read. */
export interface RequestId {
  readonly client: string;
  readonly key: string;
}

/**
 * Remembers requests past the end of this process: that one was begun before it is carried out, and what came of it
 * after.
 */
export interface IdempotencyStore {
  /**
   * Takes a request in hand. When this returns `begun`, that is written down, and survives a crash.
   *
   * @param contentDigest Tells a repetition from another request under the same key.
   * @param startedAt Time of this attempt, by any clock in milliseconds: the store gives it back, and compares it with
   * nothing.
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
  /** Another process has it in hand. */
  | { readonly kind: 'under way' };

/** A request that is in hand. Exactly one of `complete` and `giveUp` is called, once. */
export interface Execution {
  /**
   * To be called before each step that another process must not take as well.
   *
   * @throws {@link IdempotencyKeyInUseError} where another process has taken the request over
   */
  confirm(): Promise<void>;
  /** @param outcome Is written as JSON. */
  complete(outcome: unknown): Promise<void>;
  /** Ends it without an outcome. If it was perhaps carried out, the next one to begin it is told so. */
  giveUp(wasCarriedOut: 'no' | 'perhaps'): Promise<void>;
}

/** How much is remembered; what is beyond either bound is forgotten, the oldest first. */
export interface Retention {
  /** From when a key was first used, in milliseconds. */
  readonly keepMs: number;
  /** Most keys of one client. */
  readonly maxKeys: number;
}

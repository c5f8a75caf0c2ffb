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
   * @throws {@link IdempotencyStoreUnavailableError}
   */
  begin(id: RequestId, contentDigest: string): Promise<Beginning>;
  close(): Promise<void>;
}

export type Beginning =
  /** @property inDoubtSince As of `carryOut` in `RepeatableRequest`. */
  | { readonly kind: 'begun'; readonly execution: Execution; readonly inDoubtSince: number | undefined }
  | { readonly kind: 'completed'; readonly outcome: unknown }
  | { readonly kind: 'other content' }
  /** Another process has it in hand. */
  | { readonly kind: 'under way' };

/** A request that is in hand. Exactly one of the two is called, once. */
export interface Execution {
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

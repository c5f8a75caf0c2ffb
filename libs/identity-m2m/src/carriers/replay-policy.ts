/** Which calls are sent a second time. */
export interface ReplayPolicy {
  /** Longest body that is sent a second time, in bytes. */
  readonly maxBytes: number;
  /** Answers that may mean that the token is good no longer. */
  readonly statuses: readonly number[];
}

/** What holds where nothing else is said. */
export const DEFAULT_REPLAY_POLICY: ReplayPolicy = { maxBytes: 1_048_576, statuses: [401] };

/** When tokens, or the keys of issuers, are first fetched. */
export const START_MODES = [
  /** By the first call that needs them. */
  'lazy',
  /** In the background at boot. */
  'warm',
  /** At boot, which waits for them and fails without them. */
  'require',
] as const;

export type StartMode = (typeof START_MODES)[number];

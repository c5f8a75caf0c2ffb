/** What the boot does about tokens, and about the keys of issuers. */
export const START_MODES = [
  /** Nothing: the first call fetches them. */
  'lazy',
  /** Fetches them in the background. */
  'warm',
  /** Waits for them, and fails without them. */
  'require',
] as const;

export type StartMode = (typeof START_MODES)[number];

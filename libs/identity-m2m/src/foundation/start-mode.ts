/** What happens at boot to what is fetched before a call can be made or judged: tokens, the keys of issuers. */
export const START_MODES = [
  /** Nothing: the first call fetches it. */
  'lazy',
  /** It is fetched, and the boot does not wait for it. */
  'warm',
  /** The boot waits for it, and fails without it. */
  'require',
] as const;

export type StartMode = (typeof START_MODES)[number];

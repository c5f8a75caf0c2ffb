/** One wrong field of the options that a user wrote. */
export interface OptionFault {
  /** Where it stands, from the root of the options: `client.origins[1]`. */
  readonly path: string;
  /** What would be right, in words. */
  readonly expected: string;
  /** What stands there. Never a secret, and never more of a text than is needed to find it. */
  readonly found: string;
}

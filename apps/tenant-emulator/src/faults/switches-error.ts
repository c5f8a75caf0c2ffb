/** A change of the switches is wrong. Nothing has been changed. */
export class SwitchesError extends Error {
  override readonly name = 'SwitchesError';

  constructor(
    /** One line per wrong field: its path, and what is wrong with it. */
    readonly faults: readonly string[],
  ) {
    super(`The switches cannot be set like this:\n${faults.map((fault) => `  ${fault}`).join('\n')}`);
  }
}

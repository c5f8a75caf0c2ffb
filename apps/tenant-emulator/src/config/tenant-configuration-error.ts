/** The configuration of the tenant is wrong. Lists every wrong field, so that one start is enough to mend them all. */
export class TenantConfigurationError extends Error {
  override readonly name = 'TenantConfigurationError';

  constructor(
    source: string,
    /** One line per wrong field: its path, and what is wrong with it. */
    readonly faults: readonly string[],
    options?: ErrorOptions,
  ) {
    super(`${source} is wrong:\n${faults.map((fault) => `  ${fault}`).join('\n')}`, options);
  }
}

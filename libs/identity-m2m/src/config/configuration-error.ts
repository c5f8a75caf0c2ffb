import { IdentityM2MError } from '../foundation/identity-m2m-error.js';
import type { OptionFault } from '../foundation/option-check.js';

/** Options are wrong. Lists every wrong field, so that one boot is enough to mend them all. */
export class IdentityM2MConfigurationError extends IdentityM2MError {
  readonly code = 'M2M_CONFIGURATION_INVALID';

  /** @param whose Name of what the options are of. */
  constructor(
    readonly faults: readonly OptionFault[],
    whose = 'IdentityM2MModule',
  ) {
    const lines = faults.map(({ path, expected, found }) => `  ${path}: expected ${expected}; found ${found}`);
    super(`${whose} is not configured right:\n${lines.join('\n')}`);
  }
}

import { IdentityM2MError } from '../foundation/identity-m2m-error.js';
import type { OptionFault } from '../foundation/option-fault.js';

/** The module's options are wrong. Lists every wrong field, so that one boot is enough to mend them all. */
export class IdentityM2MConfigurationError extends IdentityM2MError {
  readonly code = 'M2M_CONFIGURATION_INVALID';

  constructor(readonly faults: readonly OptionFault[]) {
    const lines = faults.map(({ path, expected, found }) => `  ${path}: expected ${expected}; found ${found}`);
    super(`IdentityM2MModule is not configured right:\n${lines.join('\n')}`);
  }
}

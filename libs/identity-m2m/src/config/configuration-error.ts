import { IdentityM2MError } from '../foundation/identity-m2m-error.js';
import { faultLine, type OptionFault } from '../foundation/option-check.js';

/** Options are invalid. Lists every invalid option, so that one boot is enough to correct them all. */
export class IdentityM2MConfigurationError extends IdentityM2MError {
  readonly code = 'M2M_CONFIGURATION_INVALID';

  /** @param owner Name of the module or function that the options are for. */
  constructor(
    readonly faults: readonly OptionFault[],
    owner = 'IdentityM2MModule',
  ) {
    super(`Invalid options for ${owner}:\n${faults.map((fault) => `  ${faultLine(fault)}`).join('\n')}`);
  }
}

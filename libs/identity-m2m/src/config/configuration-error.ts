import { IdentityM2MError } from '../foundation/identity-m2m-error.js';
import { faultLine, type OptionFault } from '../foundation/option-check.js';

/** Options are invalid. The message lists every invalid option, so that you can correct all of them at once. */
export class IdentityM2MConfigurationError extends IdentityM2MError {
  readonly code = 'M2M_CONFIGURATION_INVALID';

  /** @param owner Name of the module or function that the options are for. Default: `IdentityM2MModule`. */
  constructor(
    readonly faults: readonly OptionFault[],
    owner = 'IdentityM2MModule',
  ) {
    super(`Invalid options for ${owner}:\n${faults.map((fault) => `  ${faultLine(fault)}`).join('\n')}`);
  }
}

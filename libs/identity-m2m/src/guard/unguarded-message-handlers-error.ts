import { IdentityM2MError } from '../foundation/identity-m2m-error.js';

/** With a global guard, the message handlers of a controller could not be guarded. The application does not start. */
export class UnguardedMessageHandlersError extends IdentityM2MError {
  readonly code = 'M2M_HANDLERS_UNGUARDED';

  constructor(controller: string) {
    super(
      `the message handlers of ${controller} could not be put behind the global guard; put @UseGuards(M2MAuthGuard) on the controller and leave out globalGuard, and report the version of @nestjs/core`,
    );
  }
}

import { IdentityM2MError } from '../foundation/identity-m2m-error.js';

/** With a global guard, the message handlers of a controller would not be guarded. The application does not start. */
export class UnguardedMessageHandlersError extends IdentityM2MError {
  readonly code = 'M2M_HANDLERS_UNGUARDED';

  static notFound(controller: string): UnguardedMessageHandlersError {
    return new UnguardedMessageHandlersError(
      `the message handlers of ${controller} could not be put behind the global guard; put @UseGuards(M2MAuthGuard) on the controller and leave out globalGuard, and report the version of @nestjs/core`,
    );
  }

  static beyondGlobalGuard(controller: string): UnguardedMessageHandlersError {
    return new UnguardedMessageHandlersError(
      `M2MAuthGuard was made a global guard by APP_GUARD or useGlobalGuards(), which does not reach the message handlers of ${controller} where connectMicroservice() connects them; use globalGuard: true in the options of IdentityM2MModule in its place, or put @UseGuards() on the controller`,
    );
  }
}

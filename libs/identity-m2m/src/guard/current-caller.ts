import { Injectable, type OnApplicationShutdown, Scope } from '@nestjs/common';
import type { MachineCaller } from '../verification/machine-caller.js';
import { currentCaller, followCallers } from './caller-store.js';

/** Follows callers below their handlers as soon as somebody asks for it, until the application ends. */
@Injectable()
export class CallerFollowing implements OnApplicationShutdown {
  #end: (() => void) | undefined;

  start(): void {
    this.#end ??= followCallers();
  }

  onApplicationShutdown(): void {
    this.#end?.();
  }
}

/**
 * The machine whose call is being handled, anywhere below its handler, without handing it down.
 *
 * To be injected. Callers are followed through asynchronous code (`AsyncLocalStorage`) only in applications where somebody
 * has it injected: on Node.js before 24 that makes every promise of the process dearer.
 */
@Injectable({ scope: Scope.TRANSIENT })
export class CurrentCaller {
  constructor(following: CallerFollowing) {
    following.start();
  }

  /** undefined on public routes, and outside of calls. */
  get(): MachineCaller | undefined {
    return currentCaller();
  }
}

import { CanceledError, type Cancel, type CancelToken } from 'axios';

type Listener = (reason: Cancel) => void;

/**
 * What axios knows as a `CancelToken`, for one call and made to cost nothing until it is used.
 *
 * axios' own makes two promises and a chain for each call, and an error with its stack for each that has ended; that is
 * more work than everything else that a call with a cached token needs.
 */
export class CallCancellation implements CancelToken {
  reason?: Cancel;
  #listeners: Listener[] | undefined;
  #promise: Promise<Cancel> | undefined;

  cancel(): void {
    if (this.reason) return;
    this.reason = new CanceledError();
    const listeners = this.#listeners ?? [];
    this.#listeners = undefined;
    for (const listener of listeners) listener(this.reason);
  }

  get promise(): Promise<Cancel> {
    return (this.#promise ??= new Promise((resolve) => this.subscribe(resolve)));
  }

  throwIfRequested(): void {
    if (this.reason) throw this.reason;
  }

  /** What follows is no part of the published type, and is how axios' adapters listen. */
  subscribe(listener: Listener): void {
    if (this.reason) listener(this.reason);
    else (this.#listeners ??= []).push(listener);
  }

  unsubscribe(listener: Listener): void {
    this.#listeners = this.#listeners?.filter((other) => other !== listener);
  }

  toAbortSignal(): AbortSignal {
    const controller = new AbortController();
    const abort: Listener = (reason) => controller.abort(reason);
    this.subscribe(abort);
    return Object.assign(controller.signal, { unsubscribe: () => this.unsubscribe(abort) });
  }
}

import { HttpExchangeError } from '../foundation/bounded-fetch.js';
import { IdentityM2MError } from '../foundation/identity-m2m-error.js';
import { printableText } from '../foundation/printable-text.js';

/** A key set as it was read somewhere. */
export interface KeyDocument {
  readonly document: Readonly<Record<string, unknown>>;
  /** How long it may be used, in milliseconds. */
  readonly lifetimeMs: number;
}

/** Where the keys of an issuer are read. */
export interface KeySource {
  /** @throws {@link KeySetError} and other errors of this library, none of which holds a secret. */
  read(signal: AbortSignal): Promise<KeyDocument>;
}

/** The keys of an issuer can't be read. Callers see it as a refusal, operators in the event, and with `start: 'require'` at boot. */
export class KeySetError extends IdentityM2MError {
  readonly code = 'M2M_KEY_SET_UNAVAILABLE';
}

/** Says what failed, and what to do where that is known. */
export function problemText(problem: unknown): string | undefined {
  if (problem === undefined) return undefined;
  if (!(problem instanceof Error)) return 'unknown';
  const exchange = problem instanceof HttpExchangeError ? problem : problem.cause;
  const advice = exchange instanceof HttpExchangeError ? exchange.advice : undefined;
  return printableText(advice === undefined ? problem.message : `${problem.message}. ${advice}`, 400);
}

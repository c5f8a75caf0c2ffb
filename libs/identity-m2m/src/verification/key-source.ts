import { IdentityM2MError } from '../foundation/identity-m2m-error.js';

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

/** The keys of an issuer can't be read. Callers see it as a refusal, operators in the event. */
export class KeySetError extends IdentityM2MError {
  readonly code = 'M2M_KEY_SET_UNAVAILABLE';
}

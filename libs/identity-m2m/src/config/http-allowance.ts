import type { HttpAllowance } from '../foundation/secure-url.js';

/** Plain http is for loopback while developing; anything beyond that has to be asked for by its unsafe name. */
export function httpAllowance(unsafeAllowHttp: boolean | undefined, production: boolean): HttpAllowance {
  if (unsafeAllowHttp) return 'anywhere';
  return production ? 'never' : 'loopback';
}

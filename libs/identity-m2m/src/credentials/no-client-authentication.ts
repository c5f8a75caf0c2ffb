import { None } from 'oauth4webapi';
import type { ClientAuthentication } from './client-authentication.js';

/** A client that only says its name. Right where the grant itself is the proof, as with a JWT bearer grant (RFC 7523 §2.1). */
export function noClientAuthentication(): ClientAuthentication {
  return {
    method: 'none',
    fault: () => undefined,
    credentials: [async () => ({ fingerprint: 'none', secrets: [], isTimed: false, proof: () => None() })],
  };
}

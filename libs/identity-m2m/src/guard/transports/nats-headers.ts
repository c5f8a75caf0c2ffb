import { refuse } from '../../verification/refusal.js';
import { type Credential, credentialIn } from '../credential.js';

export interface NatsContext {
  getHeaders(): NatsHeaders | undefined;
}

/** Headers as each of NATS's packages for Node.js has them. */
export interface NatsHeaders {
  keys(): readonly string[];
  /** Values of exactly this name. */
  values(name: string): readonly string[];
}

/**
 * NATS: the header `authorization`.
 *
 * Names of NATS headers are told apart by case, so one message can carry `authorization` and `Authorization`: that is
 * two credentials.
 */
export function natsCredential(context: NatsContext): Credential {
  const headers = context.getHeaders();
  if (!headers) return refuse('credential_missing');
  return credentialIn(headers.keys().flatMap((name) => headers.values(name).map((value) => [name, value] as const)));
}

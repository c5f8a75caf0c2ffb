import { refuse } from '../../verification/refusal.js';
import { type Credential, credentialIn } from '../credential.js';

/** The contexts of TCP and Redis. Nest 11 drops the metadata of packets, so that no credential can be found there. */
export interface PacketContext {
  getMetadata?(): unknown;
}

/** TCP and Redis: `metadata.authorization` of Nest's packet. The sender may have put any JSON there. */
export function packetCredential(context: PacketContext): Credential {
  const metadata = context.getMetadata?.();
  if (metadata === undefined || metadata === null) return refuse('credential_missing');
  if (typeof metadata !== 'object' || Array.isArray(metadata)) return refuse('credential_malformed');
  return credentialIn(Object.entries(metadata));
}

import { type ClientAuth, None } from 'oauth4webapi';
import type { SensitiveValue } from '../foundation/sensitive-value.js';
import type { TlsIdentity } from '../foundation/tls.js';

/** How a client proves to the token endpoint that it is itself (RFC 6749 §2.3). */
export interface ClientAuthentication {
  /** The method's name (IANA "OAuth Token Endpoint Authentication Methods"), as it appears in errors. */
  readonly method: string;
  /** What is wrong with how it was configured, as far as can be told without waiting; undefined where nothing. */
  fault(): string | undefined;
  /**
   * What the client can prove itself with, the preferred first, at least one. Each is read when it is needed, and anew for
   * each attempt.
   */
  readonly credentials: readonly (() => Promise<ClientCredential>)[];
}

/** What a client proves itself with, as it was at one moment. */
export interface ClientCredential {
  /** Tells one credential from the next; not its text. */
  readonly fingerprint: string;
  /**
   * Puts the proof into the body or the headers of a request.
   *
   * @param now The time as the server has it, as far as is known: for proofs that name it.
   */
  readonly proof: (now: Date) => ClientAuth;
  /** Whether the proof names the time, so that a server with another clock may refuse it. */
  readonly isTimed: boolean;
  /** When it ends, where that is known: from then on it is not shown. */
  readonly expiresAt?: Date | undefined;
  /** What is odd about it and may be why it is refused, as a sentence that does not tell it. */
  readonly remark?: string | undefined;
  /** Texts that must not come back in an error, should the server repeat them. */
  readonly secrets: readonly SensitiveValue[];
  /** The certificate to show while connecting, where that is the proof. */
  readonly tls?: TlsIdentity | undefined;
}

/** A client that only says its name. Right where the grant itself is the proof, as with a JWT bearer grant (RFC 7523 §2.1). */
export function noClientAuthentication(): ClientAuthentication {
  return {
    method: 'none',
    fault: () => undefined,
    credentials: [async () => ({ fingerprint: 'none', secrets: [], isTimed: false, proof: () => None() })],
  };
}

import { type ClientAuth, None } from 'oauth4webapi';
import type { SensitiveValue } from '../foundation/sensitive-value.js';
import type { TlsIdentity } from '../foundation/tls.js';

/** How a client authenticates at the token endpoint (RFC 6749 §2.3). */
export interface ClientAuthentication {
  /** Name of the method (IANA "OAuth Token Endpoint Authentication Methods"), for errors. */
  readonly method: string;
  /** Returns what is invalid in its options, as far as that shows without waiting; undefined where nothing is. */
  fault(): string | undefined;
  /** Read the credentials that can be used, the preferred one first, at least one. Called for each attempt. */
  readonly credentials: readonly (() => Promise<ClientCredential>)[];
  /** Reads the current certificate, for mutual TLS with the API as well. Absent for other methods. */
  readIdentity?(): Promise<TlsIdentity>;
}

/** What a client authenticates with, read at one moment. */
export interface ClientCredential {
  /** Differs for each credential, and does not reveal it. */
  readonly fingerprint: string;
  /**
   * Adds the proof to the body or the headers of a request.
   *
   * @param now Time of the server's clock, as far as it is known, for proofs that contain the time.
   */
  readonly proof: (now: Date) => ClientAuth;
  /** Whether the proof contains the time, so that a server with another clock may refuse it. */
  readonly isTimed: boolean;
  /** When it expires, where that is known. From then on it is not sent. */
  readonly expiresAt?: Date | undefined;
  /** Sentence about what may be wrong with it, without revealing it. For the error, if the server refuses it. */
  readonly remark?: string | undefined;
  /** Values to remove from errors, in case the server repeats them. */
  readonly secrets: readonly SensitiveValue[];
  /** Client certificate of the connection, where that is the proof. */
  readonly tls?: TlsIdentity | undefined;
}

/** Sends the client identifier only. For grants that are the proof themselves, such as `jwtBearer` (RFC 7523 §2.1). */
export function noClientAuthentication(): ClientAuthentication {
  return {
    method: 'none',
    fault: () => undefined,
    credentials: [async () => ({ fingerprint: 'none', secrets: [], isTimed: false, proof: () => None() })],
  };
}

import { type ClientAuth, None } from 'oauth4webapi';
import type { SensitiveValue } from '../foundation/sensitive-value.js';
import type { TlsIdentity } from '../foundation/tls.js';

/** How a client authenticates at the token endpoint (RFC 6749 §2.3). */
export interface ClientAuthentication {
  /** Name of the method (IANA "OAuth Token Endpoint Authentication Methods"), for errors. */
  readonly method: string;
  /** Returns what is invalid in its options, as far as that is known synchronously; undefined if nothing is. */
  fault(): string | undefined;
  /** Functions that read one credential each: at least one, the preferred one first. Called for each attempt. */
  readonly credentials: readonly (() => Promise<ClientCredential>)[];
  /** Reads the current certificate, for mutual TLS with the API as well. Absent for other methods. */
  readIdentity?(): Promise<TlsIdentity>;
}

/** A credential of a client, read for one attempt. */
export interface ClientCredential {
  /** Identifies the credential without revealing it. */
  readonly fingerprint: string;
  /**
   * Returns a function that adds the client's authentication to the body or the headers of a request.
   *
   * @param now Estimated time of the server's clock, for assertions, which contain a time.
   */
  readonly authenticate: (now: Date) => ClientAuth;
  /** Whether the authentication contains a time, so that a server with another clock may reject it. */
  readonly isTimed: boolean;
  /** When it expires, if that is known. The client does not send an expired credential. */
  readonly expiresAt?: Date | undefined;
  /**
   * A sentence about what may be wrong with it, which must not reveal it. Appears in the error if the server rejects
   * it.
   */
  readonly remark?: string | undefined;
  /** Values that are removed from errors, because the server may repeat them. */
  readonly secrets: readonly SensitiveValue[];
  /** Client certificate of the connection, if that authenticates the client. */
  readonly tls?: TlsIdentity | undefined;
}

/** Sends only the client identifier. For grants that are a proof themselves, such as `jwtBearer` (RFC 7523 §2.1). */
export function noClientAuthentication(): ClientAuthentication {
  return {
    method: 'none',
    fault: () => undefined,
    credentials: [async () => ({ fingerprint: 'none', secrets: [], isTimed: false, authenticate: () => None() })],
  };
}

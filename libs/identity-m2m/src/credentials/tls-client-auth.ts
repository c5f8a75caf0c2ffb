import { X509Certificate } from 'node:crypto';
import { TlsClientAuth } from 'oauth4webapi';
import { readSecret, type SecretInput, toSecretSource } from '../foundation/secret-source.js';
import type { TlsIdentity } from '../foundation/tls.js';
import type { ClientAuthentication, ClientCredential } from './client-authentication.js';

export interface TlsClientAuthOptions {
  /** The client's certificate in PEM, followed by any intermediate certificates. Read for each connection. */
  readonly certificate: SecretInput;
  /** Its private key in PEM. */
  readonly key: SecretInput;
  /** Passphrase of the key, if it is encrypted. Default: none. */
  readonly passphrase?: SecretInput;
  /** Certificate authorities to trust, in PEM. Default: those of Node.js. */
  readonly ca?: SecretInput;
}

/** Mutual TLS. Calls to APIs present the certificate as well, because a bound token is valid only together with it. */
export interface TlsClientAuthentication extends ClientAuthentication {
  readIdentity(): Promise<TlsIdentity>;
}

/** Authenticates the client with a certificate of an authority that the identity provider trusts (RFC 8705 §2.1). */
export function tlsClientAuth(options: TlsClientAuthOptions): TlsClientAuthentication {
  return mutualTls('tls_client_auth', options);
}

/**
 * Authenticates the client with a self-signed certificate that is registered at the identity provider (RFC 8705 §2.2).
 */
export function selfSignedTlsClientAuth(options: TlsClientAuthOptions): TlsClientAuthentication {
  return mutualTls('self_signed_tls_client_auth', options);
}

function mutualTls(method: string, options: TlsClientAuthOptions): TlsClientAuthentication {
  const { certificate, key, passphrase, ca } = options;
  const sources = [certificate, key, passphrase, ca].filter((input) => input !== undefined).map(toSecretSource);
  const readIdentity = async (): Promise<TlsIdentity> => ({
    cert: await textOf(certificate),
    key: await textOf(key),
    passphrase: passphrase === undefined ? undefined : await textOf(passphrase),
    ca: ca === undefined ? undefined : await textOf(ca),
  });
  return {
    method,
    fault: () => sources.map((source) => source.fault()).find((fault) => fault !== undefined),
    readIdentity,
    credentials: [async () => credential(await readIdentity())],
  };
}

function credential(tls: TlsIdentity): ClientCredential {
  const { fingerprint256 } = new X509Certificate(tls.cert);
  const fingerprint = fingerprint256.replaceAll(':', '').slice(0, 12).toLowerCase();
  return { fingerprint, secrets: [], isTimed: false, authenticate: () => TlsClientAuth(), tls };
}

async function textOf(input: SecretInput): Promise<string> {
  return (await readSecret(toSecretSource(input))).reveal();
}

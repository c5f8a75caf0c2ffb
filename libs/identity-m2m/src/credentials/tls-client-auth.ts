import { X509Certificate } from 'node:crypto';
import { TlsClientAuth } from 'oauth4webapi';
import type { TlsIdentity } from '../foundation/tls.js';
import type { ClientAuthentication, ClientCredential } from './client-authentication.js';
import { readSecret, type SecretInput, toSecretSource } from './secret-source.js';

export interface TlsClientAuthOptions {
  /** The client's certificate in PEM, with any intermediate ones behind it. Read anew for each connection. */
  readonly certificate: SecretInput;
  /** Its private key in PEM. */
  readonly key: SecretInput;
  /** Passphrase of the key, where it is encrypted. */
  readonly passphrase?: SecretInput;
  /** Certificate authorities to believe, in place of those of the system; in PEM. */
  readonly ca?: SecretInput;
}

/** Mutual TLS as the proof of a client: also used for calls to resource servers, which ask for the certificate again. */
export interface TlsClientAuthentication extends ClientAuthentication {
  /** The certificate as it is now. */
  readIdentity(): Promise<TlsIdentity>;
}

/** Proves the client by a certificate of an authority that the identity provider trusts (RFC 8705 §2.1). */
export function tlsClientAuth(options: TlsClientAuthOptions): TlsClientAuthentication {
  return mutualTls('tls_client_auth', options);
}

/** Proves the client by a certificate of its own making, which the identity provider was told of (RFC 8705 §2.2). */
export function selfSignedTlsClientAuth(options: TlsClientAuthOptions): TlsClientAuthentication {
  return mutualTls('self_signed_tls_client_auth', options);
}

export function isTlsClientAuthentication(value: ClientAuthentication): value is TlsClientAuthentication {
  return 'readIdentity' in value;
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
  return { fingerprint, secrets: [], isTimed: false, proof: () => TlsClientAuth(), tls };
}

async function textOf(input: SecretInput): Promise<string> {
  return (await readSecret(toSecretSource(input))).reveal();
}

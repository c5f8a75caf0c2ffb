import { X509Certificate } from 'node:crypto';

/** The client's certificate and key for TLS connections, and the authorities that it trusts, all in PEM. */
export interface TlsIdentity {
  /** The certificate, followed by any intermediate certificates. */
  readonly cert: string;
  readonly key: string;
  readonly passphrase?: string | undefined;
  /** Certificate authorities to trust instead of those of Node.js. Default: those of Node.js. */
  readonly ca?: string | undefined;
}

/** Certificates of authorities in PEM, any number in each string or buffer, as in the option `ca` of `node:tls`. */
export type CertificateAuthorities = string | Buffer | readonly (string | Buffer)[];

/**
 * Returns whether each part has certificates, and only valid ones. Checked here, because `node:tls` ignores an invalid
 * one and then trusts no authority.
 */
export function areCertificateAuthorities(value: unknown): value is CertificateAuthorities {
  const parts: unknown[] = Array.isArray(value) ? value : [value];
  return parts.length > 0 && parts.every(hasCertificates);
}

/**
 * Returns each certificate in the PEM format that Node.js writes. `node:tls` also ignores a certificate that starts on
 * the line where another ends, as in joined files.
 */
export function certificatesOf(authorities: CertificateAuthorities): string[] {
  return [authorities]
    .flat()
    .flatMap(pemsIn)
    .map((pem) => new X509Certificate(pem).toString());
}

function hasCertificates(part: unknown): boolean {
  if (typeof part !== 'string' && !Buffer.isBuffer(part)) return false;
  const pems = pemsIn(part);
  const announced = part.toString().split('-----BEGIN').length - 1;
  return pems.length > 0 && pems.length === announced && pems.every(isCertificate);
}

function pemsIn(part: string | Buffer): string[] {
  return part.toString().match(/-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----/g) ?? [];
}

function isCertificate(pem: string): boolean {
  try {
    const { subject } = new X509Certificate(pem);
    return typeof subject === 'string';
  } catch {
    return false;
  }
}

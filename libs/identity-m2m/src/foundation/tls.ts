import { X509Certificate } from 'node:crypto';

/** What a client shows of itself while a TLS connection is made, and whom it believes. All in PEM. */
export interface TlsIdentity {
  /** Its certificate, with any intermediate ones behind it. */
  readonly cert: string;
  readonly key: string;
  readonly passphrase?: string | undefined;
  /** Certificate authorities to believe, in place of those of the system. */
  readonly ca?: string | undefined;
}

/** Certificates of authorities in PEM, any number in one string or buffer. As `ca` of `node:tls` takes them. */
export type CertificateAuthorities = string | Buffer | readonly (string | Buffer)[];

/** `node:tls` passes over what it can't read, and then trusts nobody: so each part must have certificates, and readable ones. */
export function areCertificateAuthorities(value: unknown): value is CertificateAuthorities {
  const parts: unknown[] = Array.isArray(value) ? value : [value];
  return parts.length > 0 && parts.every(hasCertificates);
}

/**
 * Each certificate, in PEM as Node.js writes it: `node:tls` also passes over one that begins on the line where another ends,
 * which comes of joining files.
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

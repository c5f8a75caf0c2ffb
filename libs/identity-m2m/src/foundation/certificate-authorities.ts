import { X509Certificate } from 'node:crypto';

/** Certificates of authorities in PEM, any number in one string or buffer. As `ca` of `node:tls` takes them. */
export type CertificateAuthorities = string | Buffer | readonly (string | Buffer)[];

/** `node:tls` passes over what it can't read, and then trusts nobody: so each part must have certificates, and readable ones. */
export function areCertificateAuthorities(value: unknown): value is CertificateAuthorities {
  const parts: unknown[] = Array.isArray(value) ? value : [value];
  return parts.length > 0 && parts.every(hasCertificates);
}

function hasCertificates(part: unknown): boolean {
  if (typeof part !== 'string' && !Buffer.isBuffer(part)) return false;
  const pem = part.toString().match(/-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----/g) ?? [];
  const announced = part.toString().split('-----BEGIN').length - 1;
  return pem.length > 0 && pem.length === announced && pem.every(isCertificate);
}

function isCertificate(pem: string): boolean {
  try {
    const { subject } = new X509Certificate(pem);
    return typeof subject === 'string';
  } catch {
    return false;
  }
}

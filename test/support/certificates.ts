import { webcrypto } from 'node:crypto';
import { isIP } from 'node:net';
import {
  BasicConstraintsExtension,
  KeyUsageFlags,
  KeyUsagesExtension,
  SubjectAlternativeNameExtension,
  X509CertificateGenerator,
  type X509Certificate,
} from '@peculiar/x509';

/** A certificate and its key, both in PEM. */
export interface IssuedCertificate {
  readonly cert: string;
  readonly key: string;
}

const ALGORITHM = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' };
const VALIDITY = { notBefore: new Date(Date.now() - 60_000), notAfter: new Date(Date.now() + 86_400_000) };

/** A certificate authority that lives as long as the test. */
export class CertificateAuthority {
  private constructor(
    private readonly keys: webcrypto.CryptoKeyPair,
    private readonly certificate: X509Certificate,
  ) {}

  static async create(name: string): Promise<CertificateAuthority> {
    const keys = await newKeys();
    const certificate = await X509CertificateGenerator.createSelfSigned({
      serialNumber: '01',
      name: `CN=${name}`,
      keys,
      signingAlgorithm: ALGORITHM,
      ...VALIDITY,
      extensions: [
        new BasicConstraintsExtension(true, 0, true),
        new KeyUsagesExtension(KeyUsageFlags.keyCertSign, true),
      ],
    });
    return new CertificateAuthority(keys, certificate);
  }

  get pem(): string {
    return this.certificate.toString('pem');
  }

  /** A certificate for a client of this name. */
  issue(name: string): Promise<IssuedCertificate> {
    return this.#issue(name, []);
  }

  /** A certificate for a server on this machine. */
  issueForLoopback(): Promise<IssuedCertificate> {
    return this.#issue('127.0.0.1', [new SubjectAlternativeNameExtension([{ type: 'ip', value: '127.0.0.1' }])]);
  }

  async #issue(name: string, extensions: SubjectAlternativeNameExtension[]): Promise<IssuedCertificate> {
    const keys = await newKeys();
    const certificate = await X509CertificateGenerator.create({
      subject: `CN=${name}`,
      issuer: this.certificate.subject,
      publicKey: keys.publicKey,
      signingKey: this.keys.privateKey,
      signingAlgorithm: ALGORITHM,
      ...VALIDITY,
      extensions,
    });
    return { cert: certificate.toString('pem'), key: await pemOf(keys.privateKey) };
  }
}

/**
 * A certificate that vouches for itself.
 *
 * @param hosts Names and addresses that it is for. Default: the one name.
 */
export async function selfSignedCertificate(
  name: string,
  {
    hosts = [name],
    notAfter = VALIDITY.notAfter,
  }: { readonly hosts?: readonly string[]; readonly notAfter?: Date } = {},
): Promise<IssuedCertificate> {
  const keys = await newKeys();
  const certificate = await X509CertificateGenerator.createSelfSigned({
    name: `CN=${name}`,
    keys,
    signingAlgorithm: ALGORITHM,
    notBefore: new Date(notAfter.getTime() - 2 * 86_400_000),
    notAfter,
    extensions: [
      new SubjectAlternativeNameExtension(hosts.map((value) => ({ type: isIP(value) ? 'ip' : 'dns', value }))),
    ],
  });
  return { cert: certificate.toString('pem'), key: await pemOf(keys.privateKey) };
}

function newKeys(): Promise<webcrypto.CryptoKeyPair> {
  return webcrypto.subtle.generateKey(ALGORITHM, true, ['sign', 'verify']);
}

async function pemOf(key: webcrypto.CryptoKey): Promise<string> {
  const base64 = Buffer.from(await webcrypto.subtle.exportKey('pkcs8', key)).toString('base64');
  return `-----BEGIN PRIVATE KEY-----\n${base64.replace(/.{64}/g, '$&\n')}\n-----END PRIVATE KEY-----\n`;
}

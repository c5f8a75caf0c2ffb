import { selfSignedCertificate, generateSigningKey, type SigningKey } from './signing-key.js';
import type { TestIssuer } from './test-issuer.js';

/** An attacker with keys, a certificate and an issuer that can be reached and that no guard should trust. */
export interface Attacker {
  /** A key with the algorithm and the identifier of the issuer's key. */
  readonly key: SigningKey;
  /** An RSA key and its self-signed certificate, in base64. */
  readonly certified: { readonly key: SigningKey; readonly certificate: string };
  /** Issuer identifier, with metadata and a key set. */
  readonly url: string;
  readonly jwksUri: string;
  /** Address of the certificate. */
  readonly certificateUri: string;
}

/** Paths of the attacker's documents. */
export const ATTACKER_PATHS = {
  keys: '/attacker/keys',
  certificate: '/attacker/certificate',
  // OpenID Connect Discovery §4 and RFC 8414 §3.1, for an issuer with a path.
  metadata: '/attacker/.well-known/openid-configuration',
  otherMetadata: '/.well-known/oauth-authorization-server/attacker',
} as const;

/** Makes an attacker on the issuer's own host, so that a check of the host does not suffice. */
export async function attackerBeside(issuer: TestIssuer): Promise<Attacker> {
  const { alg, kid } = issuer.usualHeader;
  const [key, certifiedKey] = await Promise.all([generateSigningKey(alg, kid), generateSigningKey('RS256', kid)]);
  const der = selfSignedCertificate(certifiedKey.publicKey, certifiedKey.privateKey);
  const certificate = der.toString('base64');
  const url = `${issuer.url}/attacker`;
  const jwksUri = issuer.url + ATTACKER_PATHS.keys;
  issuer.publish(ATTACKER_PATHS.keys, { keys: [key.publicJwk] });
  issuer.publish(
    ATTACKER_PATHS.certificate,
    `-----BEGIN CERTIFICATE-----\n${certificate}\n-----END CERTIFICATE-----\n`,
  );
  for (const path of [ATTACKER_PATHS.metadata, ATTACKER_PATHS.otherMetadata]) {
    issuer.publish(path, { issuer: url, jwks_uri: jwksUri });
  }
  return {
    key,
    certified: { key: certifiedKey, certificate },
    url,
    jwksUri,
    certificateUri: issuer.url + ATTACKER_PATHS.certificate,
  };
}

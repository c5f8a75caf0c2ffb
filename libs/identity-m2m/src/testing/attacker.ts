import { selfSignedCertificate, generateSigningKey, type SigningKey } from './signing-key.js';
import type { TestIssuer } from './test-issuer.js';

/** Somebody with keys, a certificate and an issuer of their own, who can be reached and whom nobody should trust. */
export interface Attacker {
  /** Of the same kind and name as the issuer's. */
  readonly key: SigningKey;
  /** An RSA key, and the certificate that it has issued to itself, in base64. */
  readonly certified: { readonly key: SigningKey; readonly certificate: string };
  /** Issuer identifier: metadata and key set can be had there as from any other. */
  readonly url: string;
  readonly jwksUri: string;
  /** Address of the certificate. */
  readonly certificateUri: string;
}

/** Paths of all that an attacker publishes. */
export const ATTACKER_PATHS = {
  keys: '/attacker/keys',
  certificate: '/attacker/certificate',
  // As OpenID Connect Discovery §4 and RFC 8414 §3.1 have it for an issuer with a path.
  metadata: '/attacker/.well-known/openid-configuration',
  otherMetadata: '/.well-known/oauth-authorization-server/attacker',
} as const;

/** Settles beside an issuer, so that not even a look at the host would tell. */
export async function settleAttacker(issuer: TestIssuer): Promise<Attacker> {
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

import { forgedClaims } from './forged-claims.js';
import { forgedEncodings } from './forged-encodings.js';
import { forgedSignatures } from './forged-signatures.js';
import type { ForgedToken } from './forged-token.js';
import type { TestIssuer, TestTokenOptions } from './test-issuer.js';

/**
 * Tokens that look like an accepted one of the issuer's and must all be refused: some two hundred, each with what is wrong
 * with it.
 *
 * @param accepted A token that the guard does accept, named as a client that it knows.
 */
export async function forgedTokens(issuer: TestIssuer, accepted: TestTokenOptions): Promise<ForgedToken[]> {
  const claims = issuer.claimsFor(accepted);
  const { alg, kid } = issuer.usualHeader;
  const header = { ...issuer.usualHeader, ...accepted.header, alg, kid };
  const material = { issuer, accepted, claims, header, token: await issuer.sign(claims, header) };
  return [...(await forgedSignatures(material)), ...forgedEncodings(material), ...forgedClaims(material)];
}

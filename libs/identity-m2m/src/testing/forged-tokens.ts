import { forgedClaims } from './forged-claims.js';
import { forgedEncodings } from './forged-encodings.js';
import { forgedSignatures } from './forged-signatures.js';
import { type ForgedToken, type ForgeryMaterial, forgeryMaterial } from './forged-token.js';
import type { TestIssuer, TestTokenOptions } from './test-issuer.js';

/**
 * Tokens that look like an accepted one of the issuer's and must all be refused: some two hundred, each with what is wrong
 * with it.
 *
 * @param accepted A token that the guard does accept, named as a client that it knows.
 */
export async function forgedTokens(issuer: TestIssuer, accepted: TestTokenOptions): Promise<ForgedToken[]> {
  return forgedFrom(await forgeryMaterial(issuer, accepted));
}

/** The same from what they are made of, which has the token that all are likenesses of. */
export async function forgedFrom(material: ForgeryMaterial): Promise<ForgedToken[]> {
  return [...(await forgedSignatures(material)), ...forgedEncodings(material), ...forgedClaims(material)];
}

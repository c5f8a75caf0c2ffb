import { forgedClaims } from './forged-claims.js';
import { forgedEncodings } from './forged-encodings.js';
import { forgedSignatures } from './forged-signatures.js';
import { type ForgedToken, type ForgeryMaterial, forgeryMaterial } from './forged-token.js';
import type { TestIssuer, TestTokenOptions } from './test-issuer.js';

/**
 * Forges about two hundred tokens that look like an accepted one of the issuer. A guard must refuse all of them. Each
 * comes with a description of its attack.
 *
 * @param accepted A token that the guard accepts, of a client that it knows.
 */
export async function forgedTokens(issuer: TestIssuer, accepted: TestTokenOptions): Promise<ForgedToken[]> {
  return forgedFrom(await forgeryMaterial(issuer, accepted));
}

/** Forges tokens from a basis, which holds the accepted token. */
export async function forgedFrom(material: ForgeryMaterial): Promise<ForgedToken[]> {
  return [...(await forgedSignatures(material)), ...forgedEncodings(material), ...forgedClaims(material)];
}

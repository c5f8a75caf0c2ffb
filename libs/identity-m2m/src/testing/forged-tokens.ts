import { forgedClaims } from './forged-claims.js';
import { forgedEncodings } from './forged-encodings.js';
import { forgedSignatures } from './forged-signatures.js';
import { type ForgedToken, type ForgeryMaterial, forgeryMaterial } from './forged-token.js';
import type { TestIssuer, TestTokenOptions } from './test-issuer.js';

/**
 * Forges about two hundred tokens that look like an accepted token of the issuer. A guard must refuse every one. Each
 * comes with a description of its attack.
 *
 * @param accepted Options of a token that the guard accepts.
 */
export async function forgedTokens(issuer: TestIssuer, accepted: TestTokenOptions): Promise<ForgedToken[]> {
  return forgedFrom(await forgeryMaterial(issuer, accepted));
}

/** Forges tokens from this material. */
export async function forgedFrom(material: ForgeryMaterial): Promise<ForgedToken[]> {
  return [...(await forgedSignatures(material)), ...forgedEncodings(material), ...forgedClaims(material)];
}

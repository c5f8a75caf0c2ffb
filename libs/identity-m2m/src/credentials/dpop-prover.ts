import { createHash, randomUUID } from 'node:crypto';
import { type CryptoKey, exportJWK, generateKeyPair, type JWK, SignJWT } from 'jose';
import { BoundedMap } from '../foundation/bounded-map.js';
import type { Clock } from '../foundation/clock.js';

/** Algorithms for proofs of possession (RFC 9449 §4.2 allows only asymmetric ones). */
export const DPOP_ALGORITHMS = ['ES256', 'ES384', 'ES512', 'EdDSA', 'RS256', 'PS256'] as const;

export type DpopAlgorithm = (typeof DPOP_ALGORITHMS)[number];

/** Maximum number of servers whose nonce is kept. */
const MAX_NONCES = 100;

interface ProofKey {
  readonly privateKey: CryptoKey;
  readonly publicJwk: JWK;
}

/** A call that needs a proof. */
export interface ProvenCall {
  /** HTTP method, as it is sent. */
  readonly method: string;
  readonly url: string;
  /** The token that the call carries; undefined for a token request. */
  readonly accessToken?: string | undefined;
}

/**
 * Proves for each call that the client holds the key that its tokens are bound to (RFC 9449). A stolen token is useless
 * without that key.
 *
 * The prover creates the key when it is first needed; it never leaves this process. Nonces are kept per origin, from
 * any response that has one.
 */
export class DpopProver {
  #key: Promise<ProofKey> | undefined;
  /** By origin. */
  readonly #nonces = new BoundedMap<string>({ maxEntries: MAX_NONCES });

  constructor(
    private readonly algorithm: DpopAlgorithm,
    private readonly clock: Clock,
  ) {}

  /** Returns the `DPoP` header of a call. Send it once: servers reject a proof that they have seen before. */
  async proof({ method, url, accessToken }: ProvenCall): Promise<string> {
    const { privateKey, publicJwk } = await this.#proofKey();
    const { origin, pathname } = new URL(url);
    const nonce = this.#nonces.get(origin);
    return new SignJWT({
      jti: randomUUID(),
      htm: method,
      htu: `${origin}${pathname}`,
      iat: Math.floor(this.clock.now().wallMs / 1000),
      ...(nonce !== undefined && { nonce }),
      ...(accessToken !== undefined && { ath: createHash('sha256').update(accessToken).digest('base64url') }),
    })
      .setProtectedHeader({ typ: 'dpop+jwt', alg: this.algorithm, jwk: publicJwk })
      .sign(privateKey);
  }

  /** Keeps the nonce of a response (RFC 9449 §8, §9). Returns whether it is a new one. */
  learnNonce(url: string, nonce: string | null | undefined): boolean {
    // RFC 9449 §8.1 sets no limit; this one leaves room for the other headers.
    if (!nonce || nonce.length > 1024) return false;
    const { origin } = new URL(url);
    const isNew = this.#nonces.get(origin) !== nonce;
    this.#nonces.set(origin, nonce);
    return isNew;
  }

  #proofKey(): Promise<ProofKey> {
    this.#key ??= makeKey(this.algorithm);
    return this.#key;
  }
}

async function makeKey(algorithm: DpopAlgorithm): Promise<ProofKey> {
  const { publicKey, privateKey } = await generateKeyPair(algorithm);
  return { privateKey, publicJwk: await exportJWK(publicKey) };
}

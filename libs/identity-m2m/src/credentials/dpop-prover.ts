import { createHash, randomUUID } from 'node:crypto';
import { type CryptoKey, exportJWK, generateKeyPair, type JWK, SignJWT } from 'jose';
import type { Clock } from '../foundation/clock.js';

/** Algorithms for proofs of possession (RFC 9449 §4.2: asymmetric ones only). */
export const DPOP_ALGORITHMS = ['ES256', 'ES384', 'ES512', 'EdDSA', 'RS256', 'PS256'] as const;

export type DpopAlgorithm = (typeof DPOP_ALGORITHMS)[number];

/** Most servers whose nonces are remembered. */
const MAX_NONCES = 100;

interface ProofKey {
  readonly privateKey: CryptoKey;
  readonly publicJwk: JWK;
}

/** A call that a proof is made for. */
export interface ProvenCall {
  /** HTTP method, as it is sent. */
  readonly method: string;
  readonly url: string;
  /** The token that the call carries; undefined for a token request. */
  readonly accessToken?: string | undefined;
}

/**
 * Proves, call by call, that the client holds the key that its tokens are bound to (RFC 9449): a stolen token is of no use
 * without it.
 *
 * The key is made for this process when it is first needed, and never leaves it. Nonces are kept for each origin, from
 * whichever answer brings one.
 */
export class DpopProver {
  #key: Promise<ProofKey> | undefined;
  /** By origin; in the order of their arrival. */
  readonly #nonces = new Map<string, string>();

  constructor(
    private readonly algorithm: DpopAlgorithm,
    private readonly clock: Clock,
  ) {}

  /** The value for the `DPoP` header of a call. New for each sending: servers refuse one that they have seen. */
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

  /**
   * Remembers the nonce of an answer (RFC 9449 §8, §9).
   *
   * @returns Whether it is another one than before.
   */
  learnNonce(url: string, nonce: string | null | undefined): boolean {
    // RFC 9449 §8.1 allows any printable text; a length keeps it out of the way of other headers.
    if (!nonce || nonce.length > 1024) return false;
    const { origin } = new URL(url);
    const isNew = this.#nonces.get(origin) !== nonce;
    this.#nonces.delete(origin);
    this.#nonces.set(origin, nonce);
    if (this.#nonces.size > MAX_NONCES) this.#nonces.delete(this.#nonces.keys().next().value!);
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

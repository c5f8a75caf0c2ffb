import { z } from 'zod';

const base64url = z.string().regex(/^[A-Za-z0-9_-]{1,1024}$/, 'base64url is wanted');

/** What every key may have beside its numbers. */
const common = {
  kid: z.string().min(1).max(128).optional(),
  alg: z.string().max(16).optional(),
  use: z.literal('sig').optional(),
  key_ops: z.tuple([z.literal('verify')]).optional(),
};

/** A public key (RFC 7517). Strict, so that a private one is refused instead of kept. */
const publicKey = z.discriminatedUnion('kty', [
  z.strictObject({ kty: z.literal('RSA'), n: base64url, e: base64url, ...common }),
  z.strictObject({
    kty: z.literal('EC'),
    crv: z.enum(['P-256', 'P-384', 'P-521']),
    x: base64url,
    y: base64url,
    ...common,
  }),
  z.strictObject({ kty: z.literal('OKP'), crv: z.literal('Ed25519'), x: base64url, ...common }),
]);

/** The public keys of a client (RFC 7591, section 2, `jwks`), during a rotation several of them. */
export const publicKeySet = z.strictObject({ keys: z.array(publicKey).max(10) });

export type PublicKeySet = z.output<typeof publicKeySet>;

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

const permission = z.strictObject({
  /** Has the Run permission on the application. */
  run: z.boolean().default(true),
  /** Is on the application's list of allowed clients. */
  allowedClient: z.boolean().default(true),
  /** The scopes this client may have. Default: all that the application knows. */
  scopes: z.array(z.string()).optional(),
});

/** A service user: an OAuth confidential client, whose login name is the client id and whose password the secret. */
export const serviceUserConfiguration = z
  .strictObject({
    loginName: z.string().regex(/^[^\s@]+@[^\s@]+$/, 'a login name is written name@suffix'),
    description: z.string().optional(),
    secret: z.string().min(1).optional(),
    /**
     * Not of CyberArk Identity: public keys of a client that proves itself by private key JWT. With a list that is empty
     * it gets its keys through the admin API.
     */
    jwks: publicKeySet.optional(),
    /** Either right lets the service user read and change other users. */
    rights: z.array(z.enum(['System Administrator', 'User Management'])).default([]),
    /** By Application ID. On an application that is not here, the service user is no allowed client. */
    applications: z.record(z.string(), permission).default({}),
  })
  .refine(({ secret, jwks }) => secret !== undefined || jwks !== undefined, {
    path: ['secret'],
    error: 'a service user needs a secret, or jwks in its place',
  });

export type ServiceUserConfiguration = z.output<typeof serviceUserConfiguration>;

import { z } from 'zod';

const base64url = z.string().regex(/^[A-Za-z0-9_-]{1,1024}$/, 'expected base64url');

/** Optional members of every key. */
const common = {
  kid: z.string().min(1).max(128).optional(),
  alg: z.string().max(16).optional(),
  use: z.literal('sig').optional(),
  key_ops: z.tuple([z.literal('verify')]).optional(),
};

/** A public key (RFC 7517). Strict: a private key is rejected, not stored. */
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

/** The public keys of a client (RFC 7591, section 2, `jwks`); several during a rotation. */
export const publicKeySet = z.strictObject({ keys: z.array(publicKey).max(10) });

export type PublicKeySet = z.output<typeof publicKeySet>;

const permission = z.strictObject({
  /** True if the user has the Run permission on the application. */
  run: z.boolean().default(true),
  /** True if the user is on the application's list of allowed clients. */
  allowedClient: z.boolean().default(true),
  /** Scopes that the client may get. Default: all scopes of the application. */
  scopes: z.array(z.string()).optional(),
});

/** A service user: an OAuth confidential client. Its login name is the client id, its password the client secret. */
export const serviceUserConfiguration = z
  .strictObject({
    loginName: z.string().regex(/^[^\s@]+@[^\s@]+$/, 'expected a login name name@suffix'),
    description: z.string().optional(),
    secret: z.string().min(1).optional(),
    /**
     * Not a feature of CyberArk Identity: public keys of a client that authenticates by private key JWT. Leave the list
     * empty to register the keys through the admin API.
     */
    jwks: publicKeySet.optional(),
    /** Each of the two rights allows the service user to read and change other users. */
    rights: z.array(z.enum(['System Administrator', 'User Management'])).default([]),
    /** Permissions by Application ID. The service user is not an allowed client of any other application. */
    applications: z.record(z.string(), permission).default({}),
  })
  .refine(({ secret, jwks }) => secret !== undefined || jwks !== undefined, {
    path: ['secret'],
    error: 'a service user needs a secret or jwks',
  });

export type ServiceUserConfiguration = z.output<typeof serviceUserConfiguration>;

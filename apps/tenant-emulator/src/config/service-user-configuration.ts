import { z } from 'zod';
import { publicKeySet } from './public-key-set.js';

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

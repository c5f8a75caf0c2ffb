import { z } from 'zod';
import { type ClientAuthentication, noClientAuthentication } from '../credentials/client-authentication.js';
import {
  CLIENT_SECRET_METHODS,
  clientSecretAuthentication,
  type ClientSecretMethod,
  HMAC_SECRET_BYTES,
  isHmacSecret,
} from '../credentials/client-secret-authentication.js';
import { clientCredentials, type TokenGrant } from '../credentials/token-grant.js';
import { field, type OptionFault, shownField } from '../foundation/option-check.js';
import { isSecretInput, type SecretInput, toSecretSource } from '../foundation/secret-source.js';
import { strayCharacters, withoutStrayCharacters } from '../foundation/text.js';
import type { IdentityProvider } from '../identity-providers/identity-provider.js';

/** How a client authenticates, and with which grant it requests tokens. */
export interface CredentialOptions {
  /**
   * Client secret: a string, a function that fetches it, or a source such as `fromEnv('NAME')` or `fromFile('/path')`.
   * The client reads it for each token request. For a rotation, pass `{ current, next }`: the client tries `next` when
   * the identity provider rejects `current`; it need not exist yet. Required if the client authentication uses a
   * secret.
   */
  readonly clientSecret?: SecretInput | { readonly current: SecretInput; readonly next?: SecretInput };

  /**
   * How the client authenticates: the name of a method that uses the secret, `privateKeyJwt(…)`, `tlsClientAuth(…)`,
   * `selfSignedTlsClientAuth(…)`, `federatedAssertion(…)`, or `none`. Default: the secret, by the method of the preset.
   * The client tries no other method, because each wrong one counts as a failed login.
   */
  readonly clientAuthentication?: ClientSecretMethod | 'none' | ClientAuthentication;

  /** Grant of the token requests. Default: client credentials (RFC 6749 §4.4). Other grants: `jwtBearer(…)`. */
  readonly grant?: TokenGrant;
}

/** Credential options, with the other client options that they depend on. */
type ClientCredentials = CredentialOptions & { readonly identityProvider: IdentityProvider; readonly clientId: string };

const SECRET = "a secret: a string, a function, or a source such as fromEnv('NAME')";

/** A secret in any of its forms. */
export const secret = field<SecretInput>(SECRET, isSecretInput);

/** Schema of {@link CredentialOptions}, field by field. */
export const credentialFields = {
  clientSecret: z
    .union([secret, z.strictObject({ current: secret, next: secret.optional() })], {
      error: `${SECRET}; or { current, next }`,
    })
    .optional(),
  clientAuthentication: shownField<unknown>(
    `one of ${[...CLIENT_SECRET_METHODS, 'none'].map((method) => `'${method}'`).join(', ')}; or privateKeyJwt({ … }), tlsClientAuth({ … }) or another authentication`,
    (value) => isMethodName(value) || isAuthentication(value),
  ).optional(),
  grant: field<TokenGrant>(
    'jwtBearer(…)',
    (value) => typeof value === 'object' && value !== null && 'grantType' in value && 'fault' in value,
  ).optional(),
};

/** Whether a value names a method that needs only a secret, or nothing. */
function isMethodName(value: unknown): value is ClientSecretMethod | 'none' {
  return value === 'none' || CLIENT_SECRET_METHODS.some((method) => method === value);
}

function isAuthentication(value: unknown): value is ClientAuthentication {
  return typeof value === 'object' && value !== null && 'credentials' in value && 'fault' in value;
}

/** Returns the client authentication that the options describe. */
export function authenticationOf({
  clientAuthentication,
  clientSecret,
  identityProvider,
}: ClientCredentials): ClientAuthentication {
  if (isAuthentication(clientAuthentication)) return clientAuthentication;
  if (clientAuthentication === 'none') return noClientAuthentication();
  const { current, next } = isSecretInput(clientSecret) ? { current: clientSecret } : (clientSecret ?? { current: '' });
  return clientSecretAuthentication(
    clientAuthentication ?? identityProvider.clientSecretMethod,
    toSecretSource(current),
    next === undefined ? undefined : toSecretSource(next),
  );
}

/**
 * Returns what is invalid in the secret by itself.
 *
 * @param usual Method that sends the secret if the options name none. The default applies only if the identity provider
 * itself is invalid: each preset has a method that needs a secret.
 */
export function secretFaults(
  { clientAuthentication, clientSecret }: CredentialOptions,
  root: string,
  usual: ClientSecretMethod = 'client_secret_basic',
): OptionFault[] {
  const path = `${root}.clientSecret`;
  const method = isAuthentication(clientAuthentication) ? undefined : (clientAuthentication ?? usual);
  if (clientSecret === undefined) {
    return method === undefined || method === 'none' ? [] : [{ path, expected: SECRET, found: 'nothing' }];
  }
  return fixedSecrets(clientSecret).flatMap((text) => strayCharacterFaults(text, path));
}

/** Returns whether copying has added characters to a secret that is a literal string. */
export function strayCharacterFaults(text: string, path: string): OptionFault[] {
  if (withoutStrayCharacters(text) === text) return [];
  const expected = 'a secret without a leading byte order mark or trailing line breaks';
  return [{ path, expected, found: `a string that ${strayCharacters(text)}` }];
}

/** Returns which credentials can't be used or contradict each other. */
export function credentialFaults(options: ClientCredentials, root: string): OptionFault[] {
  const { clientAuthentication, clientSecret, clientId, grant, identityProvider } = options;
  const method = isAuthentication(clientAuthentication)
    ? undefined
    : (clientAuthentication ?? identityProvider.clientSecretMethod);
  const usesSecret = method !== undefined && method !== 'none';
  if (usesSecret && clientSecret === undefined) return [];
  const faults: OptionFault[] = [];
  if (!usesSecret && clientSecret !== undefined) {
    const expected = 'nothing, because the client authentication uses no secret';
    faults.push({ path: `${root}.clientSecret`, expected, found: 'a secret' });
  }
  if (method === 'client_secret_jwt' && fixedSecrets(clientSecret).some((text) => !isHmacSecret(text))) {
    const expected = `a secret of at least ${HMAC_SECRET_BYTES} bytes, because client_secret_jwt signs with it`;
    faults.push({ path: `${root}.clientSecret`, expected, found: 'a shorter string' });
  }
  const found = authenticationOf(options).fault();
  if (found !== undefined) {
    const path = usesSecret ? `${root}.clientSecret` : `${root}.clientAuthentication`;
    faults.push({ path, expected: usesSecret ? 'a secret' : 'usable credentials', found });
  }
  if (method === 'none' && (grant ?? clientCredentials).grantType === clientCredentials.grantType) {
    const expected = 'a method that authenticates the client, because the client credentials grant requires one';
    faults.push({ path: `${root}.clientAuthentication`, expected, found: "'none'" });
  }
  const grantFault = grant?.fault();
  if (grantFault !== undefined) faults.push({ path: `${root}.grant`, expected: 'an assertion', found: grantFault });
  if (method === 'client_secret_basic_raw' && clientId.includes(':')) {
    faults.push({
      path: `${root}.clientAuthentication`,
      expected: "'client_secret_post', because in raw Basic a colon ends the clientId",
      found: "'client_secret_basic_raw', and a clientId with a colon",
    });
  }
  return faults;
}

/** Returns the secrets that are literal strings in the options. */
function fixedSecrets(secret: CredentialOptions['clientSecret']): string[] {
  const inputs = typeof secret === 'object' && 'current' in secret ? [secret.current, secret.next] : [secret];
  return inputs.filter((input) => typeof input === 'string');
}

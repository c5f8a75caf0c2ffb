import {
  type ClientSecretMethod,
  HMAC_SECRET_BYTES,
  isHmacSecret,
} from '../credentials/client-secret-authentication.js';
import { clientCredentials } from '../credentials/signed-assertion.js';
import { type OptionFault, optionFaults } from '../foundation/option-check.js';
import { printableText, strayCharacters, withoutStrayCharacters } from '../foundation/text.js';
import { urlFault, allowedPlainHttp } from '../foundation/url.js';
import { describeAddress } from '../identity-providers/preset-options.js';
import { originRuleFault, AllowedOrigins, ruleUrl } from '../token/allowed-origins.js';
import { parameterFault } from '../token/token-parameters.js';
import {
  authenticationOf,
  allowedOriginsOf,
  type ClientOptions,
  clientSchema,
  isAuthentication,
  SECRET,
} from './client-options.js';
import { identityProviderFaults } from './identity-provider-faults.js';
import { placeOf } from './option-places.js';
import { tokenRequestHeadersFaults } from './request-headers.js';

/** What is wrong with a client's options, every wrong field at once. */
export function clientFaults(options: ClientOptions, root: string, production: boolean): OptionFault[] {
  const faults = optionFaults(clientSchema, options, root, placeOf);
  // What goes beyond the form of a field is judged only where its form is right.
  const isSound = (...fields: (keyof ClientOptions)[]) =>
    !faults.some(({ path }) => path === root || fields.some((field) => path.startsWith(`${root}.${field}`)));
  return [
    ...faults,
    ...(isSound('identityProvider', 'unsafeAllowHttp') ? providerFaults(options, root, production) : []),
    ...(isSound('allowedOrigins', 'unsafeAllowHttp') ? originsFaults(options, root, production) : []),
    ...(isSound('identityProvider', 'allowedOrigins', 'http') ? baseUrlFaults(options, root) : []),
    ...(isSound('clientSecret', 'clientAuthentication')
      ? secretFaults(
          options,
          root,
          isSound('identityProvider') ? options.identityProvider.clientSecretMethod : undefined,
        )
      : []),
    ...(isSound('identityProvider', 'clientId', 'clientSecret', 'clientAuthentication', 'grant')
      ? credentialFaults(options, root)
      : []),
    ...(isSound('tokenHeader', 'dpop') ? tokenHeaderFaults(options, root) : []),
    ...(isSound('parameters') ? parametersFaults(options, root) : []),
    ...(isSound('tokenRequestHeaders')
      ? tokenRequestHeadersFaults(options.tokenRequestHeaders ?? {}, `${root}.tokenRequestHeaders`)
      : []),
    ...(isSound('identityProvider', 'revokeOnShutdown') ? revocationFaults(options, root) : []),
  ];
}

function providerFaults(options: ClientOptions, root: string, production: boolean): OptionFault[] {
  const plainHttp = allowedPlainHttp(options.unsafeAllowHttp, production);
  const { identityProvider } = options;
  const path = `${root}.identityProvider`;
  return [
    ...identityProviderFaults(identityProvider, 'client', path, plainHttp),
    ...tokenRequestHeadersFaults(identityProvider.tokenRequestHeaders, `${path}.tokenRequestHeaders`),
  ];
}

function originsFaults(options: ClientOptions, root: string, production: boolean): OptionFault[] {
  const plainHttp = allowedPlainHttp(options.unsafeAllowHttp, production);
  return (options.allowedOrigins ?? []).flatMap((rule, index) => {
    const fault = originRuleFault(rule);
    const isPlain = fault === undefined && urlFault(ruleUrl(rule), plainHttp) === 'plain_http';
    if (fault === undefined && !isPlain) return [];
    const expected = isPlain
      ? 'an https origin (plain http is for loopback, and not for production; see unsafeAllowHttp)'
      : `an origin, with a path or not, such as https://billing.example (this has ${fault})`;
    return [{ path: `${root}.allowedOrigins[${index}]`, expected, found: describeAddress(rule) }];
  });
}

function baseUrlFaults(options: ClientOptions, root: string): OptionFault[] {
  const baseUrl = options.http?.baseURL;
  if (baseUrl === undefined || new AllowedOrigins(allowedOriginsOf(options)).allows(baseUrl)) return [];
  const expected = `a URL of a place that the token is bound to; add its origin to ${root}.allowedOrigins`;
  return [{ path: `${root}.http.baseURL`, expected, found: describeAddress(baseUrl) }];
}

/** Nobody would notice that tokens are not revoked. */
function revocationFaults({ identityProvider, revokeOnShutdown }: ClientOptions, root: string): OptionFault[] {
  const { tokenEndpoint, revocationEndpoint } = identityProvider;
  if (revokeOnShutdown !== true || tokenEndpoint === undefined || revocationEndpoint !== undefined) return [];
  const expected = 'false, or an identity provider with a revocationEndpoint beside its tokenEndpoint';
  return [{ path: `${root}.revokeOnShutdown`, expected, found: 'true' }];
}

/** RFC 9449 §7.1: the scheme of a token that is bound to a key tells the receiver to ask for the proof. */
function tokenHeaderFaults({ tokenHeader, dpop }: ClientOptions, root: string): OptionFault[] {
  if (!dpop || tokenHeader?.scheme === undefined) return [];
  const expected = 'nothing, because tokens with dpop have the scheme DPoP';
  return [{ path: `${root}.tokenHeader.scheme`, expected, found: 'a scheme' }];
}

/** Each wrong parameter by its name. */
function parametersFaults({ parameters = {} }: ClientOptions, root: string): OptionFault[] {
  return Object.entries(parameters).flatMap(([name, value]: [string, unknown]) => {
    const expected = parameterFault(name, value);
    const path = `${root}.parameters.${printableText(name, 60)}`;
    return expected === undefined
      ? []
      : [{ path, expected, found: typeof value === 'string' ? 'a text' : typeof value }];
  });
}

/**
 * What is wrong with the secret by itself, whatever else is wrong.
 *
 * @param usual How a secret is sent where the client does not say; undefined where the identity provider is wrong. Every
 * preset sends one.
 */
function secretFaults(
  { clientAuthentication, clientSecret }: ClientOptions,
  root: string,
  usual: ClientSecretMethod = 'client_secret_basic',
): OptionFault[] {
  const path = `${root}.clientSecret`;
  const method = isAuthentication(clientAuthentication) ? undefined : (clientAuthentication ?? usual);
  if (clientSecret === undefined) {
    return method === undefined || method === 'none' ? [] : [{ path, expected: SECRET, found: 'nothing' }];
  }
  return fixedTexts(clientSecret).flatMap((text) => {
    const clean = withoutStrayCharacters(text);
    if (clean === text) return [];
    const expected = 'a secret without a byte order mark and without line breaks at its end';
    return [{ path, expected, found: `a text that ${strayCharacters(text)}` }];
  });
}

function credentialFaults(options: ClientOptions, root: string): OptionFault[] {
  const { clientAuthentication, clientSecret, clientId, grant = clientCredentials, identityProvider } = options;
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
  if (method === 'client_secret_jwt' && fixedTexts(clientSecret).some((text) => !isHmacSecret(text))) {
    const expected = `a secret of ${HMAC_SECRET_BYTES} bytes or more, because client_secret_jwt signs with it`;
    faults.push({ path: `${root}.clientSecret`, expected, found: 'a shorter text' });
  }
  const found = authenticationOf(options).fault();
  if (found !== undefined) {
    const path = usesSecret ? `${root}.clientSecret` : `${root}.clientAuthentication`;
    faults.push({ path, expected: usesSecret ? 'a secret' : 'credentials that can be used', found });
  }
  if (method === 'none' && grant.grantType === clientCredentials.grantType) {
    const expected = 'a way to prove the client, because it asks for tokens with its own credentials';
    faults.push({ path: `${root}.clientAuthentication`, expected, found: "'none'" });
  }
  const grantFault = grant.fault();
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

function fixedTexts(secret: ClientOptions['clientSecret']): string[] {
  const inputs = typeof secret === 'object' && 'current' in secret ? [secret.current, secret.next] : [secret];
  return inputs.filter((input) => typeof input === 'string');
}

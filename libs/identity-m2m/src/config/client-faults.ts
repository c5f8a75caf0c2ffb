import { HMAC_SECRET_BYTES, isHmacSecret } from '../credentials/client-secret-authentication.js';
import { clientCredentials } from '../credentials/token-grant.js';
import type { OptionFault } from '../foundation/option-fault.js';
import { optionFaults } from '../foundation/option-faults.js';
import { urlFault } from '../foundation/secure-url.js';
import { describeAddress } from '../identity-providers/address-fault.js';
import { bindingRuleFault, OriginBinding, ruleUrl } from '../token/origin-binding.js';
import { authenticationOf, bindingOf } from './client-configuration.js';
import type { ClientOptions } from './client-options.js';
import { clientSchema, isAuthentication, SECRET } from './client-schema.js';
import { httpAllowance } from './http-allowance.js';
import { identityProviderFaults } from './identity-provider-faults.js';

/** What is wrong with a client's options, every wrong field at once. */
export function clientFaults(options: ClientOptions, root: string, production: boolean): OptionFault[] {
  const faults = optionFaults(clientSchema, options, root);
  // What goes beyond the form of a field is judged only where its form is right.
  const isSound = (...fields: (keyof ClientOptions)[]) =>
    !faults.some(({ path }) => path === root || fields.some((field) => path.startsWith(`${root}.${field}`)));
  return [
    ...faults,
    ...(isSound('identityProvider', 'unsafeAllowHttp') ? providerFaults(options, root, production) : []),
    ...(isSound('origins', 'unsafeAllowHttp') ? originsFaults(options, root, production) : []),
    ...(isSound('identityProvider', 'origins', 'http') ? baseUrlFaults(options, root) : []),
    ...(isSound('identityProvider', 'clientId', 'clientSecret', 'clientAuthentication', 'grant')
      ? credentialFaults(options, root)
      : []),
    ...(isSound('identityProvider', 'revokeOnShutdown') ? revocationFaults(options, root) : []),
  ];
}

function providerFaults(options: ClientOptions, root: string, production: boolean): OptionFault[] {
  const http = httpAllowance(options.unsafeAllowHttp, production);
  return identityProviderFaults(options.identityProvider, `${root}.identityProvider`, http);
}

function originsFaults(options: ClientOptions, root: string, production: boolean): OptionFault[] {
  const http = httpAllowance(options.unsafeAllowHttp, production);
  return (options.origins ?? []).flatMap((rule, index) => {
    const fault = bindingRuleFault(rule);
    const isPlain = fault === undefined && urlFault(ruleUrl(rule), http) === 'plain_http';
    if (fault === undefined && !isPlain) return [];
    const expected = isPlain
      ? 'an https origin (plain http is for loopback, and not for production; see unsafeAllowHttp)'
      : `an origin, with a path or not, such as https://billing.example (this has ${fault})`;
    return [{ path: `${root}.origins[${index}]`, expected, found: describeAddress(rule) }];
  });
}

function baseUrlFaults(options: ClientOptions, root: string): OptionFault[] {
  const baseUrl = options.http?.baseURL;
  if (baseUrl === undefined || new OriginBinding(bindingOf(options)).allows(baseUrl)) return [];
  const expected = `a URL of a place that the token is bound to; add its origin to ${root}.origins`;
  return [{ path: `${root}.http.baseURL`, expected, found: describeAddress(baseUrl) }];
}

/** Nobody would notice that tokens are not revoked. */
function revocationFaults({ identityProvider, revokeOnShutdown }: ClientOptions, root: string): OptionFault[] {
  const { tokenEndpoint, revocationEndpoint } = identityProvider;
  if (revokeOnShutdown !== true || tokenEndpoint === undefined || revocationEndpoint !== undefined) return [];
  const expected = 'false, or an identity provider with a revocationEndpoint beside its tokenEndpoint';
  return [{ path: `${root}.revokeOnShutdown`, expected, found: 'true' }];
}

function credentialFaults(options: ClientOptions, root: string): OptionFault[] {
  const { clientAuthentication, clientSecret, clientId, grant = clientCredentials, identityProvider } = options;
  const method = isAuthentication(clientAuthentication)
    ? undefined
    : (clientAuthentication ?? identityProvider.clientSecretMethod);
  const usesSecret = method !== undefined && method !== 'none';
  if (usesSecret && clientSecret === undefined) {
    return [{ path: `${root}.clientSecret`, expected: SECRET, found: 'nothing' }];
  }
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

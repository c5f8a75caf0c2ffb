import { areSound, type OptionFault, optionFaults } from '../foundation/option-check.js';
import { printableText } from '../foundation/text.js';
import { allowedPlainHttp, type PlainHttp, urlFault } from '../foundation/url.js';
import { describeAddress } from '../identity-providers/preset-options.js';
import { AllowedOrigins, originRuleFault, ruleUrl } from '../token/allowed-origins.js';
import { parameterFault } from '../token/token-parameters.js';
import { allowedOriginsOf, type ClientOptions, clientSchema } from './client-options.js';
import { credentialFaults, secretFaults } from './credential-options.js';
import { tokenRequestHeadersFaults } from './headers.js';
import { identityProviderFaults } from './identity-provider-faults.js';

/**
 * Returns every invalid option of a client.
 *
 * @param placeOf Returns where an option belongs that is not a client option.
 */
export function clientFaults(
  options: ClientOptions,
  root: string,
  production: boolean,
  placeOf: (option: string) => string | undefined,
): OptionFault[] {
  const faults = optionFaults(clientSchema, options, root, placeOf);
  // Checks beyond the schema run only on fields that the schema accepts.
  const isSound = (...fields: (keyof ClientOptions)[]) => areSound(fields, root, faults);
  const plainHttp = allowedPlainHttp(options?.unsafeAllowHttp, production);
  const found: OptionFault[] = [];
  if (isSound('identityProvider', 'unsafeAllowHttp')) found.push(...providerFaults(options, root, plainHttp));
  if (isSound('allowedOrigins', 'unsafeAllowHttp')) found.push(...originsFaults(options, root, plainHttp));
  if (isSound('identityProvider', 'allowedOrigins', 'http')) found.push(...baseUrlFaults(options, root));
  if (isSound('clientSecret', 'clientAuthentication')) {
    const usual = isSound('identityProvider') ? options.identityProvider.clientSecretMethod : undefined;
    found.push(...secretFaults(options, root, usual));
  }
  if (isSound('identityProvider', 'clientId', 'clientSecret', 'clientAuthentication', 'grant')) {
    found.push(...credentialFaults(options, root));
  }
  if (isSound('tokenHeader', 'dpop')) found.push(...tokenHeaderFaults(options, root));
  if (isSound('parameters')) found.push(...parametersFaults(options, root));
  if (isSound('tokenRequestHeaders') && options.tokenRequestHeaders) {
    found.push(...tokenRequestHeadersFaults(options.tokenRequestHeaders, `${root}.tokenRequestHeaders`));
  }
  if (isSound('identityProvider', 'revokeOnShutdown')) found.push(...revocationFaults(options, root));
  return [...faults, ...found];
}

function providerFaults({ identityProvider }: ClientOptions, root: string, plainHttp: PlainHttp): OptionFault[] {
  const path = `${root}.identityProvider`;
  const headers = identityProvider.tokenRequestHeaders;
  return [
    ...identityProviderFaults(identityProvider, 'client', path, plainHttp),
    ...(headers ? tokenRequestHeadersFaults(headers, `${path}.tokenRequestHeaders`) : []),
  ];
}

function originsFaults({ allowedOrigins = [] }: ClientOptions, root: string, plainHttp: PlainHttp): OptionFault[] {
  return allowedOrigins.flatMap((rule, index) => {
    const fault = originRuleFault(rule);
    const isPlain = fault === undefined && urlFault(ruleUrl(rule), plainHttp) === 'plain_http';
    if (fault === undefined && !isPlain) return [];
    const expected = isPlain
      ? 'an https origin (plain http is allowed only for loopback outside production; see unsafeAllowHttp)'
      : `an origin, with or without a path, such as https://billing.example (this one ${fault})`;
    return [{ path: `${root}.allowedOrigins[${index}]`, expected, found: describeAddress(rule) }];
  });
}

function baseUrlFaults(options: ClientOptions, root: string): OptionFault[] {
  const baseUrl = options.http?.baseURL;
  // Each other entry is a fault of its own.
  const rules = allowedOriginsOf(options).filter((rule) => originRuleFault(rule) === undefined);
  if (baseUrl === undefined || new AllowedOrigins(rules).allows(baseUrl)) return [];
  const expected = `a URL that the token may be sent to; add its origin to ${root}.allowedOrigins`;
  return [{ path: `${root}.http.baseURL`, expected, found: describeAddress(baseUrl) }];
}

/** Without an endpoint, the tokens would silently not be revoked. */
function revocationFaults({ identityProvider, revokeOnShutdown }: ClientOptions, root: string): OptionFault[] {
  const { tokenEndpoint, revocationEndpoint } = identityProvider;
  if (revokeOnShutdown !== true || tokenEndpoint === undefined || revocationEndpoint !== undefined) return [];
  const expected = 'false, or an identity provider with a revocationEndpoint beside its tokenEndpoint';
  return [{ path: `${root}.revokeOnShutdown`, expected, found: 'true' }];
}

/** RFC 9449 §7.1: the scheme of a bound token makes the API ask for the proof. */
function tokenHeaderFaults({ tokenHeader, dpop }: ClientOptions, root: string): OptionFault[] {
  if (!dpop || tokenHeader?.scheme === undefined) return [];
  const expected = 'nothing, because tokens with dpop have the scheme DPoP';
  return [{ path: `${root}.tokenHeader.scheme`, expected, found: 'a scheme' }];
}

function parametersFaults({ parameters = {} }: ClientOptions, root: string): OptionFault[] {
  return Object.entries(parameters).flatMap(([name, value]: [string, unknown]) => {
    const expected = parameterFault(name, value);
    if (expected === undefined) return [];
    const path = `${root}.parameters.${printableText(name, 60)}`;
    return [{ path, expected, found: typeof value === 'string' ? 'a string' : typeof value }];
  });
}

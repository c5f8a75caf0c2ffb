import { z } from 'zod';
import type { ClientAuthentication } from '../credentials/client-authentication.js';
import { CLIENT_SECRET_METHODS, type ClientSecretMethod } from '../credentials/client-secret-authentication.js';
import { DPOP_ALGORITHMS } from '../credentials/dpop-prover.js';
import { isSecretInput, type SecretInput } from '../credentials/secret-source.js';
import type { TokenGrant } from '../credentials/token-grant.js';
import {
  aFunction,
  anAgent,
  certificateAuthorities,
  cleanText,
  field,
  flag,
  oneOf,
  quantity,
  text,
  textOrTexts,
  texts,
} from '../foundation/option-field.js';
import { strayCharacters } from '../foundation/stray-characters.js';
import { isScopeName } from '../foundation/scope-name.js';
import { START_MODES } from '../foundation/start-mode.js';
import type { TokenRejection } from '../token/token-rejection.js';
import { identityProvider } from './identity-provider-field.js';
import { isHeaderName, isReservedHeader } from './header-names.js';
import { parseUrl } from '../foundation/parse-url.js';

/** What a secret is, in words. */
export const SECRET = "a secret: a text, a function, or a source such as fromEnv('NAME')";

const secret = field<SecretInput>(SECRET, isSecretInput);

/** The form of a client's options, field by field. */
export const clientSchema = z.strictObject({
  identityProvider,
  clientId: cleanText('a client identifier'),
  clientSecret: z
    .union([secret, z.strictObject({ current: secret, next: secret.optional() })], {
      error: `${SECRET}; or { current, next }`,
    })
    .optional(),
  clientAuthentication: field<unknown>(
    `one of ${[...CLIENT_SECRET_METHODS, 'none'].map((method) => `'${method}'`).join(', ')}, or privateKeyJwt({ … }) and the like`,
    (value) => isMethodName(value) || isAuthentication(value),
  ).optional(),
  grant: field<TokenGrant>(
    'jwtBearer(…)',
    (value) => typeof value === 'object' && value !== null && 'grantType' in value && 'fault' in value,
  ).optional(),
  dpop: z
    .union([flag, z.strictObject({ algorithm: oneOf(DPOP_ALGORITHMS) })], {
      error: `true, false, or { algorithm } with one of ${DPOP_ALGORITHMS.join(', ')}`,
    })
    .optional(),
  tokenHeader: z
    .strictObject({
      name: field<string>(
        'the name of a header that HTTP itself does not set, such as X-Access-Token',
        (value) => typeof value === 'string' && isHeaderName(value) && !isReservedHeader(value),
      ).optional(),
      scheme: field<string>(
        'a scheme (RFC 9110 §11.1), or an empty string',
        (value) => typeof value === 'string' && (value === '' || isHeaderName(value)),
      ).optional(),
    })
    .optional(),
  agent: anAgent.optional(),
  ca: certificateAuthorities.optional(),
  tokenRequestFormat: oneOf(['form', 'json']).optional(),
  tokenRequestHeaders: field<object>('an object of header values by their names', isRecord).optional(),
  scope: textOrTexts('a scope, or a list of scopes', isScope).optional(),
  audience: cleanText('an audience').optional(),
  resource: textOrTexts('an absolute URI without fragment, or a list of them', isResource).optional(),
  // What is in these two is judged one by one.
  parameters: field<object>('an object of strings', isRecord).optional(),
  origins: texts('a list of origins, such as https://billing.example').optional(),
  http: z
    .looseObject({
      baseURL: text('an absolute URL').optional(),
      transitional: field<object>(
        'transitional options that leave the order of interceptors as it is: the token is put on last',
        (value) => (value as { legacyInterceptorReqResOrdering?: boolean }).legacyInterceptorReqResOrdering !== false,
      ).optional(),
    })
    .optional(),
  start: oneOf(START_MODES).optional(),
  startTimeoutMs: quantity('milliseconds', 1, 3600_000).optional(),
  startSpreadMs: quantity('milliseconds', 0, 3600_000).optional(),
  acquireTimeoutMs: quantity('milliseconds', 1, 600_000).optional(),
  tokenRequestTimeoutMs: quantity('milliseconds', 1, 600_000).optional(),
  refresh: z
    .strictObject({
      skewSeconds: quantity('seconds', 0, 3600).optional(),
      outageBudgetSeconds: quantity('seconds', 0, 86_400).optional(),
    })
    .optional(),
  keepWarm: flag.optional(),
  quarantine: z
    .strictObject({
      maxRefusals: quantity('refusals', 1, 1000).optional(),
      probeSeconds: quantity('seconds', 0, 604_800).optional(),
    })
    .optional(),
  readTokenResponse: aFunction('a function of the answer').optional(),
  maxTokens: quantity('tokens', 2, 100_000).optional(),
  maxReplayBytes: quantity('bytes', 0, Number.MAX_SAFE_INTEGER).optional(),
  isTokenRejected: field<TokenRejection>(
    'a list of 401, 403 or both, or a function of the answer',
    (value) => typeof value === 'function' || isRejectionStatuses(value),
  ).optional(),
  revokeOnShutdown: flag.optional(),
  unsafeAllowHttp: flag.optional(),
  unsafeExpiredTokenGraceSeconds: quantity('seconds', 0, 600).optional(),
});

function isRejectionStatuses(value: unknown): boolean {
  return Array.isArray(value) && value.length > 0 && value.every((one) => one === 401 || one === 403);
}

/** Whether a value names a way to prove the client that needs nothing but a secret, or nothing. */
function isMethodName(value: unknown): value is ClientSecretMethod | 'none' {
  return value === 'none' || CLIENT_SECRET_METHODS.some((method) => method === value);
}

export function isAuthentication(value: unknown): value is ClientAuthentication {
  return typeof value === 'object' && value !== null && 'credentials' in value && 'fault' in value;
}

function isRecord(value: unknown): boolean {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** One or more names of RFC 6749 §3.3, divided by single blanks. */
function isScope(value: string): boolean {
  return value.split(' ').every(isScopeName);
}

/** RFC 8707 §2. */
function isResource(value: string): boolean {
  // The parser of addresses passes over line breaks and blanks at the ends, and a server does not.
  return parseUrl(value) !== undefined && !value.includes('#') && strayCharacters(value) === undefined;
}

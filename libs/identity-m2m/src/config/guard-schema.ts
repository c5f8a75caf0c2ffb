import { z } from 'zod';
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
} from '../foundation/option-check.js';
import { isScopeName } from '../foundation/text.js';
import { START_MODES } from '../foundation/start-mode.js';
import { LONGEST_TOKEN } from '../verification/compact-jws.js';
import type { IntrospectionAuthentication, IntrospectionSecret } from '../verification/introspection-authentication.js';
import type { RevocationStore } from '../verification/revocation.js';
import type { CredentialExtractor } from './credential-extractor.js';
import type { IssuerResolver } from './guard-options.js';
import { identityProviders } from './identity-provider-faults.js';

const A_LIST_OF_CLIENTS = 'a list of clients, at least one';
const A_CLIENT = 'a client identifier, or { clientId, issuer, scopes, until }';

const namedClient = z.strictObject({
  clientId: cleanText('a client identifier'),
  issuer: textOrTexts('an issuer, or a list of issuers').optional(),
  scopes: field<readonly string[]>(
    'a list of scopes',
    (value) => Array.isArray(value) && value.length > 0 && value.every(isScopeName),
  ).optional(),
  until: field<Date | string>('a date, such as 2027-01-01', (value) => endOf(value) !== undefined).optional(),
});

const introspection = z.strictObject({
  issuer: text('an issuer').optional(),
  opaqueTokens: flag.optional(),
  signedAnswers: flag.optional(),
  clientId: cleanText('a client identifier').optional(),
  clientSecret: field<IntrospectionSecret>(
    "a secret: a text, a function, or a source such as fromEnv('NAME')",
    isSecret,
  ).optional(),
  authenticate: field<IntrospectionAuthentication>(
    'a function that returns headers, a body, or both',
    (value) => typeof value === 'function',
  ).optional(),
});

/** The form of the guard's options, field by field. */
export const guardSchema = z.strictObject({
  issuers: identityProviders,
  issuerResolver: aFunction<IssuerResolver>('a function of an issuer’s identifier').optional(),
  resolvedIssuers: z
    .strictObject({
      maxIssuers: quantity('issuers', 1, 10_000).optional(),
      holdSeconds: quantity('seconds', 1, 86_400).optional(),
    })
    .optional(),
  audience: textOrTexts('the name of this API in the tokens’ aud, or a list of names'),
  clients: z.array(z.unknown().check(checkClient), A_LIST_OF_CLIENTS).min(1, A_LIST_OF_CLIENTS).optional(),
  introspection: z.array(introspection, 'a list of issuers to ask').optional(),
  agent: anAgent.optional(),
  ca: certificateAuthorities.optional(),
  revocations: field<RevocationStore>(
    'a store of revocations, such as new InMemoryRevocations()',
    (value) =>
      typeof value === 'object' && value !== null && 'isRevoked' in value && typeof value.isRevoked === 'function',
  ).optional(),
  clockToleranceSeconds: quantity('seconds', 0, 120).optional(),
  maxTokenLifetimeSeconds: quantity('seconds', 1, 31_536_000).optional(),
  maxTokenLength: quantity('characters', 1024, LONGEST_TOKEN).optional(),
  verifiedTokens: z
    .strictObject({
      maxEntries: quantity('tokens', 0, 10_000_000).optional(),
      maxBytes: quantity('bytes', 0, 2 ** 36).optional(),
    })
    .optional(),
  start: oneOf(START_MODES).optional(),
  startTimeoutMs: quantity('milliseconds', 1, 3600_000).optional(),
  realm: z
    .custom<string>(
      (value) => typeof value === 'string' && /^[\x20\x21\x23-\x5b\x5d-\x7e]*$/.test(value),
      'printable ASCII text without quotes and backslashes',
    )
    .optional(),
  tokenHeader: z
    .strictObject({
      name: field<string>('the name of a header that may carry a token', isTokenHeaderName),
      scheme: field<string>("a scheme such as 'Bearer', or an empty text for none", isTokenScheme).optional(),
    })
    .optional(),
  extractors: z
    .array(
      field<CredentialExtractor>(
        'an extractor: { transport: its name in lower case, context: a class, authorization: a function }',
        isExtractor,
      ),
    )
    .optional(),
  unsafeAllowHttp: flag.optional(),
});

/** `token` of RFC 9110 §5.6.2. */
const HTTP_TOKEN = /^[!#$%&'*+\-.^_`|~\dA-Za-z]+$/;

/** Headers that mean something else, or that a browser sends unasked. */
const NO_TOKEN_HEADERS = ['cookie', 'proxy-authorization', 'host', 'content-type', 'content-length'];

function isTokenHeaderName(value: unknown): boolean {
  return typeof value === 'string' && HTTP_TOKEN.test(value) && !NO_TOKEN_HEADERS.includes(value.toLowerCase());
}

/** What follows the schemes `Basic` and `DPoP` is no bearer token. */
function isTokenScheme(value: unknown): boolean {
  return value === '' || (typeof value === 'string' && HTTP_TOKEN.test(value) && !/^(?:basic|dpop)$/i.test(value));
}

/** Classes of what may come over a wire, so that no payload is taken for a context. */
const DATA_CLASSES: readonly unknown[] = [Object, Array, Uint8Array, Buffer, Map, Set, Date];

function isExtractor(value: unknown): boolean {
  const { transport, context, authorization } = (value ?? {}) as Partial<CredentialExtractor>;
  const isName = typeof transport === 'string' && /^[a-z0-9][a-z0-9_-]{0,63}$/.test(transport);
  const isContext = typeof context === 'function' && !DATA_CLASSES.includes(context);
  return isName && isContext && typeof authorization === 'function';
}

/** By itself and not as one of two forms, so that each wrong field of an object is named. */
function checkClient({ value, issues }: z.core.ParsePayload): void {
  const form = typeof value === 'object' && value !== null ? namedClient : cleanText(A_CLIENT);
  for (const issue of form.safeParse(value).error?.issues ?? [])
    issues.push({ ...issue, input: value } as z.core.$ZodRawIssue);
}

/** When a client stops being let in, in milliseconds since the epoch; undefined where that is no date. */
export function endOf(until: unknown): number | undefined {
  if (!(until instanceof Date) && !(typeof until === 'string' && isDateText(until))) return undefined;
  const time = new Date(until).getTime();
  return Number.isNaN(time) ? undefined : time;
}

/** 30 February is none, although `Date` takes it for 2 March. */
function isDateText(text: string): boolean {
  if (!/^\d{4}-\d\d-\d\d(?:T\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:Z|[+-]\d\d:\d\d))?$/.test(text)) return false;
  const [date] = text.split('T');
  const day = new Date(`${date}T00:00:00Z`);
  return !Number.isNaN(day.getTime()) && day.toISOString().startsWith(date!);
}

function isSecret(value: unknown): boolean {
  if (typeof value === 'string') return value !== '' && value.isWellFormed();
  return typeof value === 'function' || (typeof value === 'object' && value !== null && 'read' in value);
}

import type { Agent } from 'node:http';
import { z } from 'zod';
import {
  anAgent,
  areCleanTexts,
  areSound,
  certificateAuthorities,
  field,
  flag,
  oneOf,
  type OptionFault,
  optionFaults,
  quantity,
  shownField,
} from '../foundation/option-check.js';
import { START_MODES, type StartMode } from '../foundation/start-mode.js';
import type { CertificateAuthorities } from '../foundation/tls.js';
import { allowedPlainHttp, type PlainHttp } from '../foundation/url.js';
import type { IdentityProvider } from '../identity-providers/identity-provider.js';
import { DEFAULT_MAX_TOKEN_LENGTH, LONGEST_TOKEN } from '../verification/compact-jws.js';
import type { RevocationStore } from '../verification/revocation.js';
import { VERIFIED_TOKENS_LIMITS } from '../verification/verified-token.js';
import { type CredentialExtractor, credentialExtractor } from './credential-extractor.js';
import { isHeaderName } from './headers.js';
import {
  A_LIST_OF_PROVIDERS,
  identityProviders,
  trustedIssuerFaults,
  unnamedClientsFaults,
} from './identity-provider-faults.js';
import {
  type IntrospectionConfiguration,
  introspectionConfiguration,
  introspectionFaults,
  type IntrospectionOptions,
  introspectionSchema,
} from './introspection-options.js';
import { issuerResolverFields, type IssuerResolverOptions, resolverConfiguration } from './issuer-resolver.js';
import { type NamedClient, namedClientFaults, namedClients, registeredClients } from './named-client.js';

/** Options of the guard: which callers it allows. */
export interface GuardOptions extends IssuerResolverOptions {
  /** Issuers whose tokens the guard accepts; `iss` must match exactly. May be empty with an `issuerResolver`. */
  readonly issuers: readonly IdentityProvider[];

  /** Name of this API in the tokens' `aud` (RFC 7519 §4.1.3), or several names. One must match exactly. */
  readonly audience: string | readonly string[];

  /**
   * Clients that may call; the guard refuses any other, even with a valid token. Required if an issuer's tokens do not
   * show whether they belong to a machine or a person. Default: every machine of the issuers.
   */
  readonly clients?: readonly (string | NamedClient)[];

  /**
   * Issuers that check tokens by introspection (RFC 7662): opaque tokens, and every token for a handler marked
   * `@Sensitive()`. Default: none: the guard refuses opaque tokens, and calls of such handlers.
   */
  readonly introspection?: readonly IntrospectionOptions[];

  /** Store of revoked tokens and clients, such as `new InMemoryRevocations()`. Default: none. */
  readonly revocations?: RevocationStore;

  /**
   * Agent of `node:https` for requests to the issuers, for networks with an outbound proxy. Default: a new direct
   * connection for each request; proxy settings of the environment are ignored.
   */
  readonly agent?: Agent;

  /**
   * Certificate authorities to trust for the issuers' servers, in PEM, instead of those of Node.js. Applies to key
   * sets, discovery and introspection, with or without `agent`. The `ca` of an `https.Agent` takes precedence. Default:
   * the authorities of Node.js and of `NODE_EXTRA_CA_CERTS`.
   */
  readonly ca?: CertificateAuthorities;

  /** Tolerated difference between the clocks of issuer and guard, in seconds, at most 120. Default: 30. */
  readonly clockToleranceSeconds?: number;

  /** Longest accepted lifetime of a token, from `iat` to `exp`, in seconds. Default: no limit. */
  readonly maxTokenLifetimeSeconds?: number;

  /**
   * Longest accepted token, in characters, from 1,024 to 65,536. The guard refuses longer ones as `token_too_long`.
   * Default: 16,384.
   *
   * Tokens that list hundreds of groups may be longer. Node.js accepts at most 16 KiB of headers per request, so raise
   * that limit as well (`--max-http-header-size`, or `maxHeaderSize` of the server).
   */
  readonly maxTokenLength?: number;

  /**
   * Limits of the cache of tokens whose signature was verified; every other check runs for each call. Default: `{
   * maxEntries: 10_000, maxBytes: 67_108_864 }`.
   */
  readonly verifiedTokens?: { readonly maxEntries?: number; readonly maxBytes?: number };

  /**
   * When the key sets of `issuers` are fetched. `lazy`: by the first token. `warm`: in the background at boot, with
   * retries. `require`: the boot waits for them, and fails without them. Default: `warm`; `lazy` with
   * `createAccessTokenVerifier`.
   */
  readonly start?: StartMode;

  /** How long the boot waits for the key sets with `start: 'require'`, in milliseconds. Default: 30,000. */
  readonly startTimeoutMs?: number;

  /** `realm` of the `WWW-Authenticate` challenges (RFC 9110 §11.5). Default: none. */
  readonly realm?: string;

  /**
   * HTTP header that carries the token, and the scheme before it, for services behind a proxy that moves the token. An
   * empty scheme means that the token is the whole value. The guard then ignores `Authorization`, except in messages.
   * Default: `{ name: 'authorization', scheme: 'Bearer' }`.
   */
  readonly tokenHeader?: { readonly name: string; readonly scheme?: string };

  /**
   * Read the credentials of calls by a custom transport strategy, or through `ExternalContextCreator`. Default: none:
   * the guard refuses such calls.
   */
  readonly extractors?: readonly CredentialExtractor[];

  /**
   * Allows plain http to the issuers on any host. Default: false: plain http only to loopback, and not in production.
   */
  readonly unsafeAllowHttp?: boolean;
}

/** Schema of {@link GuardOptions}, field by field. */
export const guardSchema = z.strictObject({
  issuers: identityProviders,
  ...issuerResolverFields,
  audience: shownField<string | readonly string[]>(
    'the name of this API in the tokens’ aud, or a list of one or more names',
    (value) => areCleanTexts(value),
  ),
  clients: namedClients.optional(),
  introspection: z.array(introspectionSchema, 'a list of issuers for introspection').optional(),
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
  realm: field<string>(
    'printable ASCII characters without double quotes and backslashes',
    (value) => typeof value === 'string' && /^[\x20\x21\x23-\x5b\x5d-\x7e]*$/.test(value),
  ).optional(),
  tokenHeader: z
    .strictObject({
      name: field<string>(
        'the name of a header that may carry a token',
        (value) => isHeaderName(value) && !NO_TOKEN_HEADERS.includes(value.toLowerCase()),
      ),
      scheme: field<string>(
        "a scheme such as 'Bearer', or an empty string for none",
        (value) => value === '' || (isHeaderName(value) && !NO_BEARER_SCHEMES.includes(value.toLowerCase())),
      ).optional(),
    })
    .optional(),
  extractors: z.array(credentialExtractor).optional(),
  unsafeAllowHttp: flag.optional(),
});

/** Headers with another meaning, or that browsers send on their own. */
const NO_TOKEN_HEADERS = ['cookie', 'proxy-authorization', 'host', 'content-type', 'content-length'];

/** Schemes that no bearer token follows. */
const NO_BEARER_SCHEMES = ['basic', 'dpop'];

/**
 * Returns every invalid option of the guard.
 *
 * @param placeOf Returns where an option belongs that is not a guard option.
 */
export function guardFaults(
  options: GuardOptions,
  root: string,
  production: boolean,
  placeOf: (option: string) => string | undefined,
): OptionFault[] {
  const faults = optionFaults(guardSchema, options, root, placeOf);
  // Checks beyond the schema run only on fields that the schema accepts.
  const isSound = (field: keyof GuardOptions) => areSound([field], root, faults);
  if (!isSound('issuers')) return faults;
  const { issuers, clients, introspection, issuerResolver, unsafeAllowHttp } = options;
  const plainHttp = allowedPlainHttp(unsafeAllowHttp === true, production);
  const found = resolverFaults(options, root);
  for (const [index, provider] of issuers.entries()) {
    const { issuer } = provider;
    const isRepeated = issuer !== undefined && issuers.slice(0, index).some((other) => other.issuer === issuer);
    found.push(...trustedIssuerFaults(provider, `${root}.issuers[${index}]`, { plainHttp, isRepeated }));
    if (clients === undefined) found.push(...unnamedClientsFaults(provider, `${root}.clients`));
  }
  if (clients && isSound('clients')) {
    const areSeveral = issuers.length > 1 || issuerResolver !== undefined;
    found.push(...namedClientFaults(clients, { issuers, areSeveral }, `${root}.clients`));
  }
  if (introspection && isSound('introspection')) {
    found.push(...introspectionFaults(introspection, issuers, root, plainHttp));
  }
  return [...faults, ...found];
}

function resolverFaults({ issuers, issuerResolver, resolvedIssuers }: GuardOptions, root: string): OptionFault[] {
  if (issuerResolver !== undefined) return [];
  const faults: OptionFault[] = [];
  if (issuers.length === 0) {
    const expected = `${A_LIST_OF_PROVIDERS}, or an issuerResolver`;
    faults.push({ path: `${root}.issuers`, expected, found: 'a list of 0' });
  }
  if (resolvedIssuers !== undefined) {
    const expected = 'nothing, because there is no issuerResolver';
    faults.push({ path: `${root}.resolvedIssuers`, expected, found: 'an object' });
  }
  return faults;
}

/** The guard's options, checked, with every default filled in. */
export type GuardConfiguration = Readonly<ReturnType<typeof guardConfiguration>>;

/** An issuer that the guard trusts. */
export interface IssuerConfiguration extends IdentityProvider {
  readonly issuer: string;
  readonly introspection: IntrospectionConfiguration | undefined;
}

/** @param options Free of faults. */
export function guardConfiguration(options: GuardOptions, production: boolean) {
  const { issuers, clients, introspection, tokenHeader } = options;
  const onlyIssuer = issuers[0]?.issuer;
  const plainHttp: PlainHttp = allowedPlainHttp(options.unsafeAllowHttp, production);
  return {
    issuers: issuers.map((provider): IssuerConfiguration => {
      const asked = introspection?.find(({ issuer = onlyIssuer }) => issuer === provider.issuer);
      return {
        ...provider,
        issuer: provider.issuer!,
        introspection: asked && introspectionConfiguration(asked, provider),
      };
    }),
    /** Whether one client identifier may mean more than one client. */
    hasSeveralIssuers: issuers.length > 1 || options.issuerResolver !== undefined,
    /** undefined: only the issuers above. */
    resolver: resolverConfiguration(options, { hasNamedClients: clients !== undefined, plainHttp }),
    audiences: [options.audience].flat(),
    /** undefined: every machine of the issuers. */
    clients: clients?.flatMap((client) => registeredClients(client, onlyIssuer)),
    revocations: options.revocations,
    agent: options.agent,
    ca: options.ca,
    clockToleranceSeconds: options.clockToleranceSeconds ?? 30,
    maxTokenLifetimeSeconds: options.maxTokenLifetimeSeconds,
    maxTokenLength: options.maxTokenLength ?? DEFAULT_MAX_TOKEN_LENGTH,
    verifiedTokens: { ...VERIFIED_TOKENS_LIMITS, ...options.verifiedTokens },
    start: options.start ?? 'warm',
    startTimeoutMs: options.startTimeoutMs ?? 30_000,
    realm: options.realm,
    /** undefined: `Authorization: Bearer`. */
    tokenHeader: tokenHeader && { name: tokenHeader.name.toLowerCase(), scheme: tokenHeader.scheme ?? 'Bearer' },
    extractors: options.extractors ?? [],
    plainHttp,
  };
}

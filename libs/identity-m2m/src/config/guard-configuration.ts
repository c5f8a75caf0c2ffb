import type { Agent } from 'node:http';
import type { CertificateAuthorities } from '../foundation/tls.js';
import { type PlainHttp, allowedPlainHttp } from '../foundation/url.js';
import type { StartMode } from '../foundation/start-mode.js';
import type { IdentityProvider } from '../identity-providers/identity-provider.js';
import {
  type IntrospectionAuthentication,
  introspectionClient,
  type IntrospectionMethod,
} from '../verification/introspection-authentication.js';
import { DEFAULT_MAX_TOKEN_LENGTH } from '../verification/compact-jws.js';
import type { RevocationStore } from '../verification/revocation.js';
import { VERIFIED_TOKENS_LIMITS } from '../verification/verified-token.js';
import type { GuardOptions, IntrospectionOptions, IssuerResolver } from './guard-options.js';
import type { CredentialExtractor } from './credential-extractor.js';
import { type IssuerAnswer, readIssuerAnswer } from './issuer-answer.js';
import { registeredClients } from './registered-clients.js';
import type { RegisteredClient } from '../verification/client-registry.js';

/** How an issuer is asked about its tokens. */
export interface IntrospectionConfiguration {
  readonly authenticate: IntrospectionAuthentication;
  readonly opaqueTokens: boolean;
  /** Client identifier that answers must be signed for; undefined: they are not signed. */
  readonly signedFor: string | undefined;
}

export interface IssuerConfiguration extends IdentityProvider {
  readonly issuer: string;
  readonly introspection: IntrospectionConfiguration | undefined;
}

/** The guard's options, checked and with every default filled in. */
export interface GuardConfiguration {
  readonly issuers: readonly IssuerConfiguration[];
  /** Whether a bare client identifier may mean more than one client. */
  readonly hasSeveralIssuers: boolean;
  /** undefined: no issuers but those. */
  readonly resolver: ResolverConfiguration | undefined;
  readonly audiences: readonly string[];
  /** undefined: every machine that the issuers vouch for. */
  readonly clients: readonly RegisteredClient[] | undefined;
  readonly revocations: RevocationStore | undefined;
  readonly agent: Agent | undefined;
  readonly ca: CertificateAuthorities | undefined;
  readonly clockToleranceSeconds: number;
  readonly maxTokenLifetimeSeconds: number | undefined;
  readonly maxTokenLength: number;
  readonly verifiedTokens: { readonly maxEntries: number; readonly maxBytes: number };
  readonly start: StartMode;
  readonly startTimeoutMs: number;
  readonly realm: string | undefined;
  /** undefined: `Authorization: Bearer`. */
  readonly tokenHeader: { readonly name: string; readonly scheme: string } | undefined;
  readonly extractors: readonly CredentialExtractor[];
  readonly plainHttp: PlainHttp;
}

/** How issuers are accepted at run time. */
export interface ResolverConfiguration {
  readonly resolve: IssuerResolver;
  /** @throws `IdentityM2MConfigurationError` */
  readonly read: (issuer: string, answer: unknown) => IssuerAnswer;
  readonly maxIssuers: number;
  readonly holdMs: number;
}

/** @param options Free of faults. */
export function guardConfiguration(options: GuardOptions, production: boolean): GuardConfiguration {
  const onlyIssuer = options.issuers[0]?.issuer;
  return {
    issuers: options.issuers.map((provider) => {
      const asked = options.introspection?.find(({ issuer = onlyIssuer }) => issuer === provider.issuer);
      return {
        ...provider,
        issuer: provider.issuer!,
        introspection: asked && introspectionConfiguration(asked, provider),
      };
    }),
    hasSeveralIssuers: options.issuers.length > 1 || options.issuerResolver !== undefined,
    resolver: resolverConfiguration(options, production),
    audiences: [options.audience].flat(),
    clients: options.clients?.flatMap((client) => registeredClients(client, onlyIssuer)),
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
    tokenHeader: options.tokenHeader && {
      name: options.tokenHeader.name.toLowerCase(),
      scheme: options.tokenHeader.scheme ?? 'Bearer',
    },
    extractors: options.extractors ?? [],
    plainHttp: allowedPlainHttp(options.unsafeAllowHttp, production),
  };
}

function resolverConfiguration(options: GuardOptions, production: boolean): ResolverConfiguration | undefined {
  const { issuerResolver: resolve, resolvedIssuers: { maxIssuers = 100, holdSeconds = 300 } = {} } = options;
  const read = (issuer: string, answer: unknown) => readIssuerAnswer(issuer, answer, options, production);
  return resolve && { resolve, read, maxIssuers, holdMs: holdSeconds * 1000 };
}

function introspectionConfiguration(
  { authenticate, clientId, clientSecret, opaqueTokens = true, signedAnswers = false }: IntrospectionOptions,
  { clientSecretMethod }: IdentityProvider,
): IntrospectionConfiguration {
  return {
    authenticate:
      authenticate ??
      introspectionClient({ clientId, clientSecret, method: clientSecretMethod as IntrospectionMethod }),
    opaqueTokens,
    signedFor: signedAnswers ? clientId : undefined,
  };
}

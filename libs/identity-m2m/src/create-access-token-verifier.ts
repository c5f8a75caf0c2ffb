import type { GuardConfiguration, GuardOptions, IssuerConfiguration } from './config/guard-options.js';
import { checkGuardOptions } from './config/module-options.js';
import { type BoundedFetch, createBoundedFetch } from './foundation/bounded-fetch.js';
import { type Clock, systemClock } from './foundation/clock.js';
import { EventStream } from './foundation/event-stream.js';
import { printableText } from './foundation/text.js';
import { type IdentityProvider, KEY_PLACES, type KnownIssuer } from './identity-providers/identity-provider.js';
import { AccessTokenVerifier } from './verification/access-token-verifier.js';
import type { ClaimsPolicy } from './verification/claims-policy.js';
import { Introspection } from './verification/introspection.js';
import { IntrospectionAvailability } from './verification/introspection-availability.js';
import { IntrospectionEndpoint } from './verification/introspection-endpoint.js';
import { keyFileSource, MAX_KEY_SET_BYTES, remoteKeySource } from './verification/key-source.js';
import { type KeySet, VerificationKeys, StaticKeySet } from './verification/key-set.js';
import { KEY_FILE_SCHEDULE, REMOTE_KEY_SET_SCHEDULE, RefreshedKeySet } from './verification/refreshed-key-set.js';
import { ResolvedIssuers } from './verification/resolved-issuers.js';
import { ClientRegistry, type TrustedIssuer } from './verification/trusted-issuer.js';
import { TrustedIssuers } from './verification/trusted-issuers.js';
import type { VerificationEvent } from './verification/verification-events.js';
import { readKeySet } from './verification/verification-key.js';

/** Dependencies of the verifier. */
export interface VerifierDependencies {
  /** Default: the clocks of Node.js. */
  readonly clock?: Clock;
  /** Whether insecure options for development are rejected. Default: true if `NODE_ENV` is `production`. */
  readonly production?: boolean;
}

/**
 * Creates the guard's access token verifier without Nest: for other frameworks, workers and scripts.
 *
 * It fetches keys when the first token arrives, unless the option `start` is set. Call its `close()` when you no longer
 * need it.
 *
 * @throws `IdentityM2MConfigurationError` with every invalid option.
 */
export function createAccessTokenVerifier(
  options: GuardOptions,
  { clock = systemClock, production = process.env.NODE_ENV === 'production' }: VerifierDependencies = {},
): AccessTokenVerifier {
  const configuration = checkGuardOptions(options, createAccessTokenVerifier.name, production);
  const verifier = accessTokenVerifier({ ...configuration, start: options.start ?? 'lazy' }, clock);
  // With `require`, `start()` returns the error.
  verifier.start().catch(() => {});
  return verifier;
}

/** Creates a verifier from checked options. */
export function accessTokenVerifier(configuration: GuardConfiguration, clock: Clock): AccessTokenVerifier {
  const { audiences, clients, clockToleranceSeconds, maxTokenLifetimeSeconds } = configuration;
  const events = new EventStream<VerificationEvent>();
  const parts: Parts = {
    configuration,
    clock,
    emit: (event) => events.emit(event),
    fetch: createBoundedFetch({
      agent: configuration.agent,
      ca: configuration.ca,
      maxResponseBytes: MAX_KEY_SET_BYTES,
    }),
  };
  const policyOf = (provider: IdentityProvider): ClaimsPolicy => ({
    audiences,
    clockToleranceSeconds,
    maxTokenLifetimeSeconds,
    profile: provider.accessToken,
  });
  const registry = clients && new ClientRegistry(clients);
  const named = configuration.issuers.map((issuer): TrustedIssuer => {
    const keys = keySet(issuer, parts);
    return {
      issuer: issuer.issuer,
      policy: policyOf(issuer),
      keys,
      clients: registry,
      fetchesKeysEarly: !issuer.introspection?.opaqueTokens || KEY_PLACES.some((place) => issuer[place] !== undefined),
      isResolved: false,
      ...introspections(issuer, keys, parts),
    };
  });
  const { start, startTimeoutMs, hasSeveralIssuers } = configuration;
  const resolved = resolvedIssuers(policyOf, parts);
  return new AccessTokenVerifier({
    issuers: new TrustedIssuers({ named, resolved, start, startTimeoutMs, events, clock }),
    hasSeveralIssuers,
    opaqueTokensOf: configuration.issuers.find((issuer) => issuer.introspection?.opaqueTokens)?.issuer,
    revocations: configuration.revocations,
    maxTokenLength: configuration.maxTokenLength,
    verifiedTokens: configuration.verifiedTokens,
    events,
    clock,
  });
}

interface Parts {
  readonly configuration: GuardConfiguration;
  readonly clock: Clock;
  readonly emit: (event: VerificationEvent) => void;
  readonly fetch: BoundedFetch;
}

function resolvedIssuers(
  policyOf: (provider: IdentityProvider) => ClaimsPolicy,
  parts: Parts,
): ResolvedIssuers | undefined {
  const { clock, emit, configuration } = parts;
  const { resolver } = configuration;
  if (!resolver) return undefined;
  // Keys of the same source are kept, with their state.
  const places = new WeakMap<KeySet, string>();
  return new ResolvedIssuers({
    ...resolver,
    clock,
    emit,
    trust: (issuer, answer, before) => {
      const { provider, clients } = resolver.read(issuer, answer);
      const place = keyPlace(provider);
      const isSamePlace = before !== undefined && places.get(before.keys) === place;
      const keys = isSamePlace ? before.keys : keySet(provider, parts, printableText(issuer));
      places.set(keys, place);
      return {
        issuer,
        policy: policyOf(provider),
        keys,
        clients: clients && new ClientRegistry(clients),
        fetchesKeysEarly: false,
        isResolved: true,
      };
    },
  });
}

/** Identifies the source of a provider's keys: equal strings for equal sources. */
function keyPlace({ fallbackJwksUri, ...provider }: KnownIssuer): string {
  return JSON.stringify([...KEY_PLACES.map((name) => provider[name] ?? null), fallbackJwksUri ?? null]);
}

/** @param shownAs Name of the issuer in events. */
function keySet(
  provider: KnownIssuer,
  { configuration: { plainHttp }, clock, emit, fetch }: Parts,
  shownAs = provider.issuer,
): KeySet {
  const { issuer, jwks, jwksFile, fallbackJwksUri } = provider;
  const jwksUri = provider.internalJwksUri ?? provider.jwksUri;
  if (jwks) return new StaticKeySet(new VerificationKeys(readKeySet({ ...jwks })?.keys ?? []));
  const source =
    jwksFile === undefined
      ? remoteKeySource({ issuer, jwksUri, fallbackJwksUri, plainHttp, fetch })
      : keyFileSource(jwksFile);
  const schedule = jwksFile === undefined ? REMOTE_KEY_SET_SCHEDULE : KEY_FILE_SCHEDULE;
  return new RefreshedKeySet({ issuer: shownAs, source, schedule, clock, random: Math.random, emit });
}

function introspections(
  { issuer, introspection, introspectionEndpoint, accessToken }: IssuerConfiguration,
  keys: KeySet,
  { configuration: { plainHttp }, clock, emit, fetch }: Parts,
): Pick<TrustedIssuer, 'opaqueTokens' | 'signedTokens'> {
  if (!introspection) return {};
  const endpoint = new IntrospectionEndpoint({
    issuer,
    endpoint: introspectionEndpoint,
    authenticate: introspection.authenticate,
    signedFor: introspection.signedFor,
    timesAsText: accessToken.introspectsTimesAsText ?? false,
    keys,
    algorithms: accessToken.algorithms,
    plainHttp,
    fetch,
    clock,
  });
  const availability = new IntrospectionAvailability({ issuer, endpoint, clock, emit });
  return {
    opaqueTokens: new Introspection({ tokens: 'opaque', endpoint, availability, clock }),
    signedTokens: new Introspection({ tokens: 'signed', endpoint, availability, clock }),
  };
}

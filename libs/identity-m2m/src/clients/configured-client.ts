import axios, { type CreateAxiosDefaults } from 'axios';
import { HttpService } from '@nestjs/axios';
import type { Agent } from 'node:https';
import {
  type CallTokenOptions,
  type CarrierChoice,
  installAxiosBearerInterceptor,
} from '../carriers/axios/bearer-interceptor.js';
import { ClientCertificateAgent } from '../carriers/axios/client-certificate-agent.js';
import { carrierOf, type TokenCarrier } from '../carriers/token-carrier.js';
import type { ClientConfiguration } from '../config/client-options.js';
import type { CredentialQuarantine } from '../credentials/credential-quarantine.js';
import { DpopProver } from '../credentials/dpop-prover.js';
import { isTlsClientAuthentication } from '../credentials/tls-client-auth.js';
import { type BoundedFetch, createBoundedFetch } from '../foundation/bounded-fetch.js';
import type { Clock } from '../foundation/clock.js';
import { EventStream } from '../foundation/event-stream.js';
import { definedOnly } from '../foundation/plain-objects.js';
import type { AccessToken } from '../token/access-token.js';
import { ManagedTokenProvider } from '../token/managed-token-provider.js';
import { type ClientWarnings, clientWarnings, type OutboundEvent } from '../token/outbound-events.js';
import { ServerMetadata } from '../token/server-metadata.js';
import { TokenEndpoint } from '../token/token-endpoint.js';
import type { TokenProvider } from '../token/token-provider.js';
import { TokenRequester } from '../token/token-requester.js';
import { TokenRevocation } from '../token/token-revocation.js';
import { M2MHttpService } from './http-service.js';
import type { M2MClient } from './m2m-client.js';

/** What the clients of one application share. */
export interface ConfiguredClientDependencies {
  readonly clock: Clock;
  /** Uniform in [0, 1). */
  readonly random: () => number;
  readonly quarantine: CredentialQuarantine;
  /** Finds the client that a call asks for by name or tenant. */
  readonly choose: (wanted: CallTokenOptions) => Promise<CarrierChoice>;
}

/** The client that a configuration makes. */
export class ConfiguredClient implements M2MClient, CarrierChoice {
  readonly provider: ManagedTokenProvider;
  readonly carrier: TokenCarrier;
  readonly http: HttpService;
  readonly baseUrl: string | undefined;
  readonly httpsAgent: Agent | undefined;
  readonly #revocation: TokenRevocation | undefined;
  readonly #warnings: ClientWarnings;
  readonly #hasAllowedOrigins: boolean;
  readonly #carrierFor: (provider: TokenProvider) => TokenCarrier;
  #revoked: Promise<void> | undefined;
  #end: Promise<void> | undefined;
  readonly #certificateAgent: ClientCertificateAgent | undefined;
  readonly #httpDefaults: CreateAxiosDefaults;
  readonly #apiHeaders: Readonly<Record<string, string>>;

  constructor(
    configuration: ClientConfiguration,
    private readonly surroundings: ConfiguredClientDependencies,
  ) {
    const { authentication, identityProvider, clientId } = configuration;
    const { clock } = surroundings;
    this.#apiHeaders = configuration.apiHeaders;
    const fetch = createBoundedFetch({ agent: configuration.agent, ca: configuration.ca });
    const server = new ServerMetadata(identityProvider, configuration.plainHttp, fetch);
    const dpop = configuration.dpop && new DpopProver(configuration.dpop, clock);
    const events = new EventStream<OutboundEvent>();
    this.#warnings = clientWarnings(configuration.name, events);
    const acquisition = tokenAcquisition(
      configuration,
      { server, dpop, fetch, warnings: this.#warnings },
      surroundings,
    );
    this.provider = tokenProvider(configuration, { acquisition, dpop, server, events }, surroundings);
    const replay = { maxBytes: configuration.maxReplayBytes, isTokenRejected: configuration.isTokenRejected };
    this.#carrierFor = (provider) => carrierOf(provider, clock, replay, configuration.tokenHeader);
    this.carrier = this.#carrierFor(this.provider);
    this.#hasAllowedOrigins = configuration.allowedOrigins.length > 0;
    this.baseUrl = configuration.baseUrl;
    if (isTlsClientAuthentication(authentication)) {
      const agent = new ClientCertificateAgent(() => authentication.readIdentity());
      this.provider.events.subscribe(({ type }) => type === 'credential.rotated' && agent.retireConnections());
      this.#certificateAgent = agent;
    }
    this.#httpDefaults = configuration.http;
    this.httpsAgent = (configuration.http.httpsAgent as Agent | undefined) ?? this.#certificateAgent;
    this.http = this.#httpService(this);
    if (configuration.revokeOnShutdown) {
      this.#revocation = new TokenRevocation({ clientId, server, acquisition, fetch, clock });
    }
  }

  /** Does what the start mode says; see `ManagedTokenProvider`. */
  start(): Promise<void> {
    if (!this.#hasAllowedOrigins) {
      const message =
        'its token is bound to no place, so that every call goes out without it; list the APIs in allowedOrigins';
      this.#warnings.warn('no_allowed_origins', message);
    }
    return this.provider.start();
  }

  /** The same `HttpService` with tokens of another provider, such as one that a test has put in the place of this one's. */
  httpWith(provider: TokenProvider): HttpService {
    if (provider === this.provider) return this.http;
    const { baseUrl, httpsAgent } = this;
    return this.#httpService({ carrier: this.#carrierFor(provider), baseUrl, httpsAgent });
  }

  /**
   * Lets go of it while calls may still be under way: nothing is done any more without being asked for, and the calls are
   * served to their end. Only then are the tokens revoked, where that was asked for.
   */
  async retire(): Promise<void> {
    this.provider.stopRefreshing();
    this.#certificateAgent?.retireConnections();
    if (!this.#revocation) return;
    // Calls that it was chosen for a moment ago have not begun yet.
    await new Promise(setImmediate);
    await this.carrier.whenIdle();
    await this.#revoke(this.provider.heldTokens());
  }

  /** Ends it: token requests under way, and the tokens themselves where that was asked for. Once. */
  shutDown(): Promise<void> {
    this.#end ??= this.#shutDown();
    return this.#end;
  }

  async #shutDown(): Promise<void> {
    const tokens = this.provider.heldTokens();
    this.provider.close();
    this.#certificateAgent?.retireConnections();
    await this.#revoke(tokens);
  }

  /** Once: it may be shut down while it retires. */
  async #revoke(tokens: readonly AccessToken[]): Promise<void> {
    this.#revoked ??= this.#revocation?.revoke(tokens);
    await this.#revoked;
  }

  #httpService(own: CarrierChoice): HttpService {
    const instance = axios.create({
      // A token cannot follow a redirect to another place, and axios is faster without its redirect layer.
      maxRedirects: 0,
      ...definedOnly(this.#httpDefaults),
      ...definedOnly({ baseURL: this.baseUrl, httpsAgent: this.httpsAgent }),
    });
    for (const [name, value] of Object.entries(this.#apiHeaders)) instance.defaults.headers.common[name] ??= value;
    installAxiosBearerInterceptor(instance, { own, choose: this.surroundings.choose });
    return new M2MHttpService(instance);
  }
}

function tokenAcquisition(
  configuration: ClientConfiguration,
  parts: { server: ServerMetadata; dpop: DpopProver | undefined; fetch: BoundedFetch; warnings: ClientWarnings },
  { clock, random, quarantine }: ConfiguredClientDependencies,
): TokenRequester {
  const { clientId, authentication, grant, quarantinePolicy } = configuration;
  const { server, dpop, fetch, warnings } = parts;
  const endpoint = new TokenEndpoint({
    server,
    clientId,
    requestFormat: configuration.tokenRequestFormat,
    requestHeaders: () => configuration.tokenRequestHeaders,
    dialect: { ...configuration.dialect, ...warnings },
    dpop,
    fetch,
    clock,
  });
  return new TokenRequester({
    clientId,
    server,
    endpoint,
    grant,
    authentication,
    quarantine,
    quarantinePolicy,
    clock,
    random,
  });
}

function tokenProvider(
  configuration: ClientConfiguration,
  parts: {
    acquisition: TokenRequester;
    server: ServerMetadata;
    dpop: DpopProver | undefined;
    events: EventStream<OutboundEvent>;
  },
  { clock, random }: ConfiguredClientDependencies,
): ManagedTokenProvider {
  const { acquisition, dpop, server, events } = parts;
  return new ManagedTokenProvider({
    acquisition,
    parameters: configuration.parameters,
    allowedOrigins: configuration.allowedOrigins,
    dpop,
    maxTokens: configuration.maxTokens,
    policy: configuration.refreshPolicy,
    keepWarm: configuration.keepWarm,
    acquireTimeoutMs: configuration.acquireTimeoutMs,
    requestTimeoutMs: configuration.tokenRequestTimeoutMs,
    unsafeExpiredTokenGraceMs: configuration.unsafeExpiredTokenGraceMs,
    start: configuration.start,
    startTimeoutMs: configuration.startTimeoutMs,
    startSpreadMs: configuration.startSpreadMs,
    context: { client: configuration.name, server: server.name, hint: configuration.identityProvider.hint },
    events,
    clock,
    random,
  });
}

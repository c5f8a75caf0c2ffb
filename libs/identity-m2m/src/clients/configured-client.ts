import axios from 'axios';
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
import { type BoundedFetch, createBoundedFetch } from '../foundation/bounded-fetch.js';
import type { Clock } from '../foundation/clock.js';
import { EventStream } from '../foundation/event-stream.js';
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

/** The dependencies that the clients of one application share. */
export interface ConfiguredClientDependencies {
  readonly clock: Clock;
  /** Uniform in [0, 1). */
  readonly random: () => number;
  readonly quarantine: () => CredentialQuarantine;
  /** Finds the client that a call names, by name or tenant. */
  readonly choose: (wanted: CallTokenOptions) => Promise<CarrierChoice>;
}

/** The parts of a client that send requests to the identity provider. */
interface IdentityProviderAccess {
  readonly fetch: BoundedFetch;
  readonly server: ServerMetadata;
  readonly requester: TokenRequester;
  /** Returns the headers of the options: a function, because they may hold secrets. */
  readonly requestHeaders: () => Readonly<Record<string, string>>;
}

/** A client, created from its checked configuration. */
export class ConfiguredClient implements M2MClient, CarrierChoice {
  readonly provider: ManagedTokenProvider;
  readonly carrier: TokenCarrier;
  readonly http: HttpService;
  readonly baseUrl: string | undefined;
  readonly httpsAgent: Agent | undefined;
  // Private, because they lead to secrets: an application may print its client.
  readonly #configuration: ClientConfiguration;
  readonly #dependencies: ConfiguredClientDependencies;
  readonly #dpop: DpopProver | undefined;
  readonly #warnings: ClientWarnings;
  readonly #certificateAgent: ClientCertificateAgent | undefined;
  #access: IdentityProviderAccess | undefined;
  #revoked: Promise<void> | undefined;
  #closed: Promise<void> | undefined;

  constructor(configuration: ClientConfiguration, dependencies: ConfiguredClientDependencies) {
    this.#configuration = configuration;
    this.#dependencies = dependencies;
    const { authentication, http, name } = configuration;
    const events = new EventStream<OutboundEvent>();
    this.#warnings = clientWarnings(name, events);
    this.#dpop = configuration.dpop && new DpopProver(configuration.dpop, dependencies.clock);
    this.provider = this.#tokenProvider(events);
    this.carrier = this.#carrierOf(this.provider);
    this.baseUrl = configuration.baseUrl;
    if (authentication.readIdentity) {
      const agent = new ClientCertificateAgent(() => authentication.readIdentity!());
      this.provider.events.subscribe(({ type }) => type === 'credential.rotated' && agent.retireConnections());
      this.#certificateAgent = agent;
    }
    this.httpsAgent = (http.httpsAgent as Agent | undefined) ?? this.#certificateAgent;
    this.http = this.#httpService(this);
  }

  /** Fetches the first token as the option `start` requires; see `ManagedTokenProvider`. */
  start(): Promise<void> {
    if (this.#configuration.allowedOrigins.length === 0) {
      const message = 'its token has no allowed origins, so no call carries it; add the APIs to allowedOrigins';
      this.#warnings.emitWarning('no_allowed_origins', message);
    }
    return this.provider.start();
  }

  /** Returns the `HttpService` with tokens of another provider: a test may have replaced this client's own. */
  httpWith(provider: TokenProvider): HttpService {
    if (provider === this.provider) return this.http;
    const { baseUrl, httpsAgent } = this;
    return this.#httpService({ carrier: this.#carrierOf(provider), baseUrl, httpsAgent });
  }

  /** Stops background work and lets calls under way finish. Then revokes the tokens if `revokeOnShutdown` is set. */
  async drain(): Promise<void> {
    this.provider.stopRefreshing();
    this.#certificateAgent?.retireConnections();
    if (!this.#configuration.revokeOnShutdown) return;
    // A call that chose this client a moment ago may not have started yet.
    await new Promise(setImmediate);
    await this.carrier.whenIdle();
    await this.#revoke(this.provider.heldTokens());
  }

  /** Ends token requests under way, and revokes the tokens if `revokeOnShutdown` is set. Further calls do nothing. */
  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  async #close(): Promise<void> {
    const tokens = this.provider.heldTokens();
    this.provider.close();
    this.#certificateAgent?.retireConnections();
    await this.#revoke(tokens);
  }

  /** Revokes once: `close` may be called while `drain` is under way. */
  async #revoke(tokens: readonly AccessToken[]): Promise<void> {
    const { name: client, clientId, revokeOnShutdown } = this.#configuration;
    if (!revokeOnShutdown) return;
    const own = { client, clientId, events: this.provider.events, clock: this.#dependencies.clock };
    this.#revoked ??= new TokenRevocation({ ...own, ...this.#identityProvider() }).revoke(tokens);
    await this.#revoked;
  }

  #httpService(own: CarrierChoice): HttpService {
    const { http, apiHeaders } = this.#configuration;
    const instance = axios.create({
      ...http,
      // A token cannot follow a redirect to another origin, and axios is faster without its redirect layer.
      maxRedirects: http.maxRedirects ?? 0,
      baseURL: this.baseUrl,
      httpsAgent: this.httpsAgent,
    });
    for (const [name, value] of Object.entries(apiHeaders)) instance.defaults.headers.common[name] ??= value;
    installAxiosBearerInterceptor(instance, { own, choose: this.#dependencies.choose });
    return new M2MHttpService(instance);
  }

  #carrierOf(provider: TokenProvider): TokenCarrier {
    const { maxReplayBytes: maxBytes, isTokenRejected, tokenHeader } = this.#configuration;
    return carrierOf(provider, this.#dependencies.clock, { maxBytes, isTokenRejected }, tokenHeader);
  }

  #tokenProvider(events: EventStream<OutboundEvent>): ManagedTokenProvider {
    const configuration = this.#configuration;
    const { clock, random } = this.#dependencies;
    const { hint } = configuration.identityProvider;
    return new ManagedTokenProvider({
      requester: () => this.#identityProvider().requester,
      parameters: configuration.parameters,
      allowedOrigins: configuration.allowedOrigins,
      dpop: this.#dpop,
      maxTokens: configuration.maxTokens,
      policy: configuration.refreshPolicy,
      keepWarm: configuration.keepWarm,
      acquireTimeoutMs: configuration.acquireTimeoutMs,
      requestTimeoutMs: configuration.tokenRequestTimeoutMs,
      unsafeExpiredTokenGraceMs: configuration.unsafeExpiredTokenGraceMs,
      start: configuration.start,
      startTimeoutMs: configuration.startTimeoutMs,
      startSpreadMs: configuration.startSpreadMs,
      context: { client: configuration.name, server: this.#serverName, hint },
      events,
      clock,
      random,
    });
  }

  /** The token endpoint if it is configured; otherwise the issuer. */
  get #serverName(): string {
    const { tokenEndpoint, issuer } = this.#configuration.identityProvider;
    return tokenEndpoint ?? issuer ?? '';
  }

  /** Created at the first token request. */
  #identityProvider(): IdentityProviderAccess {
    this.#access ??= this.#accessIdentityProvider();
    return this.#access;
  }

  #accessIdentityProvider(): IdentityProviderAccess {
    const configuration = this.#configuration;
    const { clientId, authentication, grant, quarantinePolicy, identityProvider, plainHttp } = configuration;
    const { clock, random, quarantine } = this.#dependencies;
    const fetch = createBoundedFetch({ agent: configuration.agent, ca: configuration.ca });
    const server = new ServerMetadata(identityProvider, plainHttp, fetch);
    const requestHeaders = () => configuration.tokenRequestHeaders;
    const endpoint = new TokenEndpoint({
      server,
      clientId,
      requestFormat: configuration.tokenRequestFormat,
      requestHeaders,
      response: configuration.tokenResponse,
      warnings: this.#warnings,
      dpop: this.#dpop,
      fetch,
      clock,
    });
    const requester = new TokenRequester({
      clientId,
      serverName: this.#serverName,
      endpoint,
      grant,
      authentication,
      quarantine: quarantine(),
      quarantinePolicy,
      clock,
      random,
    });
    return { fetch, server, requester, requestHeaders };
  }
}

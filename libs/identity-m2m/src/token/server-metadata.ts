import type { AuthorizationServer } from 'oauth4webapi';
import type { AssertionAudience } from '../credentials/client-assertion.js';
import { discoverAuthorizationServer, DiscoveryError } from '../foundation/authorization-server-discovery.js';
import type { BoundedFetch } from '../foundation/bounded-fetch.js';
import type { TlsIdentity } from '../foundation/tls.js';
import { type PlainHttp, urlFault } from '../foundation/url.js';

/** The location of an authorization server's endpoints: configured, or discovered through the issuer. */
export interface ServerLocation {
  readonly issuer?: string | undefined;
  readonly tokenEndpoint?: string | undefined;
  readonly revocationEndpoint?: string | undefined;
  readonly assertionAudience?: AssertionAudience | undefined;
}

/** Metadata of an authorization server that has a token endpoint (RFC 8414 §2). */
export type EndpointMetadata = AuthorizationServer & { readonly token_endpoint: string };

/** An endpoint that receives the client's credential. */
export type CredentialEndpoint = 'token_endpoint' | 'revocation_endpoint';

/** Finds the endpoints of a client's authorization server: once, and again after {@link invalidate}. */
export class ServerMetadata {
  #discovered: EndpointMetadata | undefined;
  #isInvalid = false;

  constructor(
    private readonly location: ServerLocation,
    private readonly plainHttp: PlainHttp,
    private readonly fetch: BoundedFetch,
  ) {}

  /**
   * Returns the metadata for a request to one endpoint. Its `issuer` is the audience that an assertion needs there. The
   * revocation endpoint is undefined if the server has none.
   *
   * @param tls The client's certificate, if it has one. The server may require it for discovery as well, and may have
   * another endpoint for clients with a certificate (RFC 8705 §5).
   * @throws {@link DiscoveryError}; the reason of the signal once that has aborted.
   */
  async forEndpoint(name: CredentialEndpoint, signal: AbortSignal, tls?: TlsIdentity): Promise<EndpointMetadata> {
    const found = await this.#metadata(signal, tls);
    const alias = tls && found.mtls_endpoint_aliases?.[name];
    const metadata = alias === undefined ? found : { ...found, [name]: alias };
    if (this.location.assertionAudience !== 'endpoint') return metadata;
    return { ...metadata, issuer: metadata[name] ?? metadata.issuer };
  }

  /** Explains why a valid assertion may be refused; undefined if its audience is already the endpoint. */
  get assertionRemark(): string | undefined {
    const { issuer, assertionAudience } = this.location;
    if (issuer === undefined || assertionAudience === 'endpoint') return undefined;
    return "The audience of its assertion is the issuer; if the server expects the endpoint, set assertionAudience: 'endpoint' of the identity provider.";
  }

  /** Makes the next request discover the endpoints again, because the known one failed: the server may have moved. */
  invalidate(): void {
    this.#isInvalid = true;
  }

  async #metadata(signal: AbortSignal, tls: TlsIdentity | undefined): Promise<EndpointMetadata> {
    const { issuer, tokenEndpoint, revocationEndpoint } = this.location;
    if (tokenEndpoint !== undefined) {
      return {
        issuer: issuer ?? tokenEndpoint,
        token_endpoint: tokenEndpoint,
        ...(revocationEndpoint !== undefined && { revocation_endpoint: revocationEndpoint }),
      };
    }
    const known = this.#discovered;
    if (known && !this.#isInvalid) return known;
    try {
      this.#discovered = await this.#discover(signal, tls);
      this.#isInvalid = false;
      return this.#discovered;
    } catch (error) {
      // The endpoints that were found before may still be right.
      const isUnanswered =
        error instanceof DiscoveryError && ['outage', 'certificate', 'unexplained'].includes(error.fault);
      if (known && isUnanswered) return known;
      throw error;
    }
  }

  async #discover(signal: AbortSignal, tls: TlsIdentity | undefined): Promise<EndpointMetadata> {
    const issuer = this.location.issuer ?? '';
    const fetch: BoundedFetch = (url, init) => this.fetch(url, { ...init, tls });
    const input = { issuer, member: 'token_endpoint', plainHttp: this.plainHttp, fetch, signal } as const;
    const metadata = await discoverAuthorizationServer(input);
    const endpoint = metadata.token_endpoint;
    if (endpoint === undefined) {
      throw new DiscoveryError('wrong_document', `the metadata of ${issuer} has no token_endpoint`);
    }
    // The client's credential is sent to each of these.
    const { token_endpoint, revocation_endpoint } = metadata.mtls_endpoint_aliases ?? {};
    for (const url of [endpoint, metadata.revocation_endpoint, token_endpoint, revocation_endpoint]) {
      const fault = url === undefined ? undefined : urlFault(url, this.plainHttp);
      if (fault) {
        throw new DiscoveryError('wrong_document', `the metadata of ${issuer} has an unsafe endpoint (${fault})`);
      }
    }
    return { ...metadata, token_endpoint: endpoint };
  }
}

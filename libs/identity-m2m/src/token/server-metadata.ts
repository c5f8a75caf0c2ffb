import type { AuthorizationServer } from 'oauth4webapi';
import type { AssertionAudience } from '../credentials/client-assertion.js';
import { discoverAuthorizationServer, DiscoveryError } from '../foundation/authorization-server-discovery.js';
import type { BoundedFetch } from '../foundation/bounded-fetch.js';
import type { TlsIdentity } from '../foundation/tls.js';
import { type PlainHttp, urlFault } from '../foundation/url.js';

/** Where a token endpoint is: named outright, or found through the issuer's metadata. */
export interface TokenServerLocation {
  readonly issuer?: string | undefined;
  readonly tokenEndpoint?: string | undefined;
  readonly revocationEndpoint?: string | undefined;
  readonly assertionAudience?: AssertionAudience | undefined;
}

/** What a client needs to know about its authorization server. */
export type TokenServerMetadata = AuthorizationServer & { readonly token_endpoint: string };

/** Finds the token endpoint, once, and again after {@link doubt}. */
export class ServerMetadata {
  #discovered: TokenServerMetadata | undefined;
  #isDoubted = false;

  constructor(
    private readonly location: TokenServerLocation,
    private readonly plainHttp: PlainHttp,
    private readonly fetch: BoundedFetch,
  ) {}

  /**
   * @param tls What the client shows of itself, and whom it believes, where it does so: the server may ask for it here
   * as well, and may have its certificate from the same authority.
   * @throws {@link DiscoveryError}; the reason of the signal once that has aborted.
   */
  async metadata(signal: AbortSignal, tls?: TlsIdentity): Promise<TokenServerMetadata> {
    const { issuer, tokenEndpoint, revocationEndpoint } = this.location;
    if (tokenEndpoint !== undefined) {
      return {
        issuer: issuer ?? tokenEndpoint,
        token_endpoint: tokenEndpoint,
        ...(revocationEndpoint !== undefined && { revocation_endpoint: revocationEndpoint }),
      };
    }
    const known = this.#discovered;
    if (known && !this.#isDoubted) return known;
    try {
      this.#discovered = await this.#discover(signal, tls);
      this.#isDoubted = false;
      return this.#discovered;
    } catch (error) {
      // What was found before may still be right.
      const isUnanswered =
        error instanceof DiscoveryError && ['outage', 'certificate', 'unexplained'].includes(error.fault);
      if (known && isUnanswered) return known;
      throw error;
    }
  }

  /** The metadata for a request to one of its endpoints: `issuer` is what assertions have as their audience there. */
  addressed(metadata: TokenServerMetadata, endpoint: 'token_endpoint' | 'revocation_endpoint'): TokenServerMetadata {
    if (this.location.assertionAudience !== 'endpoint') return metadata;
    return { ...metadata, issuer: metadata[endpoint] ?? metadata.issuer };
  }

  /** Why an assertion may be refused that is right in all else; undefined where it was addressed to the endpoint. */
  get assertionRemark(): string | undefined {
    const { issuer, assertionAudience } = this.location;
    if (issuer === undefined || assertionAudience === 'endpoint') return undefined;
    return "Its assertion is addressed to the issuer; if the server wants the endpoint there, set assertionAudience: 'endpoint' of the identity provider.";
  }

  /** Discovers anew next time: the endpoint that was found does not answer, or not as one. It may have moved. */
  doubt(): void {
    this.#isDoubted = true;
  }

  async #discover(signal: AbortSignal, tls: TlsIdentity | undefined): Promise<TokenServerMetadata> {
    const issuer = this.location.issuer ?? '';
    const fetch: BoundedFetch = (url, init) => this.fetch(url, { ...init, tls });
    const input = { issuer, member: 'token_endpoint', plainHttp: this.plainHttp, fetch, signal } as const;
    const metadata = await discoverAuthorizationServer(input);
    const endpoint = metadata.token_endpoint;
    if (endpoint === undefined) {
      throw new DiscoveryError('wrong_document', `the metadata of ${issuer} names no token_endpoint`);
    }
    // Each of these will be sent the client's credentials.
    const { token_endpoint, revocation_endpoint } = metadata.mtls_endpoint_aliases ?? {};
    for (const url of [endpoint, metadata.revocation_endpoint, token_endpoint, revocation_endpoint]) {
      const fault = url === undefined ? undefined : urlFault(url, this.plainHttp);
      if (fault) {
        throw new DiscoveryError('wrong_document', `the metadata of ${issuer} names an unfit endpoint (${fault})`);
      }
    }
    return { ...metadata, token_endpoint: endpoint };
  }
}

import { createHash, type X509Certificate } from 'node:crypto';
import { createServer as createHttpServer, type RequestListener, type Server } from 'node:http';
import { createServer as createHttpsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import type { TLSSocket } from 'node:tls';
import { createLocalJWKSet, decodeJwt, exportJWK, generateKeyPair, type JWTPayload, jwtVerify, type JWK } from 'jose';
import type {
  Adapter,
  AdapterPayload,
  ClientMetadata,
  Configuration,
  KoaContextWithOIDC,
  Provider,
} from 'oidc-provider';
import type { CertificateAuthority } from './certificates.js';

const JWT_BEARER = 'urn:ietf:params:oauth:grant-type:jwt-bearer';

/** A request to one of the server's endpoints, as the server understood it. */
export interface SeenRequest {
  readonly path: string;
  readonly isMtls: boolean;
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Readonly<Record<string, string>>;
  /** The client that the server took it to come from, and how that client is registered to prove itself. */
  readonly clientId: string | undefined;
  readonly clientAuthMethod: string | undefined;
}

export interface AuthorizationServerOptions {
  /**
   * Certificates of this authority are asked for at a second, https address, which the metadata names (RFC 8705 §5).
   */
  readonly mtlsAuthority?: CertificateAuthority;
  /** Keys of whoever signs the assertions of JWT bearer grants. */
  readonly assertionKeys?: { readonly keys: JWK[] };
  /** Grants tokens that only introspection can read (RFC 7662), and that are for no resource in particular. */
  readonly opaqueTokens?: boolean;
}

/**
 * A complete authorization server (oidc-provider) on loopback ports, which grants client credentials and JWT bearers.
 */
export class AuthorizationServer {
  readonly requests: SeenRequest[] = [];
  /** Whether proofs of possession need a nonce (RFC 9449 §8). */
  requiresNonce = false;
  readonly #clients = new Map<string, ClientMetadata>();
  readonly #servers: Server[] = [];

  private constructor(
    readonly issuer: string,
    readonly mtlsUrl: string | undefined,
    readonly publicKeys: { readonly keys: JWK[] },
  ) {}

  static async start(options: AuthorizationServerOptions = {}): Promise<AuthorizationServer> {
    const http = createHttpServer();
    const https = options.mtlsAuthority && createHttpsServer(await mtlsOptions(options.mtlsAuthority));
    const issuer = await listen(http, 'http');
    const mtlsUrl = https && (await listen(https, 'https'));
    const { privateKey, publicKey } = await generateKeyPair('ES256', { extractable: true });
    const names = { alg: 'ES256', kid: 'server-key', use: 'sig' };
    const self = new AuthorizationServer(issuer, mtlsUrl, { keys: [{ ...(await exportJWK(publicKey)), ...names }] });
    const signingKey = { ...(await exportJWK(privateKey)), ...names } as JWK;
    const handler = await self.#requestHandler(signingKey, options);
    for (const server of [http, https]) {
      if (!server) continue;
      server.on('request', handler);
      self.#servers.push(server);
    }
    return self;
  }

  /** Registers a client, or changes one. */
  register(metadata: Partial<ClientMetadata> & { client_id: string }): void {
    this.#clients.set(metadata.client_id, {
      grant_types: ['client_credentials', JWT_BEARER],
      response_types: [],
      redirect_uris: [],
      id_token_signed_response_alg: 'ES256',
      ...metadata,
    });
  }

  /** The claims of an access token that this server has signed. */
  async claimsOf(token: string): Promise<JWTPayload> {
    const { payload } = await jwtVerify(token, createLocalJWKSet(this.publicKeys), {
      issuer: this.issuer,
      audience: 'https://api.example',
      typ: 'at+jwt',
    });
    return payload;
  }

  /** Token requests only. */
  get tokenRequests(): SeenRequest[] {
    return this.requests.filter(({ path }) => path === '/token');
  }

  async close(): Promise<void> {
    for (const server of this.#servers) {
      const closed = new Promise((resolve) => server.close(resolve));
      server.closeAllConnections();
      await closed;
    }
  }

  async #requestHandler(signingKey: JWK, options: AuthorizationServerOptions): Promise<RequestListener> {
    const provider = await quietly(async () => {
      const { Provider } = await import('oidc-provider');
      return new Provider(this.issuer, this.#configuration(signingKey, options));
    });
    registerJwtBearer(provider, options.assertionKeys ?? { keys: [] });
    provider.use(async (ctx, next) => {
      await next();
      const { client, body = {} } = (ctx.oidc ?? {}) as Partial<KoaContextWithOIDC['oidc']>;
      this.requests.push({
        path: ctx.path,
        isMtls: ctx.secure,
        status: ctx.status,
        headers: ctx.headers as Record<string, string>,
        body: body as Record<string, string>,
        clientId: client?.clientId,
        clientAuthMethod: client?.clientAuthMethod,
      });
    });
    const answer = provider.callback();
    return (request, response) => void answer(request, response);
  }

  #configuration(signingKey: JWK, { opaqueTokens = false }: AuthorizationServerOptions): Configuration {
    const clients = this.#clients;
    return {
      adapter: (name: string) => new MemoryAdapter(name === 'Client' ? clients : undefined),
      jwks: { keys: [signingKey] },
      cookies: { keys: ['not used by machines'] },
      scopes: ['users', 'reports'],
      clientAuthMethods: [
        'client_secret_basic',
        'client_secret_post',
        'client_secret_jwt',
        'private_key_jwt',
        'tls_client_auth',
        'self_signed_tls_client_auth',
        'none',
      ],
      discovery: {
        ...(this.mtlsUrl && {
          mtls_endpoint_aliases: {
            token_endpoint: `${this.mtlsUrl}/token`,
            revocation_endpoint: `${this.mtlsUrl}/token/revocation`,
          },
        }),
      },
      ttl: { ClientCredentials: 3600 },
      extraTokenClaims: ({ oidc: { params } }) =>
        typeof params?.assertion === 'string' ? { on_behalf_of: decodeJwt(params.assertion).sub } : undefined,
      features: {
        devInteractions: { enabled: false },
        clientCredentials: { enabled: true },
        revocation: { enabled: true, allowedPolicy: () => true },
        introspection: { enabled: opaqueTokens, allowedPolicy: () => true },
        dPoP: { enabled: true, nonceSecret: Buffer.alloc(32, 7), requireNonce: () => this.requiresNonce },
        resourceIndicators: {
          enabled: !opaqueTokens,
          defaultResource: () => 'https://api.example',
          useGrantedResource: () => true,
          getResourceServerInfo: () => ({
            scope: 'users reports',
            audience: 'https://api.example',
            accessTokenFormat: 'jwt',
            accessTokenTTL: 3600,
            jwt: { sign: { alg: 'ES256' } },
          }),
        },
        mTLS: {
          enabled: true,
          certificateBoundAccessTokens: true,
          tlsClientAuth: true,
          selfSignedTlsClientAuth: true,
          getCertificate: (ctx) => peerCertificate(ctx),
          certificateAuthorized: (ctx) => (ctx.socket as TLSSocket).authorized,
          certificateSubjectMatches: (ctx, _property, expected) => peerCertificate(ctx)?.subject === expected,
        },
      },
    };
  }
}

/** Thumbprint of a certificate as tokens that are bound to it have it in `cnf` (RFC 8705 §3.1). */
export function certificateThumbprint({ raw }: X509Certificate): string {
  return createHash('sha256').update(raw).digest('base64url');
}

function peerCertificate(ctx: KoaContextWithOIDC): X509Certificate | undefined {
  return (ctx.socket as TLSSocket).getPeerX509Certificate?.();
}

function registerJwtBearer(provider: Provider, keys: { readonly keys: JWK[] }): void {
  provider.registerGrantType(
    JWT_BEARER,
    async (ctx) => {
      const { client, params, provider } = ctx.oidc;
      const { errors } = await import('oidc-provider');
      const assertion = String(params?.assertion);
      await jwtVerify(assertion, createLocalJWKSet(keys), { audience: provider.issuer }).catch(() => {
        throw new errors.InvalidGrant('the assertion is not trusted');
      });
      const token = new provider.ClientCredentials({ client, scope: 'users' });
      token.resourceServer = new provider.ResourceServer('https://api.example', {
        scope: 'users reports',
        audience: 'https://api.example',
        accessTokenFormat: 'jwt',
        jwt: { sign: { alg: 'ES256' } },
      });
      ctx.body = { access_token: await token.save(), token_type: 'Bearer', expires_in: 3600 };
    },
    ['assertion', 'scope'],
  );
}

async function mtlsOptions(authority: CertificateAuthority) {
  // A certificate that nobody vouches for gets as far as the endpoint, which refuses it in OAuth's terms.
  return { ...(await authority.issueForLoopback()), ca: authority.pem, requestCert: true, rejectUnauthorized: false };
}

async function listen(server: Server, scheme: string): Promise<string> {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return `${scheme}://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

/** oidc-provider comments on its runtime and its configuration when it is loaded and made. */
async function quietly<T>(action: () => Promise<T>): Promise<T> {
  const { warn, info } = console;
  console.warn = console.info = () => {};
  try {
    return await action();
  } finally {
    Object.assign(console, { warn, info });
  }
}

/** Keeps what the server stores, and finds clients in the test's own register. */
class MemoryAdapter implements Adapter {
  readonly #stored = new Map<string, AdapterPayload>();

  constructor(private readonly register: ReadonlyMap<string, ClientMetadata> | undefined) {}

  async find(id: string): Promise<AdapterPayload | undefined> {
    return this.register?.get(id) ?? this.#stored.get(id);
  }

  async upsert(id: string, payload: AdapterPayload): Promise<void> {
    this.#stored.set(id, payload);
  }

  async destroy(id: string): Promise<void> {
    this.#stored.delete(id);
  }

  async consume(): Promise<void> {}
  async findByUid(): Promise<undefined> {}
  async findByUserCode(): Promise<undefined> {}
  async revokeByGrantId(): Promise<void> {}
}

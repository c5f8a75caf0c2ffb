import { randomUUID } from 'node:crypto';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';
import { type Clock, systemClock } from '../foundation/clock.js';
import { generateSigningKey, type SigningKey, signatureOf } from './signing-key.js';

/** Options of a token of {@link TestIssuer}: its claims and header. */
export interface TestTokenOptions {
  /** Becomes `client_id` and `sub` (RFC 9068 §2.2). */
  readonly clientId: string;
  readonly audience: string | readonly string[];
  /** Value of `scope`. Default: no claim. */
  readonly scopes?: readonly string[];
  /** Time from now to `exp`, in seconds; negative for an expired token. Default: 300. */
  readonly expiresInSeconds?: number;
  /** Claims to add or replace; undefined removes a claim. */
  readonly claims?: Readonly<Record<string, unknown>>;
  /** Header parameters to add or replace; undefined removes one. */
  readonly header?: Readonly<Record<string, unknown>>;
}

/**
 * An authorization server for tests, with real keys and a real socket. It publishes its metadata and its key set,
 * handles introspection requests (RFC 7662), and signs any token. It has no token endpoint. Call `close()` at the end.
 *
 * @example
 * const issuer = await TestIssuer.start();
 * const token = await issuer.tokenFor({ clientId: 'billing', audience: 'my-api', scopes: ['read'] });
 */
export class TestIssuer {
  /** While set, replaces every response: with this HTTP status, or with `silence`, no response. Default: undefined. */
  outage: number | 'silence' | undefined;
  /** Delay of every response, in milliseconds. Default: 0. */
  latencyMs = 0;
  /** Number of requests for the key set since the start. */
  keySetRequests = 0;
  /** Number of introspection requests since the start. */
  introspectionRequests = 0;
  #keys: readonly SigningKey[] = [];
  #keysMade = 0;
  readonly #published = new Map<string, unknown>();
  readonly #publishedAsked = new Set<string>();
  /** Claims of each active token, for introspection. */
  readonly #active = new Map<string, Readonly<Record<string, unknown>>>();

  private constructor(
    private readonly server: Server,
    private readonly clock: Clock,
  ) {}

  /**
   * Starts an issuer on a free port of 127.0.0.1.
   *
   * @param algorithm Algorithm of its keys: RS256, PS256, ES256, EdDSA and so on. Default: RS256.
   * @param clock Clock for the times in its tokens. Default: the clocks of Node.js.
   */
  static async start(algorithm = 'RS256', clock: Clock = systemClock): Promise<TestIssuer> {
    const server = createServer();
    const issuer = new TestIssuer(server, clock);
    server.on('request', (request, response) => {
      // The client closed the connection.
      issuer.#answer(request, response).catch(() => response.destroy());
    });
    await issuer.rotateKeys({ algorithm });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    return issuer;
  }

  /** Issuer identifier and base URL. */
  get url(): string {
    return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}`;
  }

  get jwksUri(): string {
    return `${this.url}/keys`;
  }

  get introspectionEndpoint(): string {
    return `${this.url}/introspect`;
  }

  /**
   * Signs with a new key from now on, by default with the same algorithm. With `keep: true`, the key set keeps the old
   * keys, and their tokens stay valid.
   */
  async rotateKeys({ algorithm = this.signingKey.algorithm, keep = false } = {}): Promise<void> {
    const key = await generateSigningKey(algorithm, `key-${++this.#keysMade}`);
    this.#keys = [key, ...(keep ? this.#keys : [])];
  }

  /** Public keys of the key set. */
  get publicKeys(): readonly Readonly<Record<string, unknown>>[] {
    return this.#keys.map(({ publicJwk }) => publicJwk);
  }

  /** The current signing key. */
  get signingKey(): SigningKey {
    const [key] = this.#keys;
    if (!key) throw new Error('the issuer has no key');
    return key;
  }

  /** Returns a signed access token (RFC 9068), which is active for introspection. */
  async tokenFor(options: TestTokenOptions): Promise<string> {
    const claims = this.claimsFor(options);
    const token = await this.sign(claims, options.header);
    this.#active.set(token, claims);
    return token;
  }

  /** Returns an opaque access token; introspection returns its claims. */
  opaqueTokenFor(options: TestTokenOptions): string {
    const token = randomUUID();
    this.#active.set(token, this.claimsFor(options));
    return token;
  }

  /** Publishes a document under a path: a string unchanged, any other value as JSON. */
  publish(path: string, document: unknown): void {
    this.#published.set(path, document);
  }

  /** Paths of published documents that were requested. */
  get publishedPathsAsked(): readonly string[] {
    return [...this.#publishedAsked];
  }

  /** Revokes a token: introspection reports it as inactive from now on. */
  revoke(token: string): void {
    this.#active.delete(token);
  }

  /** Returns the claims of an access token with these options. */
  claimsFor({ clientId, audience, scopes, expiresInSeconds = 300, claims }: TestTokenOptions): Record<string, unknown> {
    const now = Math.floor(this.clock.now().wallMs / 1000);
    return {
      iss: this.url,
      aud: audience,
      sub: clientId,
      client_id: clientId,
      ...(scopes && { scope: scopes.join(' ') }),
      iat: now,
      exp: now + expiresInSeconds,
      jti: randomUUID(),
      ...claims,
    };
  }

  /** Signs claims unchanged. Members of `header` replace those of `usualHeader`. */
  async sign(
    claims: Readonly<Record<string, unknown>>,
    header: Readonly<Record<string, unknown>> = {},
  ): Promise<string> {
    return this.signText(JSON.stringify({ ...this.usualHeader, ...header }), JSON.stringify(claims));
  }

  /** Signs a header and a payload unchanged, even if they are not JSON. */
  signText(header: string | Buffer, payload: string | Buffer): string {
    const { algorithm, privateKey } = this.signingKey;
    const input = `${base64url(header)}.${base64url(payload)}`;
    return `${input}.${signatureOf(input, algorithm, privateKey).toString('base64url')}`;
  }

  /** The header of an access token (RFC 9068 §2.1). */
  get usualHeader(): { readonly alg: string; readonly kid: string; readonly typ: string } {
    const { algorithm, kid } = this.signingKey;
    return { alg: algorithm, kid, typ: 'at+jwt' };
  }

  async close(): Promise<void> {
    const closed = new Promise((resolve) => this.server.close(resolve));
    this.server.closeAllConnections();
    await closed;
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    if (this.latencyMs > 0) await new Promise((resolve) => setTimeout(resolve, this.latencyMs).unref());
    if (this.outage === 'silence') return;
    const { status, document } = await this.#answerTo(request);
    response.writeHead(this.outage ?? status, { 'content-type': 'application/json' });
    response.end(typeof document === 'string' ? document : JSON.stringify(document));
  }

  async #answerTo(request: IncomingMessage): Promise<{ status: number; document: unknown }> {
    if (request.url === '/introspect') return this.#introspect(request);
    const document = this.#document(request.url ?? '');
    return { status: document === undefined ? 404 : 200, document: document ?? {} };
  }

  /** Requires any client credential (RFC 7662 §2.1), and does not check it. */
  async #introspect(request: IncomingMessage): Promise<{ status: number; document: unknown }> {
    this.introspectionRequests++;
    const form = new URLSearchParams(await text(request));
    const isProved =
      request.headers.authorization !== undefined || form.has('client_secret') || form.has('client_assertion');
    if (!isProved) return { status: 401, document: { error: 'invalid_client' } };
    const claims = this.#active.get(form.get('token') ?? '');
    const isActive = claims !== undefined && Number(claims.exp) * 1000 > this.clock.now().wallMs;
    return { status: 200, document: isActive ? { active: true, token_type: 'Bearer', ...claims } : { active: false } };
  }

  #document(path: string): unknown {
    switch (path) {
      case '/.well-known/openid-configuration':
      case '/.well-known/oauth-authorization-server':
        return {
          issuer: this.url,
          jwks_uri: this.jwksUri,
          introspection_endpoint: this.introspectionEndpoint,
        };
      case '/keys':
        this.keySetRequests++;
        return { keys: this.publicKeys };
      default:
        if (this.#published.has(path)) this.#publishedAsked.add(path);
        return this.#published.get(path);
    }
  }
}

function base64url(text: string | Buffer): string {
  return (typeof text === 'string' ? Buffer.from(text) : text).toString('base64url');
}

import { randomUUID } from 'node:crypto';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';
import { type Clock, systemClock } from '../foundation/clock.js';
import { generateSigningKey, type SigningKey, signatureOf } from './signing-key.js';

/** What a token of a {@link TestIssuer} says. */
export interface TestTokenOptions {
  /** Becomes `client_id` and `sub` (RFC 9068 §2.2). */
  readonly clientId: string;
  readonly audience: string | readonly string[];
  /** Default: none. */
  readonly scopes?: readonly string[];
  /** Default: 300. Negative for a token that is over. */
  readonly expiresInSeconds?: number;
  /** Added to the claims, or in their place; a claim that is undefined is left out. */
  readonly claims?: Readonly<Record<string, unknown>>;
  /** Added to the header, or in the place of its members. */
  readonly header?: Readonly<Record<string, unknown>>;
}

/**
 * An authorization server in memory, with real keys behind a real socket: it publishes its metadata and its key set,
 * answers introspection requests (RFC 7662), and signs whatever a test wants signed.
 *
 * @example
 * const issuer = await TestIssuer.start();
 * const token = await issuer.tokenFor({ clientId: 'billing', audience: 'my-api', scopes: ['read'] });
 */
export class TestIssuer {
  /** Takes the place of every answer while it is set: the status to answer with, or no answer at all. */
  outage: number | 'silence' | undefined;
  /** How long every answer takes, in milliseconds. */
  latencyMs = 0;
  /** Requests for the key set so far. */
  keySetRequests = 0;
  /** Requests for introspection so far. */
  introspectionRequests = 0;
  #keys: readonly SigningKey[] = [];
  #keysMade = 0;
  readonly #published = new Map<string, unknown>();
  readonly #publishedAsked = new Set<string>();
  /** What introspection says of each token that is active. */
  readonly #active = new Map<string, Readonly<Record<string, unknown>>>();

  private constructor(
    private readonly server: Server,
    private readonly clock: Clock,
  ) {}

  /**
   * @param algorithm Of its keys: RS256, PS256, ES256, EdDSA and so on.
   * @param clock Where the times in its tokens come from. Default: the system's.
   */
  static async start(algorithm = 'RS256', clock: Clock = systemClock): Promise<TestIssuer> {
    const server = createServer();
    const issuer = new TestIssuer(server, clock);
    server.on('request', (request, response) => {
      // Whoever asked has gone.
      issuer.#answer(request, response).catch(() => response.destroy());
    });
    await issuer.rotateKeys({ algorithm });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    return issuer;
  }

  /** Issuer identifier, and where it can be reached. */
  get url(): string {
    return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}`;
  }

  get jwksUri(): string {
    return `${this.url}/keys`;
  }

  get introspectionEndpoint(): string {
    return `${this.url}/introspect`;
  }

  /** Signs with a new key from now on, of the same algorithm if no other is named. Tokens of the old ones stay good while `keep` is true. */
  async rotateKeys({ algorithm = this.signingKey.algorithm, keep = false } = {}): Promise<void> {
    const key = await generateSigningKey(algorithm, `key-${++this.#keysMade}`);
    this.#keys = [key, ...(keep ? this.#keys : [])];
  }

  /** Public keys, as the key set has them. */
  get publicKeys(): readonly Readonly<Record<string, unknown>>[] {
    return this.#keys.map(({ publicJwk }) => publicJwk);
  }

  /** The key that signs now. */
  get signingKey(): SigningKey {
    const [key] = this.#keys;
    if (!key) throw new Error('the issuer has no key');
    return key;
  }

  /** An access token as RFC 9068 has it. */
  async tokenFor(options: TestTokenOptions): Promise<string> {
    const claims = this.claimsFor(options);
    const token = await this.sign(claims, options.header);
    this.#active.set(token, claims);
    return token;
  }

  /** An access token that says nothing by itself: its claims are for introspection to tell. */
  opaqueTokenFor(options: TestTokenOptions): string {
    const token = randomUUID();
    this.#active.set(token, this.claimsFor(options));
    return token;
  }

  /** Answers requests for a path with a document of the test's own: a text as it is, all else as JSON. */
  publish(path: string, document: unknown): void {
    this.#published.set(path, document);
  }

  /** Paths that were asked for so far, of those that were published. */
  get publishedPathsAsked(): readonly string[] {
    return [...this.#publishedAsked];
  }

  /** From now on introspection calls this token inactive. */
  revoke(token: string): void {
    this.#active.delete(token);
  }

  /** The claims of an access token for these options. */
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

  /** Signs claims as they are. Members of the header that are given take the place of the usual ones. */
  async sign(
    claims: Readonly<Record<string, unknown>>,
    header: Readonly<Record<string, unknown>> = {},
  ): Promise<string> {
    return this.signText(JSON.stringify({ ...this.usualHeader, ...header }), JSON.stringify(claims));
  }

  /** Signs a header and a payload as they are, whether they are JSON or not. */
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

  /** Whoever asks has to prove something (RFC 7662 §2.1); what, is not looked at. */
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

import { constants, createHmac, generateKeyPairSync, type KeyObject, sign as signBytes } from 'node:crypto';
import { type Answer, json, type ReceivedRequest, TestServer } from './http-server.js';

/** A key pair, and what a key set says of it. */
export interface ForgingKey {
  readonly algorithm: string;
  readonly privateKey: KeyObject;
  readonly publicKey: KeyObject;
  readonly jwk: Readonly<Record<string, unknown>>;
}

/** An issuer that signs and publishes anything, right or wrong: what is in `keys` is what the key set has. */
export class ForgeableIssuer {
  keys: unknown[] = [];
  /** Takes the place of the key set's answer while it is set. */
  keySetAnswer: Answer | undefined;
  /** What the introspection endpoint answers. */
  introspectionAnswer: Answer = json(200, { active: false });
  /** Takes the place of the metadata's answer while it is set. */
  metadataAnswer: Answer | undefined;
  /** Takes the place of members of the metadata. */
  metadata: Record<string, unknown> = {};

  private constructor(readonly server: TestServer) {}

  static async start(): Promise<ForgeableIssuer> {
    const server = await TestServer.start(() => undefined);
    const issuer = new ForgeableIssuer(server);
    server.answer = (request, response, message) => issuer.#answerTo(request)(request, response, message);
    return issuer;
  }

  get url(): string {
    return this.server.url;
  }

  /** Requests for the key set so far. */
  get keySetRequests(): number {
    return this.requestsFor('/keys').length;
  }

  requestsFor(path: string): readonly ReceivedRequest[] {
    return this.server.requests.filter(({ url }) => url === path);
  }

  close(): Promise<void> {
    return this.server.close();
  }

  #answerTo({ url }: ReceivedRequest): Answer {
    if (url === '/keys') return this.keySetAnswer ?? json(200, { keys: this.keys });
    if (url === '/introspect') return this.introspectionAnswer;
    if (url !== '/.well-known/openid-configuration') return json(404, {});
    if (this.metadataAnswer) return this.metadataAnswer;
    const { url: issuer } = this;
    const endpoints = { jwks_uri: `${issuer}/keys`, introspection_endpoint: `${issuer}/introspect` };
    return json(200, { issuer, ...endpoints, ...this.metadata });
  }
}

const CURVES: Readonly<Record<string, string>> = { ES256: 'P-256', ES384: 'P-384', ES512: 'P-521' };

export function forgingKey(algorithm: string, kid?: string, more: object = {}, rsaBits = 2048): ForgingKey {
  const { publicKey, privateKey } = keyPair(algorithm, rsaBits);
  const jwk = { ...publicKey.export({ format: 'jwk' }), use: 'sig', ...(kid !== undefined && { kid }), ...more };
  return { algorithm, privateKey, publicKey, jwk };
}

function keyPair(algorithm: string, modulusLength: number) {
  const namedCurve = CURVES[algorithm];
  if (namedCurve) return generateKeyPairSync('ec', { namedCurve });
  if (algorithm.startsWith('Ed')) return generateKeyPairSync('ed25519');
  return generateKeyPairSync('rsa', { modulusLength });
}

/** Header and payload as they are: text, bytes, or what becomes JSON. */
export type Part = string | Buffer | object;

export function part(value: Part): string {
  const bytes = Buffer.isBuffer(value) || typeof value === 'string' ? value : JSON.stringify(value);
  return Buffer.from(bytes).toString('base64url');
}

/** Signs whatever it is given. A header that is an object gets the key's algorithm and `kid` unless it has its own. */
export function forge(key: ForgingKey, payload: Part, header: Part = {}): string {
  const isObject = typeof header === 'object' && !Buffer.isBuffer(header);
  const full = isObject ? { alg: key.algorithm, kid: key.jwk.kid, typ: 'at+jwt', ...header } : header;
  const input = `${part(full)}.${part(payload)}`;
  return `${input}.${signature(key, input).toString('base64url')}`;
}

export function signature({ algorithm, privateKey: key }: ForgingKey, input: string): Buffer {
  const data = Buffer.from(input);
  if (algorithm.startsWith('Ed')) return signBytes(null, data, key);
  const hash = `sha${algorithm.slice(2)}`;
  if (algorithm.startsWith('ES')) return signBytes(hash, data, { key, dsaEncoding: 'ieee-p1363' });
  if (algorithm.startsWith('RS')) return signBytes(hash, data, key);
  return signBytes(hash, data, {
    key,
    padding: constants.RSA_PKCS1_PSS_PADDING,
    saltLength: Number(algorithm.slice(2)) / 8,
  });
}

/** A token that is "signed" with a text which the attacker knows. */
export function forgeHmac(secret: string | Buffer, payload: Part, header: object = {}): string {
  const input = `${part({ alg: 'HS256', typ: 'at+jwt', ...header })}.${part(payload)}`;
  return `${input}.${createHmac('sha256', secret).update(input).digest('base64url')}`;
}

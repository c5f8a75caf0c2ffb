import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { type RunningTenant, startTenant } from '@nestjs-identity-m2m/tenant-emulator';
import {
  compactVerify,
  createRemoteJWKSet,
  decodeJwt,
  decodeProtectedHeader,
  EmbeddedJWK,
  type JWTPayload,
  jwtVerify,
  type JWTVerifyOptions,
} from 'jose';
import { attackSuite, type AttackReport, TestIssuer } from 'nestjs-identity-m2m/testing';
import { json, TestServer } from './support/http-server.js';
import { RunningApp } from './support/running-app.js';

const ACCEPTED = { clientId: 'billing', audience: 'my-api', scopes: ['read'] };

let issuer: TestIssuer;
let keys: ReturnType<typeof createRemoteJWKSet>;
const closing: (() => unknown)[] = [];
beforeAll(async () => {
  issuer = await TestIssuer.start();
  keys = createRemoteJWKSet(new URL(issuer.jwksUri));
});
afterEach(async () => {
  for (const close of closing.splice(0).toReversed()) await close();
});
afterAll(() => issuer.close());

/** What a service written by hand asks for, each part of which may be missing. */
interface HandWritten {
  /** The token of a request. */
  readonly read: (request: IncomingMessage) => string | undefined;
  /** The claims of a token that it believes; throws or rejects for others. */
  readonly verify: (token: string) => Promise<JWTPayload> | JWTPayload;
  /** Whether these claims are let in. */
  readonly accept: (claims: JWTPayload) => boolean;
}

const rules = (): JWTVerifyOptions => ({
  issuer: issuer.url,
  audience: 'my-api',
  typ: 'at+jwt',
  algorithms: ['RS256'],
  requiredClaims: ['exp'],
});
const verifyBy = async (token: string, options: JWTVerifyOptions) => (await jwtVerify(token, keys, options)).payload;
const bearer = (value: string | undefined) => /^Bearer ([\w.~+/-]+=*)$/i.exec(value ?? '')?.[1];

const careful: HandWritten = {
  read: ({ headersDistinct: { authorization = [] }, url }) =>
    authorization.length === 1 && !url?.includes('?') ? bearer(authorization[0]) : undefined,
  async verify(token) {
    const claims = await verifyBy(token, rules());
    if (claims.iat !== undefined && claims.iat > Date.now() / 1000 + 60) throw new Error('from the future');
    return claims;
  },
  accept: ({ client_id, sub, azp, act, cnf, nonce, events }) =>
    client_id === 'billing' &&
    sub === 'billing' &&
    [azp, act, cnf, nonce, events].every((claim) => claim === undefined),
};

/** A server with such a service, under attack. */
async function attacked({ read, verify, accept }: HandWritten, accepted = ACCEPTED): Promise<AttackReport> {
  const judge = async (request: IncomingMessage) => {
    const token = read(request);
    return token !== undefined && accept(await verify(token));
  };
  const server = createServer((request, response) => {
    void judge(request).then(
      (isIn) => response.writeHead(isIn ? 200 : 401).end(),
      () => response.writeHead(401).end(),
    );
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  closing.push(() => server.close());
  return attackSuite(`http://127.0.0.1:${(server.address() as AddressInfo).port}`, { issuer, accepted });
}

const rowsOf = ({ accepted }: AttackReport) => new Set(accepted.map(({ id }) => id));

describe('the attack suite finds in a service written by hand', () => {
  const weaknesses: readonly (readonly [string, Partial<HandWritten>, readonly string[]])[] = [
    [
      'that it believes the algorithm none',
      { verify: (token) => (decodeProtectedHeader(token).alg === 'none' ? decodeJwt(token) : careful.verify(token)) },
      ['S1'],
    ],
    [
      'that it takes the public key for a secret',
      {
        async verify(token) {
          if (!decodeProtectedHeader(token).alg?.startsWith('HS')) return careful.verify(token);
          const pem = issuer.signingKey.publicKey.export({ format: 'pem', type: 'spki' });
          const secret = new TextEncoder().encode(String(pem));
          return (await jwtVerify(token, secret, { ...rules(), algorithms: ['HS256', 'HS384', 'HS512'] })).payload;
        },
      },
      ['S2'],
    ],
    [
      'that it takes the key that a token brings along',
      {
        async verify(token) {
          if (!decodeProtectedHeader(token).jwk) return careful.verify(token);
          return (await jwtVerify(token, EmbeddedJWK, rules())).payload;
        },
      },
      ['S9'],
    ],
    [
      'that it verifies no signature',
      { verify: (token) => decodeJwt(token) },
      ['S1', 'S2', 'S4', 'S6', 'S8', 'S9', 'S10'],
    ],
    ['that it takes any issuer', { verify: (token) => verifyBy(token, { ...rules(), issuer: undefined! }) }, ['C4']],
    [
      'that it takes any audience',
      { verify: (token) => verifyBy(token, { ...rules(), audience: undefined! }) },
      ['C6'],
    ],
    [
      'that it takes any kind of token',
      { verify: (token) => verifyBy(token, { ...rules(), typ: undefined! }) },
      ['C11'],
    ],
    ['that it needs no end', { verify: (token) => verifyBy(token, { ...rules(), requiredClaims: [] }) }, ['C1']],
    [
      'that it asks for no time at all',
      {
        async verify(token) {
          const { payload, protectedHeader } = await compactVerify(token, keys);
          const claims = JSON.parse(new TextDecoder().decode(payload)) as JWTPayload;
          if (protectedHeader.typ !== 'at+jwt' || claims.iss !== issuer.url) throw new Error('of somebody else');
          if (claims.aud !== 'my-api') throw new Error('for somebody else');
          return claims;
        },
      },
      ['C1', 'C2'],
    ],
    [
      'that it accepts any client',
      { accept: (claims) => claims.act === undefined && claims.cnf === undefined },
      ['C9'],
    ],
    ['that it ignores delegation', { accept: ({ client_id }) => client_id === 'billing' }, ['C12', 'C13']],
    [
      'that it looks into the query',
      {
        read: (request) =>
          careful.read(request) ?? new URL(request.url!, 'http://x').searchParams.get('access_token') ?? undefined,
      },
      ['H3'],
    ],
    ['that it takes the first of two headers', { read: ({ headers }) => bearer(headers.authorization) }, ['H1']],
    [
      'that it takes the last word of a header',
      { read: ({ headers }) => headers.authorization?.split(' ').at(-1) },
      ['H1', 'H2'],
    ],
  ];

  let without: Set<string> | undefined;

  it.each(weaknesses)('%s', async (_name, weakness, rows) => {
    const found = rowsOf(await attacked({ ...careful, ...weakness }));
    expect([...found]).toEqual(expect.arrayContaining([...rows]));
    // Not because the suite finds them everywhere.
    without ??= rowsOf(await attacked(careful));
    expect(rows.filter((row) => without!.has(row))).toEqual([]);
  });

  it('the same with other token formats: forgeries are modelled on the accepted token', async () => {
    const accepted = {
      ...ACCEPTED,
      claims: { iss: `${issuer.url}/api/`, client_id: undefined, sub: 'a-uuid', unique_name: 'billing' },
      header: { typ: 'JWT' },
    };
    const careless: HandWritten = {
      ...careful,
      verify: (token) => verifyBy(token, { typ: 'JWT' }),
      accept: () => true,
    };
    const { accepted: got } = await attacked(careless, accepted);
    const found = new Set(got.map(({ id }) => id));
    for (const row of ['C1', 'C4', 'C6', 'C9', 'C13']) expect(found).toContain(row);
    expect(got.map(({ attack }) => attack)).toContain('unique_name ""');
  });

  it('each hole by its row, with the attack and its result', async () => {
    const { accepted: got, made } = await attacked({ ...careful, verify: (token) => decodeJwt(token) });
    expect(got).toContainEqual({ id: 'S1', attack: 'alg "none", no signature', status: 200 });
    expect(got.length).toBeLessThan(made);
  });
});

describe('the attack suite finds nothing in the sample service', () => {
  let tenant: RunningTenant;
  let front: TestServer;
  let dataFolder: string;
  let service: RunningApp;
  let url: string;

  /** The tenant, but for the keys of the application that issues tokens for the service: these are a test's own. */
  beforeAll(async () => {
    tenant = await startTenant();
    front = await TestServer.start(async ({ method, url: path, headers, body }, response) => {
      const { host: _host, connection: _connection, 'content-length': _length, ...passed } = headers;
      const init = { method, headers: passed, ...(body !== '' && { body }) };
      if (path.toLowerCase().startsWith('/oauth2/keys/internal-api')) {
        return json(200, { keys: issuer.publicKeys })({ method, url: path, headers, body }, response, undefined!);
      }
      const answer = await fetch(`${tenant.url}${path}`, init);
      return response
        .writeHead(answer.status, { 'content-type': answer.headers.get('content-type') ?? 'text/plain' })
        .end(await answer.text());
    });
    dataFolder = await mkdtemp(join(tmpdir(), 'attacked-'));
    const started = await RunningApp.start('user-provisioning', {
      PORT: '0',
      TENANT_URL: front.url,
      TENANT_CLIENT_ID: 'svc-provisioning@acme.example',
      TENANT_CLIENT_SECRET: 'dev-only: provisioning p+ss/wörd%21',
      ALLOWED_CLIENTS: 'svc-cli@acme.example',
      DATA_DIR: dataFolder,
    });
    service = started.app;
    url = String(started.ready.url);
  });
  afterAll(async () => {
    await service.stop();
    await front.close();
    await tenant.close();
    await rm(dataFolder, { recursive: true });
  });

  it('accepts only the named client, has no server errors, and reveals nothing', async () => {
    const report = await attackSuite(url, {
      issuer,
      accepted: {
        clientId: 'svc-cli@acme.example',
        audience: 'user-provisioning',
        scopes: ['users.read'],
        // A token as CyberArk Identity writes it.
        claims: {
          iss: `${front.url}/internal-api/`,
          client_id: undefined,
          sub: '0c2f1d5e-1f0a-4b5c-9c68-0a8c4c4f7d11',
          unique_name: 'svc-cli@acme.example',
        },
        header: { typ: 'JWT' },
      },
      path: '/users/svc-cli',
    });
    expect(report).toMatchObject({ accepted: [], crashed: [], echoed: [] });
    expect(report.made).toBeGreaterThan(150);
  });
});

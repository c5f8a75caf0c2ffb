import { Readable } from 'node:stream';
import { HttpService } from '@nestjs/axios';
import { Test } from '@nestjs/testing';
import {
  bearerFetch,
  type Clock,
  genericOAuth2,
  type ClientOptions,
  IdentityM2MModule,
  M2M_CLOCK,
  type OutboundEvent,
  TokenProvider,
} from 'nestjs-identity-m2m';
import { bearerInterceptor } from 'nestjs-identity-m2m/undici';
import type { Agent } from 'undici';
import { type Answer, json, TestServer } from './http-server.js';
import { TestTokenServer } from './token-server.js';
import { UNDICI_VERSIONS } from './undici-versions.js';

/** A Nest application with one client, its token endpoint, an API that the token is bound to, and another one. */
export interface OutboundApplication {
  readonly http: HttpService;
  readonly provider: TokenProvider;
  /** All that the client told so far. */
  readonly events: OutboundEvent[];
  readonly tokens: TestTokenServer;
  readonly api: TestServer;
  readonly elsewhere: TestServer;
}

const running: (() => unknown)[] = [];

/** Ends what a test has begun. */
export function closeLater(close: () => unknown): void {
  running.push(close);
}

/** For `afterEach`. */
export async function closeAll(): Promise<void> {
  await Promise.all(running.splice(0).map((close) => close()));
}

type Options = Partial<ClientOptions>;

/** @param options Of the client, or what makes them of the servers' addresses. */
export async function outboundApplication(
  options: Options | ((servers: { api: string; elsewhere: string }) => Options) = {},
  clock?: Clock,
): Promise<OutboundApplication> {
  const tokens = await TestTokenServer.start();
  const api = await TestServer.start(json(200, { ok: true }));
  const elsewhere = await TestServer.start(json(200, { ok: true }));
  const building = Test.createTestingModule({
    imports: [
      IdentityM2MModule.forRoot({
        client: {
          identityProvider: genericOAuth2({ tokenEndpoint: tokens.url }),
          clientId: 'test-client',
          clientSecret: 'test-secret',
          allowedOrigins: [api.url],
          ...(typeof options === 'function' ? options({ api: api.url, elsewhere: elsewhere.url }) : options),
        },
      }),
    ],
  });
  if (clock) building.overrideProvider(M2M_CLOCK).useValue(clock);
  const module = await building.compile();
  module.useLogger(false);
  await module.init();
  for (const { close } of [tokens, api, elsewhere].map((server) => ({ close: () => server.close() })))
    closeLater(close);
  closeLater(() => module.close());
  const provider = module.get(TokenProvider);
  const events: OutboundEvent[] = [];
  provider.events.subscribe((event) => events.push(event));
  return { http: module.get(HttpService), provider, events, tokens, api, elsewhere };
}

export interface CallOptions {
  readonly method?: 'GET' | 'POST';
  readonly headers?: Record<string, string>;
  readonly body?: string | Buffer | Readable;
  readonly signal?: AbortSignal;
}

export type Call = (url: string, options?: CallOptions) => Promise<{ status: number; body: string }>;

type CarrierName = 'HttpService' | 'bearerFetch' | 'undici 7' | 'undici 8';

/** The same call by each carrier. */
export const CARRIERS: [
  CarrierName,
  (application: Pick<OutboundApplication, 'http' | 'provider'>, options?: Agent.Options) => Call,
][] = [
  [
    'HttpService',
    ({ http }) =>
      async (url, { body, ...options } = {}) => {
        const asText = { responseType: 'text', transformResponse: (data: string) => data } as const;
        const response = await http.axiosRef.request<string>({
          url,
          data: body,
          validateStatus: () => true,
          ...asText,
          ...options,
        });
        return { status: response.status, body: response.data };
      },
  ],
  [
    'bearerFetch',
    ({ provider }) => {
      const fetch = bearerFetch(provider);
      return async (url, { body, ...options } = {}) => {
        const stream = body instanceof Readable ? (Readable.toWeb(body) as ReadableStream) : body;
        const response = await fetch(url, { ...options, body: stream, duplex: 'half' });
        return { status: response.status, body: await response.text() };
      };
    },
  ],
  ...UNDICI_VERSIONS.map(([name, { Agent, request }]): (typeof CARRIERS)[number] => [
    name as CarrierName,
    ({ provider }, options) => {
      const agent = new Agent(options);
      closeLater(() => agent.destroy());
      const dispatcher = agent.compose(bearerInterceptor(provider));
      return async (url, options) => {
        const response = await request(url, { dispatcher, ...options });
        return { status: response.statusCode, body: await response.body.text() };
      };
    },
  ]),
];

export const sentTo = (server: TestServer) => server.requests.map(({ headers }) => headers.authorization);

/** Answers 401 to a set of tokens and 200 to the rest. */
export const rejecting =
  (...rejected: string[]): Answer =>
  (request, response) => {
    const bad = rejected.some((token) => request.headers.authorization === `Bearer ${token}`);
    response.writeHead(bad ? 401 : 200, { 'content-type': 'application/json' }).end(JSON.stringify({ ok: !bad }));
  };

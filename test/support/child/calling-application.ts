import { Readable } from 'node:stream';
import axios from 'axios';
import {
  AccessToken,
  type AccessTokenStatus,
  bearerFetch,
  type OriginDecision,
  EventStream,
  type GetTokenOptions,
  type OutboundEvent,
  TokenProvider,
  withToken,
} from 'nestjs-identity-m2m';
import { bearerInterceptor } from 'nestjs-identity-m2m/undici';
import type * as Undici from 'undici';
import { installAxiosBearerInterceptor } from '../../../libs/identity-m2m/src/carriers/axios/bearer-interceptor.js';
import { carrierOf } from '../../../libs/identity-m2m/src/carriers/token-carrier.js';
import { systemClock } from '../../../libs/identity-m2m/src/foundation/clock.js';

export type CarrierName = 'axios' | 'fetch' | 'undici' | 'undici-8';

/** What the parent process says is to be done. */
export interface CallingApplicationOptions {
  readonly api: string;
  /** How many paths the API has: `/0`, `/1` … */
  readonly paths: number;
  readonly carriers: readonly CarrierName[];
  /** Whether a predicate says what a rejected token looks like. */
  readonly predicate: boolean;
}

/** What is printed in the end, unless a call ends the process. */
export interface CallingApplicationReport {
  /** How each call ended: by its status, or by the name of an error. */
  readonly ended: readonly string[];
  readonly renewals: number;
}

/** Has a token for each scope at once, and another one in its place when a connection has had the time to end. */
class SlowlyRenewed extends TokenProvider {
  readonly clientName = 'child';
  readonly events = new EventStream<OutboundEvent>();
  renewals = 0;
  readonly #tokens = new Map<string, AccessToken>();

  explain(): OriginDecision {
    return { isAllowed: true, reason: 'allowed' };
  }

  peek({ scope }: GetTokenOptions = {}): AccessToken {
    const key = String(scope);
    const token = this.#tokens.get(key) ?? new AccessToken(`${key}.first`);
    this.#tokens.set(key, token);
    return token;
  }

  async getToken(options?: GetTokenOptions): Promise<AccessToken> {
    return this.peek(options);
  }

  async renewToken(_rejected: AccessToken, { scope }: GetTokenOptions = {}): Promise<AccessToken> {
    this.renewals += 1;
    await new Promise((resolve) => setTimeout(resolve, 30));
    const token = new AccessToken(`${String(scope)}.second`);
    this.#tokens.set(String(scope), token);
    return token;
  }

  status(): AccessTokenStatus {
    return { freshness: 'fresh', refreshing: false, dormant: false };
  }
}

const { api, paths, carriers, predicate } = JSON.parse(process.argv[2]!) as CallingApplicationOptions;
const provider = new SlowlyRenewed();
carrierOf(provider, systemClock, {
  maxBytes: 1_000_000,
  isTokenRejected: predicate ? ({ status, body }) => status === 401 || body.includes('session') : [401],
});
const signal = () => AbortSignal.timeout(500);

interface Init {
  readonly method: string;
  readonly body?: () => Readable;
}

type Call = (url: string, scope: string, init: Init) => Promise<number>;

const byUndici = async (name: string): Promise<Call> => {
  const { Agent, request } = (await import(name)) as typeof Undici;
  const agent = new Agent();
  return async (url, scope, { method, body }) => {
    const dispatcher = agent.compose(bearerInterceptor(provider, { token: { scope } }));
    const options = { dispatcher, signal: signal(), method, body: body?.() } as Parameters<typeof request>[1];
    const answer = await request(url, options);
    await answer.body.text();
    return answer.statusCode;
  };
};

const makers: Readonly<Record<CarrierName, () => Promise<Call>>> = {
  async axios() {
    const own = { carrier: carrierOf(provider), baseUrl: undefined, httpsAgent: undefined };
    const instance = axios.create({ maxRedirects: 0, validateStatus: () => true });
    installAxiosBearerInterceptor(instance, { own, choose: async () => own });
    return async (url, scope, { method, body }) => {
      const config = withToken({ scope }, { signal: signal(), url, method, data: body?.() });
      return (await instance.request(config)).status;
    };
  },
  async fetch() {
    return async (url, scope, { method, body }) => {
      const fetch = bearerFetch(provider, { token: { scope } });
      const init: RequestInit = { signal: signal(), method };
      if (body) Object.assign(init, { body: Readable.toWeb(body()), duplex: 'half' });
      const response = await fetch(url, init);
      await response.text();
      return response.status;
    };
  },
  undici: () => byUndici('undici'),
  'undici-8': () => byUndici('undici-8'),
};

// Bodies that can be sent again and one that cannot, and an answer without a body.
const inits: readonly Init[] = [
  { method: 'GET' },
  { method: 'HEAD' },
  { method: 'POST', body: () => Readable.from(['abc']) },
];
const ended: string[] = [];
await Promise.all(
  carriers.map(async (name) => {
    const call = await makers[name]();
    const todo = inits.flatMap((init) => Array.from({ length: paths }, (_, path) => ({ init, path })));
    const worker = async () => {
      for (let next = todo.pop(); next; next = todo.pop()) {
        // A token of its own for each call, so that each has its own renewal.
        const scope = `${name}.${next.init.method}.${next.path}`;
        const outcome = call(`${api}/${next.path}`, scope, next.init);
        ended.push(`${scope} ${await outcome.catch((error: unknown) => (error as Error).name)}`);
      }
    };
    await Promise.all(Array.from({ length: 16 }, worker));
  }),
);
// What comes late does so now.
await new Promise((resolve) => setTimeout(resolve, 50));
console.log(JSON.stringify({ ended, renewals: provider.renewals } satisfies CallingApplicationReport));
process.exit(0);

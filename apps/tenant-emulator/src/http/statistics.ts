import type { TenantPart } from '../config/switches.js';

/** Times that each outcome was seen, by its name. */
export type OutcomeCounts = Readonly<Record<string, number>>;

/** What the tenant was asked since the start or the last reset. */
export interface TenantStatistics {
  /** Token requests that arrived, those included which are not answered yet, or never. */
  readonly tokenRequestsReceived: number;
  /** By login name, and by outcome. Names that no OAuth client has share one entry. */
  readonly tokenRequests: Readonly<Record<string, OutcomeCounts>>;
  /** Calls of the REST API that arrived, by path in lower case. */
  readonly apiCalls: Readonly<Record<string, number>>;
  /** The same by outcome, as far as there is one. */
  readonly apiOutcomes: Readonly<Record<string, OutcomeCounts>>;
  /** Requests for keys that arrived. */
  readonly keyFetches: number;
  /** Requests for metadata that arrived. */
  readonly discoveryFetches: number;
  /** Requests for introspection that arrived. */
  readonly introspections: number;
}

const UNKNOWN_CLIENT = '(unknown client)';
const UNKNOWN_PATH = '(unknown path)';

/** Paths that are counted apart. Whatever a caller makes up would let the table grow without end. */
const API_PATHS = new Set([
  '/cdirectoryservice/createuser',
  '/cdirectoryservice/createusers',
  '/cdirectoryservice/changeuser',
  '/cdirectoryservice/getuser',
  '/cdirectoryservice/getuserbyname',
  '/cdirectoryservice/getusers',
  '/cdirectoryservice/deleteuser',
  '/cdirectoryservice/setuserstate',
  '/security/whoami',
  '/redrock/query',
]);

/** Counts requests. */
export class Statistics {
  #tokenRequestsReceived = 0;
  #tokenRequests = new Map<string, Map<string, number>>();
  #apiCalls = new Map<string, number>();
  #apiOutcomes = new Map<string, Map<string, number>>();
  #keyFetches = 0;
  #discoveryFetches = 0;
  #introspections = 0;

  countArrival(part: TenantPart | undefined, path: string): void {
    const lowerCase = path.toLowerCase();
    if (isTokenRequest(part, path)) this.#tokenRequestsReceived++;
    if (part === 'api') increment(this.#apiCalls, apiPath(path));
    if (part !== 'keys') return;
    if (lowerCase.startsWith('/oauth2/keys')) this.#keyFetches++;
    else if (lowerCase.startsWith('/oauth2/introspect')) this.#introspections++;
    else if (!lowerCase.startsWith('/oauth2/userinfo')) this.#discoveryFetches++;
  }

  /** @param client Login name of an OAuth client. */
  countOutcome(part: TenantPart | undefined, path: string, client: string | undefined, outcome: string): void {
    if (isTokenRequest(part, path)) increment(countsOf(this.#tokenRequests, client ?? UNKNOWN_CLIENT), outcome);
    if (part === 'api') increment(countsOf(this.#apiOutcomes, apiPath(path)), outcome);
  }

  snapshot(): TenantStatistics {
    return {
      tokenRequestsReceived: this.#tokenRequestsReceived,
      tokenRequests: byOutcome(this.#tokenRequests),
      apiCalls: Object.fromEntries(this.#apiCalls),
      apiOutcomes: byOutcome(this.#apiOutcomes),
      keyFetches: this.#keyFetches,
      discoveryFetches: this.#discoveryFetches,
      introspections: this.#introspections,
    };
  }

  reset(): void {
    this.#tokenRequestsReceived = this.#keyFetches = this.#discoveryFetches = this.#introspections = 0;
    this.#tokenRequests.clear();
    this.#apiCalls.clear();
    this.#apiOutcomes.clear();
  }
}

function isTokenRequest(part: TenantPart | undefined, path: string): boolean {
  return part === 'token' && !path.toLowerCase().startsWith('/oauth2/revoke');
}

function apiPath(path: string): string {
  const lowerCase = path.toLowerCase().replace(/\/$/, '');
  return API_PATHS.has(lowerCase) ? lowerCase : UNKNOWN_PATH;
}

function countsOf(table: Map<string, Map<string, number>>, key: string): Map<string, number> {
  const counts = table.get(key) ?? new Map<string, number>();
  table.set(key, counts);
  return counts;
}

function increment(counts: Map<string, number>, key: string): void {
  counts.set(key, (counts.get(key) ?? 0) + 1);
}

function byOutcome(table: Map<string, Map<string, number>>): Record<string, OutcomeCounts> {
  return Object.fromEntries([...table].map(([key, counts]) => [key, Object.fromEntries(counts)]));
}

import type { TenantPart } from '../config/switches.js';

/** Number of requests by outcome. */
export type OutcomeCounts = Readonly<Record<string, number>>;

/** Counts of requests since the start or the last reset. */
export interface TenantStatistics {
  /** Token requests received, with or without a response. */
  readonly tokenRequestsReceived: number;
  /** Token requests by login name and outcome. All names that are not those of OAuth clients share one entry. */
  readonly tokenRequests: Readonly<Record<string, OutcomeCounts>>;
  /** REST calls received, by path in lower case. */
  readonly apiCalls: Readonly<Record<string, number>>;
  /** REST calls by path and outcome, once the outcome is known. */
  readonly apiOutcomes: Readonly<Record<string, OutcomeCounts>>;
  /** Requests for keys received. */
  readonly keyFetches: number;
  /** Requests for metadata received. */
  readonly discoveryFetches: number;
  /** Introspection requests received. */
  readonly introspections: number;
}

const UNKNOWN_CLIENT = '(unknown client)';
const UNKNOWN_PATH = '(unknown path)';

/** Paths with a count of their own. Counting every requested path would let the table grow without limit. */
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

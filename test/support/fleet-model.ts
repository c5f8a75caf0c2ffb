import type { ClientOptions, Clock, IdentityProvider, TokenProvider } from 'nestjs-identity-m2m';
import { grant, type SimulatedAnswer, SimulatedNetwork, type SimulatedRequest } from './simulated-network.js';

/** What the model needs of the library. Passed in, so that two versions can be compared. */
export interface ModelledLibrary {
  readonly ConfiguredClients: new (options: {
    readonly clock: Clock;
    readonly random: () => number;
    readonly production: boolean;
    readonly onClient: () => void;
  }) => {
    addByOptions(name: string, options: ClientOptions): { readonly provider: TokenProvider };
    close(): Promise<void>;
  };
  readonly genericOAuth2: (options: { readonly tokenEndpoint: string }) => IdentityProvider;
}

/** What the token endpoint answers during an outage, by the time since its beginning in milliseconds. */
export type Outage = (sinceMs: number) => SimulatedAnswer;

export interface FleetOptions {
  readonly lifetimeSeconds: number;
  readonly outageSeconds: number;
  readonly outage: Outage;
  /** Whether the processes start in the outage, instead of long before. */
  readonly isColdStart?: boolean;
  /** Phases of the tokens' lives in which the outage begins. Default: 12. */
  readonly phases?: number;
  readonly seed: number;
}

const PROCESSES = 40;
const TICK_MS = 200;
/** Time after the recovery that is watched, in milliseconds … */
const AFTERMATH_MS = 30_000;
/** … and how long the recovery may take. */
const LONGEST_RECOVERY_MS = 7200_000;

/** What a fleet of 40 processes, each with 5 calls a second, makes of outages in 12 phases of its tokens' lives. */
export interface FleetFigures {
  /**
   * Calls that got no token, as a share of those that are made in the time of the outage; more than 1 where it lingers.
   */
  readonly meanFail: number;
  readonly worstFail: number;
  /** Token requests in the busiest second of the whole fleet. */
  readonly peakHealthy: number;
  readonly peakOutage: number;
  /** Token requests of one process in the outage: the most. */
  readonly worstTries: number;
  /** Token requests of one process in an hour without outage. */
  readonly mintsPerHour: number;
  /** Token requests of the whole fleet in each minute of the outage, on the average. */
  readonly requestsPerMinute: number;
  /** Calls that got no token, of the whole fleet: the mean of all phases. */
  readonly meanFailed: number;
  /** Time from the recovery until the last call fails, in seconds: the mean of all phases, and the worst. */
  readonly meanRecovery: number;
  readonly worstRecovery: number;
  /** Time from the recovery until each process has a token, in seconds: that of the slowest in all phases. */
  readonly slowestToken: number;
}

export async function fleetFigures(library: ModelledLibrary, options: FleetOptions): Promise<FleetFigures> {
  const { phases: total = 12 } = options;
  const phases: PhaseFigures[] = [];
  for (let phase = 0; phase < total; phase++) phases.push(await phaseFigures(library, options, phase / total, phase));
  const of = (figure: (phase: PhaseFigures) => number) => phases.map(figure);
  return {
    meanFail: mean(of(({ failShare }) => failShare)),
    worstFail: Math.max(...of(({ failShare }) => failShare)),
    peakHealthy: Math.max(...of(({ peakHealthy }) => peakHealthy)),
    peakOutage: Math.max(...of(({ peakOutage }) => peakOutage)),
    worstTries: Math.max(...of(({ worstTries }) => worstTries)),
    mintsPerHour: mean(of(({ mintsPerHour }) => mintsPerHour)),
    requestsPerMinute: mean(of(({ requestsPerMinute }) => requestsPerMinute)),
    meanFailed: mean(of(({ failed }) => failed)),
    meanRecovery: mean(of(({ recoverySeconds }) => recoverySeconds)),
    worstRecovery: Math.max(...of(({ recoverySeconds }) => recoverySeconds)),
    slowestToken: Math.max(...of(({ tokenSeconds }) => tokenSeconds)),
  };
}

interface PhaseFigures {
  readonly failShare: number;
  readonly peakHealthy: number;
  readonly peakOutage: number;
  readonly worstTries: number;
  readonly mintsPerHour: number;
  readonly requestsPerMinute: number;
  readonly failed: number;
  readonly recoverySeconds: number;
  readonly tokenSeconds: number;
}

/** @param phase How far into the life of their tokens the processes are when the outage begins, from 0 to 1. */
async function phaseFigures(
  library: ModelledLibrary,
  options: FleetOptions,
  phase: number,
  run: number,
): Promise<PhaseFigures> {
  const { lifetimeSeconds, outageSeconds, outage, isColdStart = false } = options;
  const network = new SimulatedNetwork();
  const { clock } = network;
  const random = randomOf(options.seed * 1000 + run);
  const lifeMs = lifetimeSeconds * 1000;
  const beginMs = isColdStart ? 0 : (3 + phase) * lifeMs;
  const endMs = beginMs + outageSeconds * 1000;
  let tokens = 0;
  network.answer = ({ at }) =>
    at >= beginMs && at < endMs ? outage(at - beginMs) : grant(`token-${++tokens}`, lifetimeSeconds);

  const clients = new library.ConfiguredClients({ clock, random, production: false, onClient: () => {} });
  const providers = Array.from({ length: PROCESSES }, (_, process) => {
    const client = clients.addByOptions(`process-${process}`, {
      identityProvider: library.genericOAuth2({ tokenEndpoint: 'http://127.0.0.1/token' }),
      // Each process has memory of its own, as clients of different ids have.
      clientId: `process-${process}`,
      clientSecret: 'a-long-client-secret',
      agent: network,
    });
    return { ...client, startsAt: random() * 1000 };
  });

  const calls = { failed: 0, lastFailedAt: 0 };
  const countFailure = () => {
    calls.failed++;
    calls.lastFailedAt = clock.ms;
  };
  const callAll = (onFailure: () => void) => {
    for (const { provider, startsAt } of providers) {
      if (clock.ms >= startsAt && !provider.peek()) provider.getToken().catch(onFailure);
    }
  };
  // While all is well a call a second shows the same, and takes less time.
  while (clock.ms + 1000 <= beginMs) {
    callAll(() => {});
    await clock.advance(clock.ms < 2000 ? TICK_MS : 1000);
  }
  await clock.advance(beginMs - clock.ms);
  const isServed = () => providers.every(({ provider }) => provider.peek());
  while (clock.ms < endMs || (!isServed() && clock.ms < endMs + LONGEST_RECOVERY_MS)) {
    callAll(countFailure);
    await clock.advance(TICK_MS);
  }
  const servedAt = clock.ms;
  // The refreshes that the outage has put off are part of it.
  const watchedMs = clock.ms + AFTERMATH_MS;
  while (clock.ms < watchedMs) {
    callAll(countFailure);
    await clock.advance(1000);
  }
  await clients.close();

  const fromOutage = network.received.filter(({ at }) => at >= beginMs);
  const inOutage = fromOutage.filter(({ at }) => at < endMs);
  const healthy = network.received.filter(({ at }) => at >= 2 * lifeMs && at < beginMs);
  return {
    failShare: calls.failed / ((PROCESSES * outageSeconds * 1000) / TICK_MS),
    peakHealthy: peak(network.received.filter(({ at }) => at >= 2000 && at < beginMs)),
    peakOutage: peak(fromOutage),
    worstTries: Math.max(...perProcess(inOutage).values(), 0),
    mintsPerHour: beginMs > 2 * lifeMs ? (healthy.length / PROCESSES / (beginMs - 2 * lifeMs)) * 3600_000 : 0,
    requestsPerMinute: inOutage.length / (outageSeconds / 60),
    failed: calls.failed,
    recoverySeconds: Math.max(calls.lastFailedAt - endMs, 0) / 1000,
    tokenSeconds: (servedAt - endMs) / 1000,
  };
}

function perProcess(requests: readonly SimulatedRequest[]): Map<string, number> {
  const counts = new Map<string, number>();
  for (const { headers } of requests) {
    const client = headers.authorization ?? '';
    counts.set(client, (counts.get(client) ?? 0) + 1);
  }
  return counts;
}

/** Requests in the busiest second. */
function peak(requests: readonly SimulatedRequest[]): number {
  let most = 0;
  for (let first = 0, last = 0; last < requests.length; last++) {
    while (requests[last]!.at - requests[first]!.at >= 1000) first++;
    most = Math.max(most, last - first + 1);
  }
  return most;
}

export interface LoginOptions {
  /** What the token endpoint answers to the wrong secret. */
  readonly refusal: SimulatedAnswer;
  /** Time that it takes for that, in milliseconds. Default: 20. */
  readonly refusalMs?: number;
  readonly scopes: number;
  /** For each scope, at most 1. */
  readonly callsPerSecond: number;
  readonly acquireTimeoutMs?: number;
  readonly hours: number;
  /** Whether the secret was right until the beginning. */
  readonly wasAccepted?: boolean;
  readonly seed: number;
}

/** How often a wrong secret is shown in an hour each, the first one first. */
export async function loginsPerHour(library: ModelledLibrary, options: LoginOptions): Promise<number[]> {
  const network = new SimulatedNetwork();
  const { clock } = network;
  const clients = new library.ConfiguredClients({
    clock,
    random: randomOf(options.seed),
    production: false,
    onClient: () => {},
  });
  const { provider } = clients.addByOptions('client', {
    identityProvider: library.genericOAuth2({ tokenEndpoint: 'http://127.0.0.1/token' }),
    clientId: 'client',
    clientSecret: 'the-wrong-secret',
    acquireTimeoutMs: options.acquireTimeoutMs ?? 5000,
    agent: network,
  });
  const scopes = Array.from({ length: options.scopes }, (_, scope) => `scope-${scope}`);
  const callAll = () => {
    for (const scope of scopes) provider.getToken({ scope }).catch(() => {});
  };
  if (options.wasAccepted) {
    network.answer = () => grant(`token-${network.received.length}`, 60);
    callAll();
    await clock.advance(1000);
    // The tokens end with nobody there to refresh them.
    await clock.advance(600_000);
  }
  const begin = clock.ms;
  const already = network.received.length;
  network.answer = () => options.refusal;
  network.latencyMs = options.refusalMs ?? network.latencyMs;
  while (clock.ms < begin + options.hours * 3600_000) {
    callAll();
    await clock.advance(1000 / options.callsPerSecond);
  }
  await clients.close();
  const shown = network.received.slice(already);
  return Array.from({ length: options.hours }, (_, hour) => {
    const from = begin + hour * 3600_000;
    return shown.filter(({ at }) => at >= from && at < from + 3600_000).length;
  });
}

/** Uniform in [0, 1), the same each time (mulberry32). */
export function randomOf(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296;
  };
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

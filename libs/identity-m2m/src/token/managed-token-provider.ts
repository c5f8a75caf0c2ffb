import type { DpopProver } from '../credentials/dpop-prover.js';
import type { Clock } from '../foundation/clock.js';
import type { EventStream } from '../foundation/event-stream.js';
import type { StartMode } from '../foundation/start-mode.js';
import { RefreshedToken, type RefreshedTokenOptions } from './refreshed-token.js';
import type { AccessTokenStatus } from './token-report.js';
import type { AccessToken } from './access-token.js';
import { TokenCache } from './token-cache.js';
import { type OriginDecision, AllowedOrigins } from './allowed-origins.js';
import type { OutboundEvent } from './outbound-events.js';
import type { RetryBackoff } from './retry-policy.js';
import { SecondTries } from './single-flight.js';
import type { TokenRequester } from './token-requester.js';
import {
  ClientRejectedError,
  TokenParametersError,
  TokenRequestRejectedError,
  TokenUnavailableError,
} from './token-errors.js';
import {
  requestedAccess,
  bodyParameters,
  parametersFault,
  tokenKey,
  type TokenParameters,
} from './token-parameters.js';
import { type GetTokenOptions, TokenProvider } from './token-provider.js';
import { waitAtMost } from '../foundation/promises.js';

export interface ManagedTokenProviderOptions extends Omit<
  RefreshedTokenOptions,
  'attempt' | 'requestedAccess' | 'secondTries'
> {
  /** Makes token requests; called when the first one is due. */
  readonly requester: () => TokenRequester;
  /** Default parameters of token requests. */
  readonly parameters: TokenParameters;
  /** Origins that calls with the token may go to. */
  readonly allowedOrigins: Iterable<string>;
  readonly dpop: DpopProver | undefined;
  /** Maximum number of cached tokens, one per set of parameters. */
  readonly maxTokens: number;
  readonly start: StartMode;
  /** Maximum wait for a token at boot in mode `require`, in milliseconds. */
  readonly startTimeoutMs: number;
  /**
   * Maximum random delay of the first token request, in milliseconds: it spreads the requests of instances that boot
   * together.
   */
  readonly startSpreadMs: number;
}

/** A {@link TokenProvider} that fetches its tokens from a token endpoint, and refreshes them by schedule. */
export class ManagedTokenProvider extends TokenProvider {
  readonly clientName: string;
  readonly events: EventStream<OutboundEvent>;
  readonly #allowedOrigins: AllowedOrigins;
  /** The token for the client's own parameters, which most calls use. */
  readonly #default: RefreshedToken;
  readonly #defaultKey: string;
  /** Tokens for other parameters; undefined until a call needs one. */
  #cache: TokenCache | undefined;
  /** Aborts the work of `start`, once background refreshes are stopped. */
  readonly #startAbort = new AbortController();
  #isClosed = false;
  /** Ends the wait for the next attempt at boot. */
  #waitAbort = new AbortController();
  readonly #secondTries: SecondTries;

  constructor(private readonly options: ManagedTokenProviderOptions) {
    super();
    this.clientName = options.context.client;
    this.events = options.events;
    this.#allowedOrigins = new AllowedOrigins(options.allowedOrigins);
    this.#secondTries = new SecondTries(options.clock, options.acquireTimeoutMs / 3);
    this.#default = this.#create(options.parameters);
    this.#defaultKey = tokenKey(options.parameters);
  }

  explain(url: string): OriginDecision {
    return this.#allowedOrigins.explain(url);
  }

  peek(options?: GetTokenOptions): AccessToken | undefined {
    if (!options) return this.#default.peek();
    return this.#find(options).token?.peek(this.#minTtlMs(options));
  }

  async getToken(options: GetTokenOptions = {}): Promise<AccessToken> {
    const { token, key, parameters } = this.#find(options);
    return (token ?? this.#add(key, parameters)).getToken(options.signal, this.#minTtlMs(options));
  }

  async renewToken(rejected: AccessToken, options: GetTokenOptions = {}): Promise<AccessToken | undefined> {
    return this.#find(options).token?.renew(rejected, options.signal);
  }

  override previousToken(token: AccessToken, options: GetTokenOptions = {}): AccessToken | undefined {
    return this.#find(options).token?.previousToken(token, this.#minTtlMs(options));
  }

  status(options: TokenParameters = {}): AccessTokenStatus {
    const unknown: AccessTokenStatus = { freshness: 'none', refreshing: false, dormant: false };
    return this.#find(options).token?.status() ?? unknown;
  }

  override retryNow(): void {
    this.options.requester().resetQuarantine();
    this.#default.retryNow();
    this.#cache?.retryNow();
    this.#waitAbort.abort();
    this.#waitAbort = new AbortController();
    this.events.emit({ type: 'client.retry_now', client: this.clientName });
  }

  override async proof(token: AccessToken, method: string, url: string): Promise<string | undefined> {
    if (token.tokenType !== 'DPoP') return undefined;
    return this.options.dpop?.proof({ method, url, accessToken: token.reveal() });
  }

  override learnNonce(url: string, nonce: string | null | undefined): boolean {
    return this.options.dpop?.learnNonce(url, nonce) ?? false;
  }

  /**
   * Fetches a token at boot, as the start mode requires.
   *
   * @throws {@link TokenUnavailableError} in mode `require`: immediately if the identity provider refuses the client or
   * the request, otherwise after `startTimeoutMs`.
   */
  async start(): Promise<void> {
    if (this.options.start === 'lazy') return;
    const delayMs = this.options.random() * this.options.startSpreadMs;
    if (this.options.start === 'require') await this.#requireToken(delayMs);
    else if (delayMs === 0) this.#default.warmUp();
    else {
      const cancelTimer = this.options.clock.setTimer(delayMs, () => this.#default.warmUp());
      this.#startAbort.signal.addEventListener('abort', cancelTimer);
    }
  }

  /** Stops background refreshes; callers are still served. */
  stopRefreshing(): void {
    this.#startAbort.abort();
    for (const token of this.#all()) token.stopRefreshing();
  }

  /** Aborts token requests under way too. A held token is still returned until it expires. */
  close(): void {
    this.#startAbort.abort();
    this.#isClosed = true;
    for (const token of this.#all()) token.close();
  }

  /** Returns all tokens that have not expired, for revocation. */
  heldTokens(): AccessToken[] {
    return [...this.#all()].flatMap((token) => token.heldToken() ?? []);
  }

  readonly #create = (parameters: TokenParameters, backoff?: RetryBackoff): RefreshedToken => {
    const body = bodyParameters(parameters);
    const { requester, ...options } = this.options;
    const attempt: RefreshedTokenOptions['attempt'] = (...args) => requester().attempt(body, ...args);
    const own = { attempt, requestedAccess: requestedAccess(parameters), secondTries: this.#secondTries };
    const token = new RefreshedToken({ ...options, ...own }, backoff);
    if (this.#startAbort.signal.aborted) token.stopRefreshing();
    if (this.#isClosed) token.close();
    return token;
  };

  /** Returns the parameters of a caller's token, their key, and the token, if there is one. */
  #find(options: GetTokenOptions) {
    const isOwn = !hasParameters(options);
    const parameters = isOwn ? this.options.parameters : this.#merged(options);
    const key = isOwn ? this.#defaultKey : tokenKey(parameters);
    return { parameters, key, token: key === this.#defaultKey ? this.#default : this.#cache?.find(key) };
  }

  #add(key: string, parameters: TokenParameters): RefreshedToken {
    this.#cache ??= new TokenCache(this.options.maxTokens - 1, this.#create);
    return this.#cache.add(key, parameters, this.#overloadError);
  }

  #merged(options: GetTokenOptions): TokenParameters {
    const fault = parametersFault(options);
    if (fault) throw new TokenParametersError(`Invalid token parameters for client "${this.clientName}": ${fault}.`);
    const defaults = this.options.parameters;
    return {
      scope: options.scope ?? defaults.scope,
      audience: options.audience ?? defaults.audience,
      resource: options.resource ?? defaults.resource,
      parameters: { ...defaults.parameters, ...options.parameters },
    };
  }

  #minTtlMs({ minTtlSeconds = 0 }: GetTokenOptions): number {
    if (Number.isFinite(minTtlSeconds) && minTtlSeconds >= 0) return minTtlSeconds * 1000;
    throw new TokenParametersError(
      `Invalid token parameters for client "${this.clientName}": minTtlSeconds must be a number of seconds, 0 or above.`,
    );
  }

  *#all(): Iterable<RefreshedToken> {
    yield this.#default;
    if (this.#cache) yield* this.#cache.all();
  }

  readonly #overloadError = () =>
    new TokenUnavailableError(
      'overloaded',
      `No access token for client "${this.clientName}": ${this.options.maxTokens} tokens with different parameters are being fetched already. Retry later, or raise maxTokens.`,
      { client: this.clientName },
    );

  async #requireToken(delayMs: number): Promise<void> {
    const { clock, startTimeoutMs } = this.options;
    await sleep(delayMs, clock, this.#startAbort.signal);
    const outOfTime = new AbortController();
    const giveUp = () => outOfTime.abort();
    if (this.#startAbort.signal.aborted) giveUp();
    this.#startAbort.signal.addEventListener('abort', giveUp);
    const cancelTimer = clock.setTimer(startTimeoutMs, giveUp, true);
    let lastError: unknown;
    try {
      while (!outOfTime.signal.aborted) {
        try {
          await this.getToken({ signal: outOfTime.signal });
          return;
        } catch (error) {
          if (isPermanent(error)) throw error;
          if (error instanceof TokenUnavailableError) {
            lastError = error;
            const dueInMs = (error.retryAt?.getTime() ?? 0) - clock.now().wallMs;
            await sleep(dueInMs, clock, AbortSignal.any([outOfTime.signal, this.#waitAbort.signal]));
          }
        }
      }
    } finally {
      cancelTimer();
    }
    if (this.#startAbort.signal.aborted) {
      const message = `No access token for client "${this.clientName}": the application stopped during its start.`;
      throw new TokenUnavailableError('shut_down', message, { client: this.clientName, cause: lastError });
    }
    throw new TokenUnavailableError(
      'wait_timeout',
      `No access token for client "${this.clientName}" within ${startTimeoutMs} ms, which start: "require" needs. See the cause.`,
      { client: this.clientName, cause: lastError },
    );
  }
}

function hasParameters({ scope, audience, resource, parameters }: TokenParameters): boolean {
  return scope !== undefined || audience !== undefined || resource !== undefined || parameters !== undefined;
}

function isPermanent(error: unknown): boolean {
  return (
    error instanceof ClientRejectedError ||
    error instanceof TokenRequestRejectedError ||
    (error instanceof TokenUnavailableError && error.reason === 'certificate_rejected')
  );
}

/** Waits until the time has passed or the signal aborts. */
async function sleep(ms: number, clock: Clock, signal: AbortSignal): Promise<void> {
  if (ms > 0) await waitAtMost(new Promise(() => {}), ms, clock, signal).catch(() => {});
}

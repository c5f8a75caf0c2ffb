import { DiscoveryError } from '../foundation/authorization-server-discovery.js';
import { HttpExchangeError } from '../foundation/bounded-fetch.js';
import type { Clock } from '../foundation/clock.js';
import type { EventStream } from '../foundation/event-stream.js';
import { printableText } from '../foundation/text.js';
import type { StartMode } from '../foundation/start-mode.js';
import { waitAtMost } from '../foundation/promises.js';
import { KeySetError, problemText } from './key-source.js';
import type { ResolvedIssuers } from './resolved-issuers.js';
import type { TrustedIssuer } from './trusted-issuer.js';
import type { VerificationEvent } from './verification-events.js';

export interface TrustedIssuersOptions {
  /** The issuers that the options name. */
  readonly named: readonly TrustedIssuer[];
  /** Issuers that the resolver accepts; undefined: none. */
  readonly resolved: ResolvedIssuers | undefined;
  readonly start: StartMode;
  /** Timeout of the start with `require`, in milliseconds. */
  readonly startTimeoutMs: number;
  readonly events: EventStream<VerificationEvent>;
  readonly clock: Clock;
}

/** The issuers whose tokens are accepted, by their identifiers, which are compared exactly. */
export class TrustedIssuers {
  readonly #named: ReadonlyMap<string, TrustedIssuer>;
  readonly #closing = new AbortController();
  #started: Promise<void> | undefined;

  constructor(private readonly options: TrustedIssuersOptions) {
    this.#named = new Map(options.named.map((issuer) => [issuer.issuer, issuer]));
  }

  /** Identifiers of the issuers that the options name. */
  get names(): readonly string[] {
    return [...this.#named.keys()];
  }

  get resolved(): ResolvedIssuers | undefined {
    return this.options.resolved;
  }

  /** Finds an issuer that the options name. */
  find(issuer: string): TrustedIssuer | undefined {
    return this.#named.get(issuer);
  }

  /**
   * Fetches the keys before a token needs them.
   *
   * @throws {@link KeySetError} with `require`: at once if a certificate is rejected, because waiting does not help;
   * otherwise after `startTimeoutMs`.
   */
  start(): Promise<void> {
    return (this.#started ??= this.#start());
  }

  close(): void {
    this.#closing.abort(new KeySetError('the verifier was closed before it had the keys of its issuers'));
    for (const { keys, opaqueTokens, signedTokens } of this.#named.values()) {
      keys.close();
      opaqueTokens?.close();
      signedTokens?.close();
    }
    this.options.resolved?.close();
  }

  async #start(): Promise<void> {
    const { start, startTimeoutMs, clock } = this.options;
    if (start === 'lazy') return;
    const missing = new Set([...this.#named.values()].filter(({ fetchesKeysEarly }) => fetchesKeysEarly));
    const ready = [...missing].map(async (issuer) => {
      await issuer.keys.warmUp();
      missing.delete(issuer);
    });
    if (start === 'warm') return;
    const mistake = this.#certificateFault(missing);
    try {
      const hasKeys = Promise.race([Promise.all(ready), mistake.found]);
      if (await waitAtMost(hasKeys, startTimeoutMs, clock, this.#closing.signal)) return;
    } finally {
      mistake.forget();
    }
    throw startError(missing, ` within ${startTimeoutMs} ms`);
  }

  /** Rejects as soon as a server's certificate is rejected, because waiting does not help. */
  #certificateFault(issuers: ReadonlySet<TrustedIssuer>) {
    let forget = () => {};
    const found = new Promise<never>((_resolve, reject) => {
      forget = this.options.events.subscribe(() => {
        const rejected = [...issuers].filter(({ keys }) => isCertificateFault(keys.problem));
        if (rejected.length > 0) reject(startError(rejected, ''));
      });
    });
    return { found, forget };
  }
}

function isCertificateFault(problem: unknown): boolean {
  return (problem instanceof HttpExchangeError || problem instanceof DiscoveryError) && problem.fault === 'certificate';
}

function startError(issuers: Iterable<TrustedIssuer>, when: string): KeySetError {
  const missing = [...issuers].map(({ issuer, keys }) => ({ issuer: printableText(issuer), problem: keys.problem }));
  const lines = missing.map(({ issuer, problem }) => `\n  ${issuer}: ${problemText(problem) ?? 'no response yet'}`);
  return new KeySetError(
    `The guard has start: 'require', but could not get the keys of these issuers${when}:${lines.join('')}`,
    { cause: missing[0]?.problem },
  );
}

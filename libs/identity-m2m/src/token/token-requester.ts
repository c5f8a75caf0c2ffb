import type { ClientAuthentication, ClientCredential } from '../credentials/client-authentication.js';
import type { CredentialQuarantine, Quarantine, QuarantinePolicy } from '../credentials/credential-quarantine.js';
import type { SignedAssertion } from '../credentials/signed-assertion.js';
import type { TokenGrant } from '../credentials/token-grant.js';
import type { Clock, Instant } from '../foundation/clock.js';
import { boundedRetryAfterMs } from './retry-policy.js';
import type { ServerMetadata } from './server-metadata.js';
import type { TokenEndpoint, TokenRequest } from './token-endpoint.js';
import type { BodyParameters } from './token-parameters.js';
import type { Acquisition, TokenFailure, TokenResult } from './token-result.js';
import type { AttemptProgress } from './single-flight.js';

/** What a client can prove itself with, and the time that its proof should name. */
export interface UsableCredential {
  readonly credential: ClientCredential;
  /** As the server has it, as far as is known. */
  readonly serverNow: Date;
}

export interface TokenRequesterOptions {
  readonly clientId: string;
  /** Identifies the server in the quarantine, which all clients share. */
  readonly serverName: string;
  readonly server: ServerMetadata;
  readonly endpoint: TokenEndpoint;
  readonly grant: TokenGrant;
  readonly authentication: ClientAuthentication;
  readonly quarantine: CredentialQuarantine;
  readonly quarantinePolicy: QuarantinePolicy;
  readonly clock: Clock;
  /** Uniform in [0, 1). */
  readonly random: () => number;
}

/** Difference between clocks from which on it may be why an assertion was refused, in milliseconds. */
const NOTABLE_SKEW_MS = 30_000;

/**
 * Makes attempts to get a token: reads the credential, sees whether it may be shown, shows it, and records how that went.
 */
export class TokenRequester {
  /** Fingerprint of the credential that was accepted last. */
  #accepted: string | undefined;
  /** Where that was read. */
  #preferred = 0;
  /** By how much the server's clock is taken to be ahead of ours, in milliseconds. */
  #serverAheadMs = 0;

  constructor(private readonly options: TokenRequesterOptions) {}

  /** @param progress Is kept up to date while the attempt is under way. */
  async attempt(
    parameters: BodyParameters,
    signal: AbortSignal,
    progress: AttemptProgress,
  ): Promise<TokenResult<Acquisition>> {
    const attempt = { parameters, signal, progress, tried: new Set<string>() };
    const outcome = await this.#requestWithEach(attempt);
    if (outcome.ok || outcome.failure.refusal?.isWithheld !== false) return outcome;
    // The credential may have been rotated just now: one more look, and one more attempt only with another one.
    const before = attempt.tried.size;
    const later = await this.#requestWithEach(attempt);
    return attempt.tried.size === before ? outcome : later;
  }

  /**
   * What the client proves itself with in requests other than those for tokens: the credential that was accepted last,
   * never one that was refused.
   */
  async readUsableCredential(): Promise<UsableCredential | undefined> {
    const { quarantine } = this.options;
    for (const [, read] of this.#inOrder()) {
      const credentials = await this.#readCredentials(read);
      if ('failure' in credentials) continue;
      const { credential } = credentials;
      if (quarantine.remaining(this.#quarantineKey(credential.fingerprint))) continue;
      return { credential, serverNow: this.#serverNow() };
    }
    return undefined;
  }

  /** Forgets what stood against this client's credentials. */
  resetQuarantine(): void {
    this.options.quarantine.forgetRefusals(this.#quarantineKey(''));
  }

  /** Shows one credential after the other, until one is not refused. */
  async #requestWithEach(attempt: Attempt): Promise<TokenResult<Acquisition>> {
    const { progress, tried } = attempt;
    let refused: TokenResult<Acquisition> | undefined;
    let unreadable: TokenFailure | undefined;
    for (const [index, read] of this.#inOrder()) {
      progress.silentSince = this.options.clock.now();
      progress.second = 'beside';
      const credentials = await this.#readCredentials(read);
      if ('failure' in credentials) {
        unreadable ??= credentials.failure;
        continue;
      }
      const { fingerprint } = credentials.credential;
      if (tried.has(fingerprint)) continue;
      tried.add(fingerprint);
      const outcome = await this.#requestWith(credentials, attempt);
      if (outcome.ok) this.#preferred = index;
      if (outcome.ok || !outcome.failure.refusal) return outcome;
      // A refusal just now says more than an earlier one.
      if (!refused || !outcome.failure.refusal.isWithheld) refused = outcome;
    }
    return refused ?? { ok: false, failure: unreadable ?? { kind: 'transient', detail: 'there is no credential' } };
  }

  /** The one first from which the credential came that was accepted last. */
  #inOrder() {
    const readers = [...this.options.authentication.credentials.entries()];
    return readers.toSorted(([a], [b]) => Number(b === this.#preferred) - Number(a === this.#preferred));
  }

  async #requestWith(credentials: RequestCredentials, attempt: Attempt): Promise<TokenResult<Acquisition>> {
    const { progress, signal } = attempt;
    const key = this.#quarantineKey(credentials.credential.fingerprint);
    // Whoever is ahead has to be answered first.
    progress.silentSince = undefined;
    if (progress.isSecond) this.#supersedeFirst(key, progress);
    const endTurn = await this.options.quarantine.waitForTurn(key, signal, progress.isSecond);
    progress.credentialKey = key;
    try {
      return await this.#requestInTurn(key, credentials, attempt);
    } finally {
      progress.credentialKey = undefined;
      endTurn();
    }
  }

  async #requestInTurn(
    key: string,
    { credential, assertion }: RequestCredentials,
    attempt: Attempt,
  ): Promise<TokenResult<Acquisition>> {
    const { quarantine, quarantinePolicy, grant } = this.options;
    const { parameters, progress } = attempt;
    const ended = [credential, assertion].find((one) => one?.expiresAt && one.expiresAt <= this.#serverNow());
    if (ended) {
      const detail = `the assertion that was read expired at ${ended.expiresAt?.toISOString()}, so it was not shown`;
      return { ok: false, failure: { kind: 'transient', detail } };
    }
    const remaining = quarantine.remaining(key);
    if (remaining) return withheld(remaining);
    const body: BodyParameters = assertion ? [...parameters, ['assertion', assertion.reveal()]] : parameters;
    const request = { grantType: grant.grantType, credential, parameters: body, serverAheadMs: this.#serverAheadMs };
    const outcome = await this.#send(key, request, attempt);
    if (outcome.ok) {
      quarantine.recordAcceptance(key);
      return { ...outcome, credential: credential.fingerprint, rotation: this.#noteAccepted(credential) };
    }
    const { failure } = outcome;
    if (failure.kind !== 'credential' && failure.kind !== 'blocked') {
      // The second of two requests with a credential that was never accepted counts, whatever became of it.
      if (progress.isSecond && progress.second !== 'beside') quarantine.recordUnanswered(key);
      return { ok: false, failure };
    }
    const clockSkewMs = credential.isTimed ? this.#noteClockSkew(failure, outcome.receivedAt) : undefined;
    const refused = quarantine.recordRefusal(key, quarantinePolicy, {
      sentAt: outcome.requestedAt,
      // Once this one is refused, the other one is not waited for.
      requests: progress.other?.credentialKey === key && progress.other.isSent ? 2 : 1,
      isConfirmed: failure.kind === 'credential',
      minDelayMs: boundedRetryAfterMs(failure.retryAfterMs, this.options.random),
    });
    return {
      ok: false,
      failure: {
        ...failure,
        kind: refused.isConfirmed ? 'credential' : 'blocked',
        refusal: { ...refused, isWithheld: false, clockSkewMs },
      },
    };
  }

  async #send(key: string, request: Omit<TokenRequest, 'onSend'>, { signal, progress }: Attempt) {
    const { clock, endpoint, quarantine, quarantinePolicy } = this.options;
    const onSend = () => {
      progress.isSent = true;
      progress.silentSince = clock.now();
    };
    // What the server made of it will never be known.
    const onAbort = () => {
      if (progress.isSent && progress.isSuperseded) quarantine.recordUnanswered(key);
    };
    progress.silentSince = clock.now();
    progress.second = quarantine.secondRequest(key, quarantinePolicy);
    signal.addEventListener('abort', onAbort, { once: true });
    try {
      return await endpoint.request({ ...request, onSend }, signal);
    } finally {
      signal.removeEventListener('abort', onAbort);
      progress.isSent = false;
    }
  }

  /** One request at a time shows a credential that was never accepted. The turn of the first one is free with this. */
  #supersedeFirst(key: string, { other }: AttemptProgress): void {
    if (other?.credentialKey !== key || this.options.quarantine.wasAccepted(key)) return;
    other.isSuperseded = true;
    other.abort();
  }

  #noteAccepted({ fingerprint }: ClientCredential) {
    const previousFingerprint = this.#accepted;
    this.#accepted = fingerprint;
    if (previousFingerprint === undefined || previousFingerprint === fingerprint) return undefined;
    return { fingerprint, previousFingerprint };
  }

  /** An assertion that names the time is refused if the clocks differ by much; the next one goes by the server's. */
  #noteClockSkew({ serverTimeMs }: TokenFailure, receivedAt: Instant): number | undefined {
    const skewMs = serverTimeMs === undefined ? 0 : serverTimeMs - receivedAt.wallMs;
    const isNotable = Math.abs(skewMs) > NOTABLE_SKEW_MS;
    // The clock may have been set right meanwhile, and then the correction is what is wrong.
    this.#serverAheadMs = isNotable ? skewMs : 0;
    return isNotable ? skewMs : undefined;
  }

  /** The time as the server has it, as far as is known. */
  #serverNow(): Date {
    return new Date(this.options.clock.now().wallMs + this.#serverAheadMs);
  }

  async #readCredentials(
    readCredential: () => Promise<ClientCredential>,
  ): Promise<RequestCredentials | { failure: TokenFailure }> {
    try {
      const [credential, assertion] = await Promise.all([readCredential(), this.options.grant.readAssertion()]);
      if (!assertion) return { credential };
      // Where the grant is an assertion, it may be what is refused.
      const fingerprint = `${credential.fingerprint}-${assertion.fingerprint}`;
      return { credential: { ...credential, fingerprint }, assertion };
    } catch (cause) {
      // Its text is not ours to show: a vault's error may hold an address with a token in it. It is the cause.
      return { failure: { kind: 'transient', detail: 'the credential could not be read (see the cause)', cause } };
    }
  }

  /** Length-prefixed, so that no two different credentials can share a key. */
  #quarantineKey(fingerprint: string): string {
    const parts = [this.options.serverName, this.options.clientId, fingerprint];
    return parts.map((part) => (part === '' ? '' : `${part.length}:${part}`)).join('');
  }
}

/** What stands against a credential that was not shown for it. */
function withheld(quarantine: Quarantine): TokenResult<Acquisition> {
  const { isConfirmed } = quarantine;
  const detail = isConfirmed
    ? 'the identity provider refused this credential before'
    : 'a moment ago the answer to this credential was HTTP 401 or 403 without an OAuth error';
  return {
    ok: false,
    failure: { kind: isConfirmed ? 'credential' : 'blocked', detail, refusal: { ...quarantine, isWithheld: true } },
  };
}

/** One attempt, from its beginning to its end. */
interface Attempt {
  readonly parameters: BodyParameters;
  readonly signal: AbortSignal;
  readonly progress: AttemptProgress;
  /** Fingerprints of the credentials that were shown already, and are not again. */
  readonly tried: Set<string>;
}

interface RequestCredentials {
  readonly credential: ClientCredential;
  readonly assertion?: SignedAssertion;
}

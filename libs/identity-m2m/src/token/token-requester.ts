import type { ClientAuthentication, ClientCredential } from '../credentials/client-authentication.js';
import type { CredentialQuarantine, Quarantine, QuarantinePolicy } from '../credentials/credential-quarantine.js';
import type { SignedAssertion } from '../credentials/signed-assertion.js';
import type { TokenGrant } from '../credentials/token-grant.js';
import type { Clock, Instant } from '../foundation/clock.js';
import { boundedRetryAfterMs } from './retry-policy.js';
import type { TokenEndpoint, TokenRequest } from './token-endpoint.js';
import type { BodyParameters } from './token-parameters.js';
import type { Acquisition, TokenFailure, TokenResult } from './token-result.js';
import type { TryProgress } from './single-flight.js';

/** A credential that may be sent, and the time for its assertion. */
export interface UsableCredential {
  readonly credential: ClientCredential;
  /** Time of the server's clock, as far as it is known. */
  readonly serverNow: Date;
}

export interface TokenRequesterOptions {
  readonly clientId: string;
  /** Identifies the server in the quarantine, which all clients share. */
  readonly serverName: string;
  readonly endpoint: TokenEndpoint;
  readonly grant: TokenGrant;
  readonly authentication: ClientAuthentication;
  readonly quarantine: CredentialQuarantine;
  readonly quarantinePolicy: QuarantinePolicy;
  readonly clock: Clock;
  /** Uniform in [0, 1). */
  readonly random: () => number;
}

/** Difference between the clocks from which an assertion may be refused because of it, in milliseconds. */
const NOTABLE_SKEW_MS = 30_000;

/**
 * Requests tokens: reads the credential, checks its quarantine, sends it, and records in the quarantine how that ended.
 */
export class TokenRequester {
  /** Fingerprint of the last accepted credential. */
  #accepted: string | undefined;
  /** Index of the source that it came from. */
  #preferred = 0;
  /** Assumed time by which the server's clock is ahead of this machine's, in milliseconds. */
  #serverAheadMs = 0;

  constructor(private readonly options: TokenRequesterOptions) {}

  /**
   * Makes one attempt: sends one credential after the other until the server accepts one.
   *
   * @param progress Updated while the attempt is under way.
   */
  async attempt(
    parameters: BodyParameters,
    signal: AbortSignal,
    progress: TryProgress,
  ): Promise<TokenResult<Acquisition>> {
    const attempt = { parameters, signal, progress, tried: new Set<string>() };
    const result = await this.#requestWithEach(attempt);
    if (result.ok || result.failure.refusal?.isWithheld !== false) return result;
    // The credential may have just been rotated: read it again, and send it only if it is another one.
    const before = attempt.tried.size;
    const later = await this.#requestWithEach(attempt);
    return attempt.tried.size === before ? result : later;
  }

  /**
   * Reads the credential for requests other than token requests: preferably the last accepted one, never a refused one.
   *
   * @returns undefined if no credential can be read, or all are in quarantine.
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

  /** Ends the quarantine of this client's credentials. */
  resetQuarantine(): void {
    this.options.quarantine.forgetRefusals(this.#quarantineKey(''));
  }

  /** Sends one credential after the other until the server accepts one. */
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
      const result = await this.#requestWith(credentials, attempt);
      if (result.ok) this.#preferred = index;
      if (result.ok || !result.failure.refusal) return result;
      // A refusal from this attempt is more informative than an earlier one.
      if (!refused || !result.failure.refusal.isWithheld) refused = result;
    }
    return (
      refused ?? { ok: false, failure: unreadable ?? { kind: 'transient', detail: 'there is no credential to send' } }
    );
  }

  /** Returns the sources of credentials, that of the last accepted credential first. */
  #inOrder() {
    const readers = [...this.options.authentication.credentials.entries()];
    return readers.toSorted(([a], [b]) => Number(b === this.#preferred) - Number(a === this.#preferred));
  }

  async #requestWith(credentials: RequestCredentials, attempt: Attempt): Promise<TokenResult<Acquisition>> {
    const { progress, signal } = attempt;
    const key = this.#quarantineKey(credentials.credential.fingerprint);
    // While it waits in the queue, no response is due.
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
      const detail = `the assertion of this client expired at ${ended.expiresAt?.toISOString()}, so it was not sent`;
      return { ok: false, failure: { kind: 'transient', detail } };
    }
    const remaining = quarantine.remaining(key);
    if (remaining) return withheld(remaining);
    const body: BodyParameters = assertion ? [...parameters, ['assertion', assertion.reveal()]] : parameters;
    const request = { grantType: grant.grantType, credential, parameters: body, serverAheadMs: this.#serverAheadMs };
    const result = await this.#send(key, request, attempt);
    if (result.ok) {
      quarantine.recordAcceptance(key);
      return { ...result, credential: credential.fingerprint, rotation: this.#noteAccepted(credential) };
    }
    const { failure } = result;
    if (failure.kind !== 'credential' && failure.kind !== 'blocked') {
      // The second of two requests with a credential that was never accepted counts as a refusal, whatever its result.
      if (progress.isSecond && progress.second !== 'beside') quarantine.recordUnanswered(key);
      return { ok: false, failure };
    }
    const clockSkewMs = credential.isTimed ? this.#noteClockSkew(failure, result.receivedAt) : undefined;
    const refused = quarantine.recordRefusal(key, quarantinePolicy, {
      sentAt: result.requestedAt,
      // After this refusal the other request is aborted, so its refusal is assumed.
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
    // The server's response is lost, so it counts as a possible refusal.
    const onAbort = () => {
      if (progress.isSent && progress.isSuperseded) quarantine.recordUnanswered(key);
    };
    progress.silentSince = clock.now();
    progress.second = quarantine.secondTry(key, quarantinePolicy);
    signal.addEventListener('abort', onAbort, { once: true });
    try {
      return await endpoint.request({ ...request, onSend }, signal);
    } finally {
      signal.removeEventListener('abort', onAbort);
      progress.isSent = false;
    }
  }

  /**
   * Aborts the first try if its credential was never accepted: only one request at a time may send such a credential.
   */
  #supersedeFirst(key: string, { other }: TryProgress): void {
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

  /**
   * Adjusts the time of the next assertion to the server's clock: a server refuses one whose times differ by too much.
   */
  #noteClockSkew({ serverTimeMs }: TokenFailure, receivedAt: Instant): number | undefined {
    const skewMs = serverTimeMs === undefined ? 0 : serverTimeMs - receivedAt.wallMs;
    const isNotable = Math.abs(skewMs) > NOTABLE_SKEW_MS;
    // Without a notable difference, an earlier correction no longer applies: a clock may have been set right.
    this.#serverAheadMs = isNotable ? skewMs : 0;
    return isNotable ? skewMs : undefined;
  }

  /** Returns the time of the server's clock, as far as it is known. */
  #serverNow(): Date {
    return new Date(this.options.clock.now().wallMs + this.#serverAheadMs);
  }

  async #readCredentials(
    readCredential: () => Promise<ClientCredential>,
  ): Promise<RequestCredentials | { failure: TokenFailure }> {
    try {
      const [credential, assertion] = await Promise.all([readCredential(), this.options.grant.readAssertion()]);
      if (!assertion) return { credential };
      // The server may refuse the assertion of the grant, so it is part of the fingerprint.
      const fingerprint = `${credential.fingerprint}-${assertion.fingerprint}`;
      return { credential: { ...credential, fingerprint }, assertion };
    } catch (cause) {
      // The error's text is not shown, because a vault's error may contain a URL with a token. It becomes the cause.
      return { failure: { kind: 'transient', detail: 'the credential could not be read (see the cause)', cause } };
    }
  }

  /** Returns a key whose parts have their lengths as a prefix, so that two different credentials cannot share one. */
  #quarantineKey(fingerprint: string): string {
    const parts = [this.options.serverName, this.options.clientId, fingerprint];
    return parts.map((part) => (part === '' ? '' : `${part.length}:${part}`)).join('');
  }
}

/** Returns the failure for a credential that was not sent, because it is in quarantine. */
function withheld(quarantine: Quarantine): TokenResult<Acquisition> {
  const { isConfirmed } = quarantine;
  const detail = isConfirmed
    ? 'the identity provider refused this credential before, so it was not sent again'
    : 'the last response to this credential was HTTP 401 or 403 without an OAuth error, so it was not sent again yet';
  return {
    ok: false,
    failure: { kind: isConfirmed ? 'credential' : 'blocked', detail, refusal: { ...quarantine, isWithheld: true } },
  };
}

/** State of one attempt. */
interface Attempt {
  readonly parameters: BodyParameters;
  readonly signal: AbortSignal;
  readonly progress: TryProgress;
  /** Fingerprints of the credentials that this attempt has sent, and does not send again. */
  readonly tried: Set<string>;
}

/** The credentials of one token request. */
interface RequestCredentials {
  readonly credential: ClientCredential;
  readonly assertion?: SignedAssertion;
}

import { allowInsecureRequests, customFetch, revocationRequest } from 'oauth4webapi';
import { type BoundedFetch, repeatOnStaleConnection } from '../foundation/bounded-fetch.js';
import type { Clock } from '../foundation/clock.js';
import type { EventStream } from '../foundation/event-stream.js';
import { safeMessage } from '../foundation/identity-m2m-error.js';
import { waitAtMost } from '../foundation/promises.js';
import type { AccessToken } from './access-token.js';
import type { OutboundEvent } from './outbound-events.js';
import type { ServerMetadata } from './server-metadata.js';
import { withOwnHeaders } from './token-endpoint.js';
import type { UsableCredential, TokenRequester } from './token-requester.js';

export interface TokenRevocationOptions {
  /** Name of the client in the module's options. */
  readonly client: string;
  readonly clientId: string;
  readonly server: ServerMetadata;
  /** Reads the client's credential. */
  readonly requester: TokenRequester;
  /** Returns additional headers of each request. A function, because they may hold secrets. */
  readonly requestHeaders: () => Readonly<Record<string, string>>;
  readonly events: EventStream<OutboundEvent>;
  readonly fetch: BoundedFetch;
  readonly clock: Clock;
}

/** Time limit for all revocations of a shutdown together, in milliseconds. */
const TIMEOUT_MS = 5000;

/** Maximum number of concurrent requests. */
const MAX_CONCURRENT = 8;

/** Revokes tokens that a client no longer needs (RFC 7009). */
export class TokenRevocation {
  constructor(private readonly options: TokenRevocationOptions) {}

  /**
   * Revokes tokens. Tokens whose revocation fails or times out expire by themselves, so that a shutdown is not held up;
   * the event `token.revocation_failed` names them.
   */
  async revoke(tokens: readonly AccessToken[]): Promise<void> {
    if (tokens.length === 0) return;
    const { client, clock, events } = this.options;
    const progress: Progress = { left: new Set(tokens), problem: undefined };
    const timeout = new AbortController();
    // Limited by time, because the source of a secret or a signer may ignore the signal.
    await waitAtMost(this.#revokeAll(progress, timeout.signal), TIMEOUT_MS, clock);
    timeout.abort();
    if (progress.left.size === 0) return;
    const fingerprints = [...progress.left].map(({ fingerprint }) => fingerprint);
    const problem = progress.problem ?? `no response within ${TIMEOUT_MS} ms`;
    events.emit({ type: 'token.revocation_failed', client, fingerprints, problem });
  }

  async #revokeAll(progress: Progress, signal: AbortSignal): Promise<void> {
    const usable = await this.options.requester.readUsableCredential();
    if (!usable) {
      progress.problem = 'no credential can be read, or the server rejected it';
      return;
    }
    const queue = [...progress.left];
    const revokeInTurn = async () => {
      for (let token = queue.shift(); token && !signal.aborted; token = queue.shift()) {
        const next = token;
        const revoking = repeatOnStaleConnection(() => this.#revoke(next, usable, signal));
        const problem = await revoking.catch((error: unknown) => safeMessage(error, 'the request failed'));
        if (problem === undefined) progress.left.delete(next);
        else progress.problem ??= problem;
      }
    };
    await Promise.all(Array.from({ length: MAX_CONCURRENT }, revokeInTurn));
  }

  /** @returns Why the token was not revoked; undefined if it was. */
  async #revoke(
    token: AccessToken,
    { credential, serverNow }: UsableCredential,
    signal: AbortSignal,
  ): Promise<string | undefined> {
    const { server, clientId, fetch, requestHeaders } = this.options;
    const metadata = await server.forEndpoint('revocation_endpoint', signal, credential.tls);
    if (metadata.revocation_endpoint === undefined) return 'the server has no revocation endpoint';
    const authenticate = credential.authenticate(serverNow);
    const { ok, status } = await revocationRequest(metadata, { client_id: clientId }, authenticate, token.reveal(), {
      additionalParameters: { token_type_hint: 'access_token' },
      signal,
      // Plain http was checked when the endpoint was configured or discovered.
      [allowInsecureRequests]: true,
      [customFetch]: (url, init) =>
        fetch(url, { ...init, headers: withOwnHeaders(init.headers, requestHeaders()), tls: credential.tls }),
    });
    return ok ? undefined : `HTTP ${status}`;
  }
}

/** Progress of a revocation. */
interface Progress {
  /** Tokens that are not revoked. */
  readonly left: Set<AccessToken>;
  /** Why the first of them was not. */
  problem: string | undefined;
}

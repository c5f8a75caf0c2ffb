import { allowInsecureRequests, customFetch, revocationRequest } from 'oauth4webapi';
import { type BoundedFetch, repeatOnStaleConnection } from '../foundation/bounded-fetch.js';
import type { Clock } from '../foundation/clock.js';
import type { AccessToken } from './access-token.js';
import type { UsableCredential, TokenRequester } from './token-requester.js';
import type { ServerMetadata } from './server-metadata.js';
import { waitAtMost } from '../foundation/promises.js';

export interface TokenRevocationOptions {
  readonly clientId: string;
  readonly server: ServerMetadata;
  /** Reads the client's credential. */
  readonly requester: TokenRequester;
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
   * Revokes tokens. Tokens whose revocation fails or times out expire by themselves, so that a shutdown is not held up.
   */
  async revoke(tokens: readonly AccessToken[]): Promise<void> {
    if (tokens.length === 0) return;
    const timeout = new AbortController();
    // Limited by time, because the source of a secret or a signer may ignore the signal.
    await waitAtMost(this.#revokeAll(tokens, timeout.signal), TIMEOUT_MS, this.options.clock).catch(() => {});
    timeout.abort();
  }

  async #revokeAll(tokens: readonly AccessToken[], signal: AbortSignal): Promise<void> {
    const usable = await this.options.requester.readUsableCredential();
    if (!usable) return;
    const queue = [...tokens];
    const revokeInTurn = async () => {
      for (let token = queue.shift(); token && !signal.aborted; token = queue.shift()) {
        const next = token;
        await repeatOnStaleConnection(() => this.#revoke(next, usable, signal)).catch(() => {});
      }
    };
    await Promise.all(Array.from({ length: MAX_CONCURRENT }, revokeInTurn));
  }

  async #revoke(token: AccessToken, { credential, serverNow }: UsableCredential, signal: AbortSignal): Promise<void> {
    const { server, clientId, fetch } = this.options;
    const metadata = await server.forEndpoint('revocation_endpoint', signal, credential.tls);
    if (metadata.revocation_endpoint === undefined) return;
    await revocationRequest(metadata, { client_id: clientId }, credential.proof(serverNow), token.reveal(), {
      additionalParameters: { token_type_hint: 'access_token' },
      signal,
      [allowInsecureRequests]: true,
      [customFetch]: (url, init) => fetch(url, { ...init, tls: credential.tls }),
    });
  }
}

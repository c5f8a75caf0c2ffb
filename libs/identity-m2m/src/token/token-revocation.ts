import { allowInsecureRequests, customFetch, revocationRequest } from 'oauth4webapi';
import { type BoundedFetch, isStaleConnection } from '../foundation/bounded-fetch.js';
import type { Clock } from '../foundation/clock.js';
import type { AccessToken } from './access-token.js';
import type { ClientProof, TokenRequester } from './token-requester.js';
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

/** How long all revocations of a shutdown may take together, in milliseconds. */
const TIMEOUT_MS = 5000;

/** Most requests at a time. */
const MAX_CONCURRENT = 8;

/** Tells the authorization server that tokens are not needed any more (RFC 7009). */
export class TokenRevocation {
  constructor(private readonly options: TokenRevocationOptions) {}

  /** What fails, or is not done in time, is left to expire: a shutdown does not wait for it. */
  async revoke(tokens: readonly AccessToken[]): Promise<void> {
    if (tokens.length === 0) return;
    const timeout = new AbortController();
    // What is waited for may not heed a signal: a function that fetches the secret, a signer.
    await waitAtMost(this.#revokeAll(tokens, timeout.signal), TIMEOUT_MS, this.options.clock).catch(() => {});
    timeout.abort();
  }

  async #revokeAll(tokens: readonly AccessToken[], signal: AbortSignal): Promise<void> {
    const proof = await this.options.requester.readProof();
    if (!proof) return;
    const queue = [...tokens];
    const revokeInTurn = async () => {
      for (let token = queue.shift(); token && !signal.aborted; token = queue.shift()) {
        const revoke = () => this.#revoke(token, proof, signal);
        // Once more, with a new proof, where the connection was one that the server had given up.
        await revoke()
          .catch((error: unknown) => (isStaleConnection(error) ? revoke() : undefined))
          .catch(() => {});
      }
    };
    await Promise.all(Array.from({ length: MAX_CONCURRENT }, revokeInTurn));
  }

  async #revoke(token: AccessToken, { credential, serverNow }: ClientProof, signal: AbortSignal): Promise<void> {
    const { server, clientId, fetch } = this.options;
    const metadata = await server.metadata(signal, credential.tls);
    // RFC 8705 §5: a server may have another address for clients that show a certificate.
    const alias = credential.tls && metadata.mtls_endpoint_aliases?.revocation_endpoint;
    const endpoint = alias ?? metadata.revocation_endpoint;
    if (endpoint === undefined) return;
    await revocationRequest(
      server.addressed({ ...metadata, revocation_endpoint: endpoint }, 'revocation_endpoint'),
      { client_id: clientId },
      credential.proof(serverNow),
      token.reveal(),
      {
        additionalParameters: { token_type_hint: 'access_token' },
        signal,
        [allowInsecureRequests]: true,
        [customFetch]: (url, init) => fetch(url, { ...init, tls: credential.tls }),
      },
    );
  }
}

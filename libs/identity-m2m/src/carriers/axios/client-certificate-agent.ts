import type { ClientRequestArgs } from 'node:http';
import { Agent, type AgentOptions } from 'node:https';
import type { Duplex } from 'node:stream';
import { connect, type ConnectionOptions } from 'node:tls';
import type { TlsIdentity } from '../../foundation/tls.js';

/**
 * An agent that presents the client's certificate to resource servers: a token that is bound to a certificate is valid
 * only together with it (RFC 8705 §3).
 *
 * It reads the certificate again for each connection, and stops using the old connections when the certificate changes:
 * see {@link retireConnections}.
 */
export class ClientCertificateAgent extends Agent {
  /** Connections that further calls may use. */
  #current = new WeakSet<Duplex>();

  constructor(
    private readonly readIdentity: () => Promise<TlsIdentity>,
    options: AgentOptions = { keepAlive: true },
  ) {
    super(options);
  }

  /**
   * Keeps further calls off the existing connections: the next token is bound to another certificate than theirs. Calls
   * under way continue.
   */
  retireConnections(): void {
    this.#current = new WeakSet();
    for (const sockets of Object.values(this.freeSockets)) for (const socket of sockets ?? []) socket.destroy();
  }

  override createConnection(
    options: ClientRequestArgs,
    callback: (error: Error | null, stream: Duplex) => void,
  ): undefined {
    const generation = this.#current;
    this.#connect(options).then(
      (socket) => {
        generation.add(socket);
        callback(null, socket);
      },
      (error: Error) => callback(error, undefined as unknown as Duplex),
    );
    return undefined;
  }

  override keepSocketAlive(socket: Duplex): boolean {
    return this.#current.has(socket) && (super.keepSocketAlive(socket) as unknown) !== false;
  }

  /** Async, so that it rejects if `connect` throws: a certificate and a key that do not match. */
  async #connect(options: ClientRequestArgs): Promise<Duplex> {
    return connect({ ...(options as ConnectionOptions), ...(await this.readIdentity()) });
  }
}

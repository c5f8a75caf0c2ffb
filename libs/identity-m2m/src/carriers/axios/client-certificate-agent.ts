import type { ClientRequestArgs } from 'node:http';
import { Agent, type AgentOptions } from 'node:https';
import type { Duplex } from 'node:stream';
import { connect, type ConnectionOptions } from 'node:tls';
import type { TlsIdentity } from '../../foundation/tls.js';

/**
 * An agent that shows the client's certificate to resource servers: a token that is bound to a certificate is only good
 * together with it (RFC 8705 §3).
 *
 * The certificate is read anew for each connection, and connections do not outlive it: see {@link retireConnections}.
 */
export class ClientCertificateAgent extends Agent {
  /** Connections that may be used again. */
  #current = new WeakSet<Duplex>();

  constructor(
    private readonly readIdentity: () => Promise<TlsIdentity>,
    options: AgentOptions = { keepAlive: true },
  ) {
    super(options);
  }

  /**
   * Lets no further call use the connections that there are: the next token is bound to another certificate than they
   * were opened with. Calls under way are not disturbed.
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

  /** A certificate and a key that do not belong together make `connect` throw: it rejects with that. */
  async #connect(options: ClientRequestArgs): Promise<Duplex> {
    return connect({ ...(options as ConnectionOptions), ...(await this.readIdentity()) });
  }
}

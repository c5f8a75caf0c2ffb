import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { createServer as createTlsServer, type TlsOptions } from 'node:tls';

/** What a raw server does once a request has arrived: a text or bytes to write, or anything at all with the socket. */
export type RawAnswer = string | Buffer | ((socket: Socket, request: string) => unknown);

/** A server on a free loopback port that writes bytes as it is told to, HTTP or not. */
export class RawServer {
  /** Requests that arrived whole, as text. */
  readonly requests: string[] = [];
  answer: RawAnswer = '';
  /** Takes the place of reading a request. */
  onConnection: ((socket: Socket) => unknown) | undefined;
  /** Connections made so far. */
  connections = 0;
  readonly #open = new Set<Socket>();

  private constructor(
    private readonly server: Server,
    readonly protocol: 'http' | 'https',
  ) {
    // Also below TLS, where a handshake may never end.
    server.on('connection', (socket: Socket) => this.#track(socket));
    server.on(protocol === 'https' ? 'secureConnection' : 'connection', (socket: Socket) => this.#serve(socket));
    server.on('tlsClientError', () => {});
  }

  static async start(tls?: TlsOptions): Promise<RawServer> {
    const server = tls
      ? new RawServer(createTlsServer(tls), 'https')
      : new RawServer(createServer({ allowHalfOpen: true }), 'http');
    await new Promise<void>((resolve) => server.server.listen(0, '127.0.0.1', resolve));
    return server;
  }

  get url(): string {
    return `${this.protocol}://127.0.0.1:${(this.server.address() as AddressInfo).port}`;
  }

  /** Connections that the other side has not let go of. */
  get openConnections(): number {
    return this.#open.size;
  }

  async close(): Promise<void> {
    const closed = new Promise((resolve) => this.server.close(resolve));
    for (const socket of this.#open) socket.destroy();
    await closed;
  }

  #track(socket: Socket): void {
    this.connections++;
    this.#open.add(socket);
    socket.on('error', () => {});
    socket.once('close', () => this.#open.delete(socket));
    // The other side is done, and whatever is still being written to it has nowhere to go.
    socket.once('end', () => socket.destroy());
  }

  #serve(socket: Socket): void {
    socket.on('error', () => {});
    if (this.onConnection) {
      socket.resume();
      this.onConnection(socket);
      return;
    }
    let received = '';
    socket.on('data', (chunk: Buffer) => {
      received += chunk.toString('latin1');
      if (!isWhole(received)) return;
      this.requests.push(received);
      const request = received;
      received = '';
      if (typeof this.answer === 'function') this.answer(socket, request);
      else socket.write(this.answer);
    });
  }
}

function isWhole(request: string): boolean {
  const end = request.indexOf('\r\n\r\n');
  if (end < 0) return false;
  const length = Number(/^content-length: *(\d+)/im.exec(request.slice(0, end))?.[1] ?? 0);
  return request.length >= end + 4 + length;
}

import { createServer as createHttpServer, type IncomingMessage, type RequestListener, type Server } from 'node:http';
import { createServer as createHttpsServer, type ServerOptions } from 'node:https';
import { type AddressInfo, connect, createServer as createTcpServer, type Socket } from 'node:net';

export interface RecordedRequest {
  /** Where the request was meant to go, by its Host header. */
  readonly url: string;
  readonly headers: IncomingMessage['headers'];
}

/**
 * A real server on a loopback address that keeps every byte it is sent: as it came from the socket, and for TLS what
 * was in it as well. So it also knows of what is no HTTP, like plain text at a port for TLS.
 */
export class RecordingServer {
  readonly requests: RecordedRequest[] = [];
  #received: Buffer[] = [];
  readonly #sockets = new Set<Socket>();
  readonly #front = createTcpServer((socket) => this.#accept(socket));

  private constructor(
    private readonly server: Server,
    private readonly tls: boolean,
    private readonly host: string,
  ) {
    server.on(tls ? 'secureConnection' : 'connection', (socket: Socket) => this.#record(socket));
    server.prependListener('request', (request: IncomingMessage) => {
      const target = request.url?.startsWith('/')
        ? `${this.#scheme}://${request.headers.host}${request.url}`
        : request.url;
      this.requests.push({ url: target ?? '', headers: request.headers });
    });
  }

  static async start(
    answer: RequestListener,
    { tls, host = '127.0.0.1' }: { readonly tls?: ServerOptions; readonly host?: string } = {},
  ): Promise<RecordingServer> {
    const inner = tls ? createHttpsServer(tls, answer) : createHttpServer(answer);
    const server = new RecordingServer(inner, tls !== undefined, host);
    await new Promise<void>((resolve) => inner.listen(0, '127.0.0.1', resolve));
    await new Promise<void>((resolve, reject) => server.#front.once('error', reject).listen(0, host, resolve));
    return server;
  }

  get port(): number {
    return (this.#front.address() as AddressInfo).port;
  }

  get url(): string {
    return `${this.#scheme}://${this.host.includes(':') ? `[${this.host}]` : this.host}:${this.port}`;
  }

  /** All that came, as one text. */
  get received(): string {
    return Buffer.concat(this.#received).toString('latin1');
  }

  /** Answers requests for a tunnel by opening one, as a proxy does. */
  openTunnels(): void {
    this.server.on('connect', ({ url = '' }: IncomingMessage, client: Socket) => {
      const { hostname, port } = new URL(`http://${url}`);
      const target = connect(Number(port), hostname.replaceAll(/[[\]]/g, ''), () => {
        client.write('HTTP/1.1 200 Connection established\r\n\r\n');
        client.pipe(target).pipe(client);
      });
      for (const socket of [client, target]) {
        this.#sockets.add(socket);
        socket.on('error', () => {});
      }
    });
  }

  forget(): void {
    this.requests.length = 0;
    this.#received = [];
  }

  async close(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    this.server.closeAllConnections();
    await Promise.all([this.server, this.#front].map((server) => new Promise((resolve) => server.close(resolve))));
  }

  get #scheme(): string {
    return this.tls ? 'https' : 'http';
  }

  #accept(socket: Socket): void {
    const inner = connect((this.server.address() as AddressInfo).port, '127.0.0.1');
    for (const end of [socket, inner]) {
      this.#sockets.add(end);
      end.on('error', () => {});
      end.on('close', () => (socket.destroy(), inner.destroy()));
    }
    this.#record(socket);
    socket.pipe(inner).pipe(socket);
  }

  #record(socket: Socket): void {
    socket.on('data', (chunk: Buffer) => this.#received.push(chunk));
  }
}

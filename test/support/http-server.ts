import { createServer, type IncomingMessage, type RequestListener, type ServerResponse } from 'node:http';
import { createServer as createHttpsServer, type ServerOptions } from 'node:https';
import type { AddressInfo } from 'node:net';
import type { Duplex } from 'node:stream';

/** A request as a test server received it, to the last header. */
export interface ReceivedRequest {
  readonly method: string;
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

/** Answers one request. What it throws becomes a 500. */
export type Answer = (request: ReceivedRequest, response: ServerResponse, message: IncomingMessage) => unknown;

/** A real HTTP or HTTPS server on a free loopback port, which remembers all that it was sent. */
export class TestServer {
  readonly requests: ReceivedRequest[] = [];
  answer: Answer;
  readonly #server;

  private constructor(
    answer: Answer,
    private readonly tls: ServerOptions | undefined,
  ) {
    this.answer = answer;
    const listener: RequestListener = (message, response) => void this.#receive(message, response);
    this.#server = tls ? createHttpsServer(tls, listener) : createServer(listener);
  }

  /** @param tls Makes it an HTTPS server. */
  static async start(answer: Answer, tls?: ServerOptions): Promise<TestServer> {
    const server = new TestServer(answer, tls);
    await new Promise<void>((resolve) => server.#server.listen(0, '127.0.0.1', resolve));
    return server;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  get url(): string {
    return `${this.tls ? 'https' : 'http'}://127.0.0.1:${this.port}`;
  }

  /** Takes upgrades to the protocol `x`. What was sent as `Authorization` with them is added to the list. */
  onUpgrade(): (string | undefined)[] {
    const seen: (string | undefined)[] = [];
    this.#server.on('upgrade', ({ headers }: IncomingMessage, socket: Duplex) => {
      seen.push(headers.authorization);
      socket.end('HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n');
    });
    return seen;
  }

  async close(): Promise<void> {
    const closed = new Promise((resolve) => this.#server.close(resolve));
    this.#server.closeAllConnections();
    await closed;
  }

  async #receive(message: IncomingMessage, response: ServerResponse): Promise<void> {
    const chunks: Buffer[] = [];
    for await (const chunk of message as AsyncIterable<Buffer>) chunks.push(chunk);
    const request = {
      method: message.method ?? '',
      url: message.url ?? '',
      headers: message.headers as Record<string, string>,
      body: Buffer.concat(chunks).toString('utf8'),
    };
    this.requests.push(request);
    try {
      await this.answer(request, response, message);
    } catch (error) {
      response.writeHead(500).end(String(error));
    }
  }
}

/** Answers with JSON. */
export function json(status: number, body: unknown, headers: Record<string, string> = {}): Answer {
  return (_request, response) =>
    response.writeHead(status, { 'content-type': 'application/json', ...headers }).end(JSON.stringify(body));
}

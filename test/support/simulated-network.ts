import { Agent, type ClientRequestArgs, STATUS_CODES } from 'node:http';
import { Duplex } from 'node:stream';
import { setImmediate } from 'node:timers/promises';
import type { Clock, Instant } from 'nestjs-identity-m2m';

interface Timer {
  readonly dueMs: number;
  readonly callback: () => void;
  isCancelled: boolean;
}

/** A clock for models with many timers: fires them in the order in which they are due, and stands still in between. */
export class VirtualClock implements Clock {
  #nowMs = 0;
  /** A binary heap by {@link Timer.dueMs}. */
  readonly #timers: Timer[] = [];

  /** @param settle Waits until everything that a timer set off has come to rest. */
  constructor(private readonly settle: () => Promise<unknown>) {}

  now(): Instant {
    return { wallMs: 1_893_456_000_000 + this.#nowMs, monotonicMs: this.#nowMs };
  }

  get ms(): number {
    return this.#nowMs;
  }

  setTimer(delayMs: number, callback: () => void): () => void {
    const timer = { dueMs: this.#nowMs + Math.max(delayMs, 0), callback, isCancelled: false };
    this.#push(timer);
    return () => (timer.isCancelled = true);
  }

  get pendingTimers(): number {
    return this.#timers.filter(({ isCancelled }) => !isCancelled).length;
  }

  async advance(ms: number): Promise<void> {
    const end = this.#nowMs + ms;
    await this.settle();
    for (let next = this.#timers[0]; next && next.dueMs <= end; next = this.#timers[0]) {
      this.#pop();
      if (next.isCancelled) continue;
      this.#nowMs = Math.max(next.dueMs, this.#nowMs);
      next.callback();
      await this.settle();
    }
    this.#nowMs = end;
  }

  #push(timer: Timer): void {
    const heap = this.#timers;
    let at = heap.push(timer) - 1;
    for (let up = (at - 1) >> 1; at > 0 && heap[up]!.dueMs > timer.dueMs; at = up, up = (at - 1) >> 1) {
      heap[at] = heap[up]!;
    }
    heap[at] = timer;
  }

  #pop(): void {
    const heap = this.#timers;
    const last = heap.pop()!;
    if (heap.length === 0) return;
    let at = 0;
    for (;;) {
      let down = 2 * at + 1;
      if (down + 1 < heap.length && heap[down + 1]!.dueMs < heap[down]!.dueMs) down++;
      if (down >= heap.length || heap[down]!.dueMs >= last.dueMs) break;
      heap[at] = heap[down]!;
      at = down;
    }
    heap[at] = last;
  }
}

/** What comes of a request over the simulated network. */
export type SimulatedAnswer =
  | { readonly status: number; readonly headers?: Readonly<Record<string, string>>; readonly body?: string }
  /** The connection is reset. */
  | 'reset'
  /** Nothing, until the client ends the connection. */
  | 'hang';

export interface SimulatedRequest {
  /** When it was sent, in milliseconds of the clock. */
  readonly at: number;
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

/**
 * An agent of `node:http` whose connections lead nowhere: the client's own HTTP code runs, without sockets and by the
 * time of a clock. So whole fleets can be watched for hours in seconds.
 */
export class SimulatedNetwork extends Agent {
  readonly clock = new VirtualClock(() => this.settle());
  readonly received: SimulatedRequest[] = [];
  /** Time from request to answer, in milliseconds. */
  latencyMs = 20;
  answer: (request: SimulatedRequest) => SimulatedAnswer = () => 'hang';
  /** Connections that are open, and the most that ever were. */
  open = 0;
  mostOpen = 0;
  #activity = 0;

  override createConnection(_options: ClientRequestArgs): Duplex {
    this.open++;
    this.mostOpen = Math.max(this.mostOpen, this.open);
    const connection: SimulatedConnection = new SimulatedConnection(
      (head, body) => this.#receive(connection, head, body),
      () => this.open--,
    );
    return connection;
  }

  /** Waits until nothing happens any more without the clock. No step takes more than a turn of the event loop. */
  async settle(): Promise<void> {
    for (let quiet = 0; quiet < 3;) {
      const before = this.#activity;
      await setImmediate();
      quiet = this.#activity === before ? quiet + 1 : 0;
    }
  }

  #receive(connection: SimulatedConnection, head: string, body: string): void {
    this.#activity++;
    const [requestLine = '', ...lines] = head.split('\r\n');
    const headers = Object.fromEntries(
      lines.map((line) => [line.slice(0, line.indexOf(':')).toLowerCase(), line.slice(line.indexOf(':') + 1).trim()]),
    );
    const request = { at: this.clock.ms, url: requestLine.split(' ')[1] ?? '', headers, body };
    this.received.push(request);
    const answer = this.answer(request);
    if (answer === 'hang') return;
    this.clock.setTimer(this.latencyMs, () => {
      this.#activity++;
      connection.answer(answer);
    });
  }
}

class SimulatedConnection extends Duplex {
  #received = '';

  constructor(
    private readonly onRequest: (head: string, body: string) => void,
    private readonly onDestroy: () => void,
  ) {
    super();
  }

  answer(answer: Exclude<SimulatedAnswer, 'hang'>): void {
    if (this.destroyed) return;
    if (answer === 'reset') {
      this.destroy(Object.assign(new Error('read ECONNRESET'), { code: 'ECONNRESET' }));
      return;
    }
    const { status, headers = {}, body = '' } = answer;
    const lines = Object.entries({
      'content-length': String(Buffer.byteLength(body)),
      connection: 'close',
      ...headers,
    });
    const head = [`HTTP/1.1 ${status} ${STATUS_CODES[status]}`, ...lines.map(([name, value]) => `${name}: ${value}`)];
    this.push(`${head.join('\r\n')}\r\n\r\n${body}`);
    this.push(null);
  }

  override _read(): void {}

  override _destroy(error: Error | null, callback: (error: Error | null) => void): void {
    this.onDestroy();
    callback(error);
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, callback: () => void): void {
    this.#received += chunk.toString('latin1');
    const end = this.#received.indexOf('\r\n\r\n');
    const length = Number(/content-length: *(\d+)/i.exec(this.#received)?.[1] ?? 0);
    if (end >= 0 && this.#received.length >= end + 4 + length) {
      const request = this.#received;
      this.#received = '';
      this.onRequest(request.slice(0, end), request.slice(end + 4));
    }
    callback();
  }
}

/** A grant of a token, as a token endpoint sends it. */
export function grant(token: string, lifetimeSeconds: number): SimulatedAnswer {
  const body = JSON.stringify({ access_token: token, token_type: 'Bearer', expires_in: lifetimeSeconds });
  return { status: 200, headers: { 'content-type': 'application/json' }, body };
}

/** An OAuth error (RFC 6749 §5.2). */
export function oauthError(status: number, error: string): SimulatedAnswer {
  return { status, headers: { 'content-type': 'application/json' }, body: JSON.stringify({ error }) };
}

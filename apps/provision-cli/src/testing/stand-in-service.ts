import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';

export interface StandInUser {
  readonly name: string;
  readonly [member: string]: unknown;
}

interface Problem {
  readonly code: string;
  readonly message: string;
}

/** Faults of the stand-in. Each function is called anew each time. */
export interface StandInFaults {
  /** Answers a whole batch with this status, before any line is done. */
  status?: (
    batch: number,
  ) => { readonly status: number; readonly retryAfter?: string; readonly message?: string } | undefined;
  /** Number of lines of a batch to answer before the connection breaks in the middle of the next answer. */
  cutAfter?: (batch: number) => number | undefined;
  /** Ends the response without its last line. */
  withoutSummary?: (batch: number) => boolean;
  /** Does the whole batch, and breaks the connection without an answer. */
  withoutAnswers?: (batch: number) => boolean;
  /** Number of lines of a batch to take before the service stops; the summary has the reason. */
  stopAfter?: (batch: number) => number | undefined;
  reject?: (user: StandInUser) => Problem | undefined;
  fail?: (user: StandInUser) => (Problem & { readonly retryAfterSeconds?: number }) | undefined;
  /** Breaks the connection at this user. */
  crashOn?: (user: StandInUser) => boolean;
  /** Maximum number of lines of a batch. */
  maxLines?: number;
  /** Time for each user, in milliseconds. */
  delayMs?: number;
  /** Whether it never responds. */
  hang?: boolean;
}

const STOP = { code: 'shutting_down', message: 'This service is ending.', retryAfterSeconds: 5 };

/**
 * Stands in for the user-provisioning service over real HTTP, without a guard and without a tenant.
 *
 * It creates a user for each new idempotency key, whatever the name. So a line that is sent under a second key shows as
 * a user who was created twice.
 */
export class StandInService {
  faults: StandInFaults = {};
  /** How often each name was created. */
  readonly made = new Map<string, number>();
  /** Every user in a request, also repeated ones. */
  asked: StandInUser[] = [];
  batches = 0;
  /** Maximum number of batches that were under way at once. */
  mostAtOnce = 0;
  replays = 0;
  readonly authorizations = new Set<string>();
  /** Arrival time of each batch, by the clock of the process. */
  readonly arrivals: number[] = [];
  readonly #keys = new Map<string, string>();
  #atOnce = 0;
  #server: Server | undefined;
  #port = 0;

  static async start(): Promise<StandInService> {
    const service = new StandInService();
    await service.up();
    return service;
  }

  get url(): string {
    return `http://127.0.0.1:${this.#port}`;
  }

  /** Listens. After an outage, on the same port as before. */
  async up(): Promise<void> {
    this.#server = createServer((request, response) => {
      this.#answer(request, response).catch(() => request.socket.destroy());
    });
    this.#server.listen(this.#port, '127.0.0.1');
    await once(this.#server, 'listening');
    this.#port = (this.#server.address() as AddressInfo).port;
  }

  /** Begins an outage: breaks connections, and refuses new ones. Users stay created. */
  async down(): Promise<void> {
    const closed = new Promise((resolve) => this.#server?.close(resolve));
    this.#server?.closeAllConnections();
    await closed;
  }

  /** Names that were created more than once. */
  get doubled(): string[] {
    return [...this.made].filter(([, times]) => times > 1).map(([name]) => name);
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    this.authorizations.add(request.headers.authorization ?? '');
    const name = /^\/users\/([^/]+)$/.exec(request.url ?? '')?.[1];
    if (this.faults.hang) return;
    if (request.method === 'POST' && request.url === '/users/batch') return this.#answerBatch(request, response);
    const fault = this.faults.status?.(0);
    if (fault) return refuse(response, fault);
    if (request.method === 'POST' && request.url === '/users') return this.#createOne(request, response);
    if (name !== undefined && this.made.has(name)) {
      if (request.method === 'DELETE') {
        this.made.delete(name);
        response.writeHead(204).end();
        return;
      }
      return json(response, 200, { id: 'id-0', name, mail: null, displayName: null, state: 'None' });
    }
    json(response, 404, { statusCode: 404, error: 'not_found', message: `There is no user named ${name}.` });
  }

  async #createOne(request: IncomingMessage, response: ServerResponse): Promise<void> {
    let text = '';
    for await (const chunk of request) text += String(chunk);
    const user = JSON.parse(text) as StandInUser;
    this.asked.push(user);
    const problem = this.faults.reject?.(user);
    if (problem) return json(response, 409, { statusCode: 409, error: problem.code, message: problem.message });
    const { id } = this.#make(String(request.headers['idempotency-key']), user);
    json(response, 201, { id, name: user.name, mail: user['mail'], displayName: null, state: 'None' });
  }

  async #answerBatch(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const batch = ++this.batches;
    this.arrivals.push(performance.now());
    this.mostAtOnce = Math.max(this.mostAtOnce, ++this.#atOnce);
    response.once('close', () => this.#atOnce--);
    const fault = this.faults.status?.(batch);
    if (fault) return refuse(response, fault);

    const lines: { key: string; user: StandInUser }[] = [];
    for await (const line of createInterface({ input: request })) lines.push(JSON.parse(line));
    if (lines.length > (this.faults.maxLines ?? Infinity)) return refuse(response, { status: 413 });

    response.writeHead(200, { 'content-type': 'application/x-ndjson' });
    const cutAfter = this.faults.cutAfter?.(batch);
    const taken = lines.slice(0, this.faults.stopAfter?.(batch));
    const summary = { lines: 0, created: 0, replayed: 0, rejected: 0, failed: 0 };
    // Answers the last line first: answers may come in any order.
    for (const { key, user } of taken.toReversed()) {
      if (response.destroyed) return;
      if (summary.lines === cutAfter) {
        response.write('{"key":"');
        await sleep(5);
        response.destroy();
        return;
      }
      if (this.faults.crashOn?.(user)) {
        response.destroy();
        return;
      }
      if (this.faults.delayMs) await sleep(this.faults.delayMs);
      const answer = this.#outcome(key, user);
      summary.lines++;
      summary['replayed' in answer ? 'replayed' : answer.status]++;
      if (this.faults.withoutAnswers?.(batch)) continue;
      response.write(`${JSON.stringify({ key, line: taken.length - summary.lines + 1, ...answer })}\n`);
    }
    if (this.faults.withoutAnswers?.(batch)) return void response.destroy();
    if (this.faults.withoutSummary?.(batch)) return void response.end();
    const stopped = taken.length < lines.length && { ...STOP, nextLine: taken.length + 1 };
    response.end(`${JSON.stringify({ summary: { ...summary, ...(stopped && { stopped }) } })}\n`);
  }

  #outcome(key: string, user: StandInUser) {
    this.asked.push(user);
    const rejected = this.faults.reject?.(user);
    if (rejected) return { status: 'rejected' as const, error: rejected };
    const failed = this.faults.fail?.(user);
    if (failed) {
      const { retryAfterSeconds, ...error } = failed;
      return { status: 'failed' as const, error, retryAfterSeconds };
    }
    const { id, replayed } = this.#make(key, user);
    return { status: 'created' as const, user: { id }, ...(replayed && { replayed }) };
  }

  #make(key: string, { name }: StandInUser): { id: string; replayed: boolean } {
    const known = this.#keys.get(key);
    if (known !== undefined) {
      this.replays++;
      return { id: known, replayed: true };
    }
    const id = `id-${this.#keys.size + 1}`;
    this.#keys.set(key, id);
    this.made.set(name, (this.made.get(name) ?? 0) + 1);
    return { id, replayed: false };
  }
}

function json(response: ServerResponse, status: number, body: object): void {
  response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
}

function refuse(
  response: ServerResponse,
  { status, retryAfter, message = 'Come again later.' }: NonNullable<ReturnType<NonNullable<StandInFaults['status']>>>,
): void {
  response
    .writeHead(status, { 'content-type': 'application/json', ...(retryAfter && { 'retry-after': retryAfter }) })
    .end(JSON.stringify({ statusCode: status, error: 'busy', message }));
}

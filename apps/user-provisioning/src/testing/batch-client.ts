import { type ClientRequest, type IncomingMessage, request } from 'node:http';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import type { BatchSummary, LineAnswer } from '../batch/batch-answers.js';

/** One user, as in a line of a batch. */
export interface AskedUser {
  readonly key: string;
  readonly user: Readonly<Record<string, unknown>>;
}

export interface BatchResult {
  readonly status: number;
  readonly headers: IncomingMessage['headers'];
  readonly answers: readonly LineAnswer[];
  /** Undefined if the answer was cut off or the batch was refused. */
  readonly summary: BatchSummary | undefined;
  /** Of a batch that was refused. */
  readonly refusal: Readonly<Record<string, unknown>> | undefined;
}

/** A batch whose request and answer are under way at the same time. */
export class BatchClient {
  readonly request: ClientRequest;
  readonly answers: LineAnswer[] = [];
  summary: BatchSummary | undefined;
  readonly #response: Promise<IncomingMessage>;

  constructor(serviceUrl: string, token: string, headers: Readonly<Record<string, string>> = {}) {
    this.request = request(`${serviceUrl}/users/batch`, {
      method: 'POST',
      agent: false,
      headers: { authorization: `Bearer ${token}`, 'content-type': 'application/x-ndjson', ...headers },
    });
    // Whatever happens to the connection shows in what was answered.
    this.request.on('error', () => {});
    this.#response = new Promise((resolve, reject) => {
      this.request.once('response', resolve).once('error', reject);
    });
    this.#response.catch(() => {});
    this.request.flushHeaders();
  }

  response(): Promise<IncomingMessage> {
    return this.#response;
  }

  /** Resolves when the connection has room for more. */
  async write(lines: string | readonly AskedUser[]): Promise<void> {
    const text = typeof lines === 'string' ? lines : lines.map((line) => `${JSON.stringify(line)}\n`).join('');
    if (this.request.write(text)) return;
    const listening = new AbortController();
    const events = ['drain', 'close'].map((event) => once(this.request, event, { signal: listening.signal }));
    await Promise.race(events).catch(() => {});
    listening.abort();
  }

  /** Reads the answer to its end, however it ends. */
  async read(onAnswer: (answer: LineAnswer) => void = () => {}): Promise<BatchResult> {
    const response = await this.#response;
    const { statusCode: status = 0, headers } = response;
    if (status !== 200) {
      let text = '';
      for await (const piece of response.setEncoding('utf8')) text += piece;
      return { status, headers, answers: [], summary: undefined, refusal: JSON.parse(text) as BatchResult['refusal'] };
    }
    response.on('error', () => {});
    const lines = createInterface({ input: response }).on('error', () => {});
    lines.on('line', (line) => {
      const answer = parsed(line);
      if (answer && 'summary' in answer) this.summary = answer.summary;
      else if (answer) {
        this.answers.push(answer);
        onAnswer(answer);
      }
    });
    if (!response.closed) await new Promise((resolve) => response.once('close', resolve));
    return { status, headers, answers: this.answers, summary: this.summary, refusal: undefined };
  }
}

/** Sends a batch as a whole, and reads its answer. */
export async function sendBatch(
  serviceUrl: string,
  token: string,
  lines: string | readonly AskedUser[],
  onAnswer?: (answer: LineAnswer) => void,
): Promise<BatchResult> {
  const client = new BatchClient(serviceUrl, token);
  void client.write(lines).then(() => client.request.end());
  return client.read(onAnswer);
}

/** The last line of an answer that was cut off is none. */
function parsed(line: string): LineAnswer | { readonly summary: BatchSummary } | undefined {
  try {
    return JSON.parse(line) as LineAnswer;
  } catch {
    return undefined;
  }
}

import type { IncomingMessage, ServerResponse } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { AnswerStream } from './answer-stream.js';
import type { BatchStop, BatchSummary, LineAnswer } from './batch-answers.js';
import type { BatchLimits } from './batch-limits.js';
import type { LineResult } from './batch-lines.js';
import { BatchStoppedError } from './batch-stopped-error.js';
import { BodyReader } from './body-reader.js';
import { type NdjsonLine, NdjsonSplitter } from './ndjson-splitter.js';

export interface BatchRunOptions {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly limits: BatchLimits;
  /** Never rejects. */
  readonly carryOut: (line: NdjsonLine) => Promise<LineResult>;
}

/**
 * One batch: takes lines off the request, has so many of them carried out at a time, and writes each answer as it comes.
 *
 * A line holds its place until its answer is written, and no line is cut off the request before there is a place for
 * the one before it. So a slow tenant, and a client that does not read, slow down the reading of the request.
 */
export class BatchRun {
  readonly #stop = new AbortController();
  readonly #inHand = new Set<Promise<void>>();
  readonly #counts = { lines: 0, created: 0, replayed: 0, rejected: 0, failed: 0 };
  /** When the tenant can be asked again, in milliseconds since the epoch. */
  #resumeAt = 0;
  #taken = 0;
  #nextLine = 1;

  constructor(private readonly options: BatchRunOptions) {}

  /** Takes no further lines; those in hand are finished. */
  stop(stop: BatchStop): void {
    this.#stop.abort(new BatchStoppedError(stop));
  }

  /** Resolves when every line that was taken is finished, and the answer is written or nobody is there to take it. */
  async run(): Promise<void> {
    const { request, response, limits } = this.options;
    const answers = new AnswerStream(response, limits.idleMs);
    const body = new BodyReader(request, limits);
    const patience = setTimeout(() => this.stop(tooLong(limits)), limits.maxDurationMs).unref();
    const gone = () => this.stop({ code: 'client_gone', message: 'The client is gone.' });
    response.once('close', gone);
    const stop = await this.#takeLines(body, answers).catch(stopOf);
    clearTimeout(patience);
    body.discard();
    await Promise.all(this.#inHand);
    await answers.write({ summary: this.#summary(stop) });
    await body.linger();
    response.off('close', gone);
    await answers.end();
    body.close();
  }

  async #takeLines(body: BodyReader, answers: AnswerStream): Promise<undefined> {
    const { limits } = this.options;
    for await (const line of this.#lines(body)) {
      if (this.#taken === limits.maxLines) throw new BatchStoppedError(tooManyLines(limits));
      await this.#turn();
      this.#taken++;
      this.#nextLine = line.number + 1;
      const work = this.#carryOut(line, answers).finally(() => this.#inHand.delete(work));
      this.#inHand.add(work);
    }
  }

  async *#lines(body: BodyReader): AsyncGenerator<NdjsonLine> {
    const { maxBytes, maxLineBytes } = this.options.limits;
    const splitter = new NdjsonSplitter(maxLineBytes);
    let bytes = 0;
    for (let piece = await this.#next(body); piece; piece = await this.#next(body)) {
      bytes += piece.length;
      if (bytes > maxBytes) throw new BatchStoppedError(tooManyBytes(maxBytes));
      yield* splitter.push(piece);
    }
    yield* splitter.end();
  }

  #next(body: BodyReader): Promise<Buffer | undefined> {
    return body.next(this.#stop.signal);
  }

  /** Waits until a further line may be begun. */
  async #turn(): Promise<void> {
    const { signal } = this.#stop;
    while (this.#inHand.size >= this.options.limits.concurrency) await Promise.race(this.#inHand);
    for (let pauseMs = this.#pauseMs(); pauseMs > 0 && !signal.aborted; pauseMs = this.#pauseMs()) {
      await sleep(pauseMs, undefined, { signal }).catch(() => {});
    }
    signal.throwIfAborted();
  }

  #pauseMs(): number {
    return this.#resumeAt - performance.now();
  }

  async #carryOut(line: NdjsonLine, answers: AnswerStream): Promise<void> {
    const { answer, obstacle } = await this.options.carryOut(line);
    this.#counts.lines++;
    this.#counts[countOf(answer)]++;
    if (obstacle) {
      const pauseMs = obstacle.retryAfterSeconds * 1000;
      if (pauseMs > this.options.limits.maxPauseMs) this.stop(obstacle);
      else this.#resumeAt = Math.max(this.#resumeAt, performance.now() + pauseMs);
    }
    await answers.write(answer);
  }

  #summary(stop: BatchStop | undefined): BatchSummary {
    return { ...this.#counts, ...(stop && { stopped: { ...stop, nextLine: this.#nextLine } }) };
  }
}

function countOf(answer: LineAnswer): 'created' | 'replayed' | 'rejected' | 'failed' {
  return answer.status === 'created' && answer.replayed ? 'replayed' : answer.status;
}

function stopOf(error: unknown): BatchStop {
  if (error instanceof BatchStoppedError) return error.stop;
  throw error;
}

const THE_OTHERS = 'Send the lines from nextLine on in a further one, each under the key it has.';

function tooManyLines({ maxLines }: BatchLimits): BatchStop {
  return {
    code: 'too_many_lines',
    message: `A batch has at most ${maxLines} lines (BATCH_MAX_LINES of this service). ${THE_OTHERS}`,
  };
}

function tooManyBytes(maxBytes: number): BatchStop {
  return {
    code: 'too_many_bytes',
    message: `A batch has at most ${maxBytes} bytes (BATCH_MAX_BYTES of this service). ${THE_OTHERS}`,
  };
}

function tooLong({ maxDurationMs }: BatchLimits): BatchStop {
  return {
    code: 'too_long',
    message: `A batch takes lines for at most ${maxDurationMs / 1000} s. ${THE_OTHERS}`,
  };
}

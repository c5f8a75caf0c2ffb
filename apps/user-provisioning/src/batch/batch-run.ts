import type { IncomingMessage, ServerResponse } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { type BeforeApplicationShutdown, Inject, Injectable } from '@nestjs/common';
import {
  AnswerStream,
  BatchRefusedError,
  type BatchStop,
  BatchStoppedError,
  type BatchSummary,
  CLIENT_GONE,
  type LineAnswer,
} from './batch-answers.js';
import { BATCH_LIMITS, type BatchLimits } from './batch-limits.js';
import type { LineResult } from './batch-lines.js';
import { BodyReader, type NdjsonLine, NdjsonSplitter } from './ndjson-body.js';

export interface BatchRunOptions {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly limits: BatchLimits;
  /** Never rejects. */
  readonly processLine: (line: NdjsonLine) => Promise<LineResult>;
}

/**
 * One batch: reads lines from the request, processes a limited number at a time, and writes each answer as it arrives.
 *
 * A line occupies its place until its answer is written, and the request is read only as far as places are free. So a
 * slow tenant, and a client that does not read, slow down the reading of the request.
 */
export class BatchRun {
  readonly #stop = new AbortController();
  readonly #underWay = new Set<Promise<void>>();
  readonly #counts = { lines: 0, created: 0, replayed: 0, rejected: 0, failed: 0 };
  /** When the tenant may be called again, by the monotonic clock in milliseconds. */
  #resumeAt = 0;
  #taken = 0;
  #nextLine = 1;

  constructor(private readonly options: BatchRunOptions) {}

  /** Takes no further lines; those under way are finished. */
  stop(stop: BatchStop): void {
    this.#stop.abort(new BatchStoppedError(stop));
  }

  /** Resolves when every line taken is finished, and the answer is written or the client is gone. */
  async run(): Promise<void> {
    const { request, response, limits } = this.options;
    const answers = new AnswerStream(response, limits.idleMs);
    const body = new BodyReader(request, limits);
    const timer = setTimeout(() => this.stop(tooLong(limits)), limits.maxDurationMs).unref();
    const gone = () => this.stop(CLIENT_GONE);
    response.once('close', gone);
    const stop = await this.#takeLines(body, answers).catch(stopOf);
    clearTimeout(timer);
    body.discard();
    await Promise.all(this.#underWay);
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
      const work = this.#answerLine(line, answers).finally(() => this.#underWay.delete(work));
      this.#underWay.add(work);
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

  /** Waits until the next line may begin. */
  async #turn(): Promise<void> {
    const { signal } = this.#stop;
    while (this.#underWay.size >= this.options.limits.concurrency) await Promise.race(this.#underWay);
    for (let pauseMs = this.#pauseMs(); pauseMs > 0 && !signal.aborted; pauseMs = this.#pauseMs()) {
      await sleep(pauseMs, undefined, { signal }).catch(() => {});
    }
    signal.throwIfAborted();
  }

  #pauseMs(): number {
    return this.#resumeAt - performance.now();
  }

  async #answerLine(line: NdjsonLine, answers: AnswerStream): Promise<void> {
    const { answer, obstacle } = await this.options.processLine(line);
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

const THE_REST = 'Send the lines from nextLine on in another batch, under the same keys.';

function tooManyLines({ maxLines }: BatchLimits): BatchStop {
  return {
    code: 'too_many_lines',
    message: `A batch has at most ${maxLines} lines (BATCH_MAX_LINES of this service). ${THE_REST}`,
  };
}

function tooManyBytes(maxBytes: number): BatchStop {
  return {
    code: 'too_many_bytes',
    message: `A batch has at most ${maxBytes} bytes (BATCH_MAX_BYTES of this service). ${THE_REST}`,
  };
}

function tooLong({ maxDurationMs }: BatchLimits): BatchStop {
  return {
    code: 'too_long',
    message: `A batch takes lines for at most ${maxDurationMs / 1000} s. ${THE_REST}`,
  };
}

/** Retry of a refused batch, in seconds. */
const RETRY_SECONDS = 5;

/** Runs batches: a limited number at a time, and none during a shutdown. */
@Injectable()
export class RunningBatches implements BeforeApplicationShutdown {
  readonly #running = new Map<BatchRun, { readonly clientId: string; readonly end: Promise<void> }>();
  #isShuttingDown = false;

  constructor(@Inject(BATCH_LIMITS) private readonly limits: BatchLimits) {}

  /**
   * Runs a batch to its end.
   *
   * @throws {@link BatchRefusedError} before it begins.
   */
  async run(clientId: string, batch: BatchRun): Promise<void> {
    this.#requireRoomFor(clientId);
    const end = batch.run().finally(() => this.#running.delete(batch));
    this.#running.set(batch, { clientId, end });
    await end;
  }

  /** At this step of a shutdown, the tenant and the store are still available. */
  async beforeApplicationShutdown(): Promise<void> {
    this.#isShuttingDown = true;
    const stop = { code: 'shutting_down', message: SHUTTING_DOWN, retryAfterSeconds: RETRY_SECONDS };
    for (const batch of this.#running.keys()) batch.stop(stop);
    await Promise.allSettled([...this.#running.values()].map(({ end }) => end));
  }

  #requireRoomFor(clientId: string): void {
    const { maxRunning, maxRunningPerClient } = this.limits;
    if (this.#isShuttingDown) throw new BatchRefusedError(503, 'shutting_down', SHUTTING_DOWN, RETRY_SECONDS);
    const ofClient = [...this.#running.values()].filter((other) => other.clientId === clientId).length;
    if (ofClient >= maxRunningPerClient) {
      const message = `At most ${maxRunningPerClient} batches of one client run at a time (half of BATCH_MAX_RUNNING of this service). Retry when another has ended.`;
      throw new BatchRefusedError(429, 'too_many_batches', message, RETRY_SECONDS);
    }
    if (this.#running.size >= maxRunning) {
      const message = `At most ${maxRunning} batches run at a time (BATCH_MAX_RUNNING of this service). Retry later.`;
      throw new BatchRefusedError(503, 'too_many_batches', message, RETRY_SECONDS);
    }
  }
}

const SHUTTING_DOWN = 'This instance of the service is shutting down. Send the rest to another one.';

import type { Readable } from 'node:stream';
import { HttpService } from '@nestjs/axios';
import { Inject, Injectable } from '@nestjs/common';
import type { AxiosResponse } from 'axios';
import { TokenUnavailableError } from 'nestjs-identity-m2m';
import { readLines } from '../input/lines.js';
import { type Mask, maskOf } from '../output/mask.js';
import { printable } from '../output/printable.js';
import type { UserFields } from '../input/user-fields.js';
import { SETTINGS, type Settings } from '../settings/settings.js';
import { type LastLine, type LineAnswer, readBatchAnswer } from './batch-answer.js';
import { errorOfAnswer, errorOfFailure } from './failed-call.js';
import { ServiceError, ServiceUnreachableError, UnsuitableServiceError } from './service-errors.js';

/** A user to be made, once for each key. */
export interface BatchLine {
  readonly key: string;
  readonly user: UserFields;
}

/** How a call ended. Lines without an answer are open in each case. */
export type BatchEnd =
  /** The answer is complete. */
  | { readonly kind: 'complete' }
  /** Nothing was begun, or the service stopped in good order: all of it can be sent again as it is. */
  | { readonly kind: 'later'; readonly reason: string; readonly retryAfterMs: number | undefined }
  /** The answer broke off, or there was none although the call was sent. Some line may be the cause. */
  | { readonly kind: 'broken'; readonly reason: string; readonly retryAfterMs: number | undefined }
  /** More than the service takes at once. */
  | { readonly kind: 'too large' };

export interface BatchReply {
  /** By key. All that came, also where the answer broke off later. */
  readonly answers: ReadonlyMap<string, LineAnswer>;
  readonly end: BatchEnd;
}

/** Longest body of an answer that is an error, in bytes. */
const MAX_ERROR_BYTES = 65_536;

/** Statuses that may mean that the service fell over the content. */
const SUSPICIOUS = new Set([408, 500, 502, 504]);

/** The service, many users at a time: `POST /users/batch`, which answers each as it is done. */
@Injectable()
export class BatchEndpoint {
  constructor(
    private readonly http: HttpService,
    @Inject(SETTINGS) private readonly settings: Settings,
  ) {}

  /**
   * @throws NotAuthorisedError, UnsuitableServiceError, ServiceRefusalError: all that the next call would meet too.
   */
  async send(lines: readonly BatchLine[]): Promise<BatchReply> {
    const answers = new Map<string, LineAnswer>();
    return { answers, end: await this.#send(lines, answers) };
  }

  async #send(lines: readonly BatchLine[], answers: Map<string, LineAnswer>): Promise<BatchEnd> {
    const silence = new SilenceTimer(this.settings.timeoutMs);
    try {
      const response = await this.#post(lines, silence.signal);
      silence.restart();
      if (response.status !== 200) return await endOfRefusal(response, maskOf(lines.map(({ user }) => user)));
      if (!isNdjson(response)) {
        throw new UnsuitableServiceError('The service answers a batch with something else. Check its address.');
      }
      return await readAnswers(response.data, lines, answers, silence);
    } catch (error) {
      return endOfFailure(silence.signal.aborted ? silence.signal.reason : error);
    } finally {
      silence.stop();
    }
  }

  #post(lines: readonly BatchLine[], signal: AbortSignal): Promise<AxiosResponse<Readable>> {
    return this.http.axiosRef.post<Readable>('/users/batch', lines.map(ndjson).join(''), {
      headers: { 'content-type': 'application/x-ndjson', accept: 'application/x-ndjson' },
      responseType: 'stream',
      validateStatus: () => true,
      // The silence within the call is limited, not its length.
      timeout: 0,
      signal,
    });
  }
}

function ndjson(line: BatchLine): string {
  return `${JSON.stringify(line)}\n`;
}

function isNdjson({ headers }: AxiosResponse): boolean {
  return /^application\/(?:x-)?ndjson\b/i.test(String(headers['content-type']));
}

async function readAnswers(
  body: Readable,
  sent: readonly BatchLine[],
  answers: Map<string, LineAnswer>,
  silence: SilenceTimer,
): Promise<BatchEnd> {
  for await (const lines of readLines(body)) {
    silence.restart();
    for (const { bytes } of lines) {
      const answer = readBatchAnswer(bytes?.toString('utf8') ?? '');
      if (!answer) return { kind: 'broken', reason: 'an answer that is cut or garbled', retryAfterMs: undefined };
      if ('isLast' in answer) return endOf(answer, maskOf(sent.map(({ user }) => user)));
      const key = answer.key ?? sent[answer.line - 1]?.key;
      if (key !== undefined) answers.set(key, answer);
    }
  }
  return { kind: 'broken', reason: 'an answer without its end', retryAfterMs: undefined };
}

function endOf({ stopped }: LastLine, mask: Mask): BatchEnd {
  if (!stopped) return { kind: 'complete' };
  const { message, retryAfterSeconds } = stopped;
  return {
    kind: 'later',
    reason: `The service has stopped: ${printable(mask(message))}`,
    retryAfterMs: retryAfterSeconds === undefined ? undefined : retryAfterSeconds * 1000,
  };
}

async function endOfRefusal({ status, headers, data }: AxiosResponse<Readable>, mask: Mask): Promise<BatchEnd> {
  const body = await readError(data);
  if (status === 413) return { kind: 'too large' };
  const error = errorOfAnswer(status, headers, body, mask);
  if (!(error instanceof ServiceUnreachableError)) throw error;
  const kind = SUSPICIOUS.has(status) ? 'broken' : 'later';
  return { kind, reason: error.message, retryAfterMs: error.retryAfterMs };
}

async function readError(body: Readable): Promise<unknown> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of body as AsyncIterable<Buffer>) {
    length += chunk.length;
    if (length > MAX_ERROR_BYTES) return undefined;
    chunks.push(chunk);
  }
  try {
    return JSON.parse(Buffer.concat(chunks).toString('utf8'));
  } catch {
    return undefined;
  }
}

/** Errors after which the call can't have reached the service. */
const NOT_SENT = new Set(['ECONNREFUSED', 'ENOTFOUND', 'EAI_AGAIN', 'EHOSTUNREACH', 'ENETUNREACH']);

function endOfFailure(failure: unknown): BatchEnd {
  const code = (failure as NodeJS.ErrnoException | undefined)?.code;
  const error = errorOfFailure(failure);
  if (error instanceof ServiceUnreachableError) {
    const isSent = !(failure instanceof TokenUnavailableError) && !NOT_SENT.has(code ?? '');
    return { kind: isSent ? 'broken' : 'later', reason: error.message, retryAfterMs: error.retryAfterMs };
  }
  // What else has a code, and is no error of ours, is the stream of the answer, which broke off.
  if (code === undefined || error instanceof ServiceError) throw error;
  return { kind: 'broken', reason: `the answer broke off (${code})`, retryAfterMs: undefined };
}

/** Ends a call in which nothing has come for too long. */
class SilenceTimer {
  readonly #controller = new AbortController();
  readonly #timer: NodeJS.Timeout;

  constructor(timeoutMs: number) {
    this.#timer = setTimeout(
      () => this.#controller.abort(new ServiceUnreachableError(`The service says nothing for ${timeoutMs} ms`)),
      timeoutMs,
    );
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  restart(): void {
    this.#timer.refresh();
  }

  stop(): void {
    clearTimeout(this.#timer);
  }
}

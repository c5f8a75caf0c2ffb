import type { Readable } from 'node:stream';
import { HttpService } from '@nestjs/axios';
import { Inject, Injectable } from '@nestjs/common';
import type { AxiosResponse } from 'axios';
import { TokenUnavailableError } from 'nestjs-identity-m2m';
import { z } from 'zod';
import { ServiceError, ServiceUnreachableError, UnsuitableServiceError } from '../errors.js';
import { readLines } from '../input/lines.js';
import type { UserFields } from '../input/user-fields.js';
import { type Mask, maskOf, printable } from '../output/safe-text.js';
import { SETTINGS, type Settings } from '../settings.js';
import { errorOfFailure, errorOfResponse } from './failed-call.js';

const lineError = z.object({ code: z.string(), message: z.string() });
const retryAfterSeconds = z.number().nonnegative().optional();
/** Number of the line in the request. The first is 1. */
const line = z.int().positive();

/** The answer to one line of a batch. */
const lineAnswer = z.discriminatedUnion('status', [
  z.object({
    key: z.string(),
    line,
    status: z.literal('created'),
    user: z.object({ id: z.string() }),
    replayed: z.boolean().optional(),
  }),
  // The key is null if the service could not read it.
  z.object({ key: z.string().nullable(), line, status: z.literal('rejected'), error: lineError }),
  z.object({
    key: z.string(),
    line,
    status: z.literal('failed'),
    error: lineError,
    retryAfterSeconds,
  }),
]);

/** The last line of a response. A response without it is incomplete. */
const lastLine = z.object({
  summary: z.object({
    lines: z.number(),
    /** Why the service left out the last lines of the batch. */
    stopped: lineError.extend({ retryAfterSeconds }).optional(),
  }),
});

export type LineAnswer = z.infer<typeof lineAnswer>;
type LastLine = z.infer<typeof lastLine>;

/** A user to create, once for each key. */
export interface BatchLine {
  readonly key: string;
  readonly user: UserFields;
}

/** How a call ended. Lines without an answer are still open in each case. */
export type BatchEnd =
  /** The response is complete. */
  | { readonly kind: 'complete' }
  /** The service did not begin, or stopped between two lines: the open lines can be sent again as they are. */
  | { readonly kind: 'later'; readonly reason: string; readonly retryAfterMs: number | undefined }
  /** The response broke off, or did not come although the request was sent. One of the lines may be the cause. */
  | { readonly kind: 'broken'; readonly reason: string; readonly retryAfterMs: number | undefined }
  /** The batch is longer than the service accepts. */
  | { readonly kind: 'too large' };

export interface BatchReply {
  /** By key, also those of a response that broke off. */
  readonly answers: ReadonlyMap<string, LineAnswer>;
  readonly end: BatchEnd;
}

/** Maximum length of the body of an error, in bytes. */
const MAX_ERROR_BYTES = 65_536;

/** Statuses of errors that the content of a batch may cause. */
const SUSPICIOUS = new Set([408, 500, 502, 504]);

/** The service for many users at once: `POST /users/batch`, which answers each line when it is done. */
@Injectable()
export class BatchEndpoint {
  constructor(
    private readonly http: HttpService,
    @Inject(SETTINGS) private readonly settings: Settings,
  ) {}

  /**
   * Sends a batch.
   *
   * @throws NotAuthorisedError, UnsuitableServiceError, ServiceRefusalError: errors that the next call would meet too.
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
        throw new UnsuitableServiceError(
          'The response to a batch is not NDJSON: this is not the user-provisioning service. Check its address.',
        );
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
      // Limits the silence within the call instead of its length.
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
      if (!answer) return { kind: 'broken', reason: 'the response was cut or damaged', retryAfterMs: undefined };
      if ('summary' in answer) return endOf(answer, maskOf(sent.map(({ user }) => user)));
      const key = answer.key ?? sent[answer.line - 1]?.key;
      if (key !== undefined) answers.set(key, answer);
    }
  }
  return { kind: 'broken', reason: 'the response ended too early', retryAfterMs: undefined };
}

function endOf({ summary: { stopped } }: LastLine, mask: Mask): BatchEnd {
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
  const error = errorOfResponse(status, headers, body, mask);
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

/** Codes of errors after which the request cannot have reached the service. */
const NOT_SENT = new Set(['ECONNREFUSED', 'ENOTFOUND', 'EAI_AGAIN', 'EHOSTUNREACH', 'ENETUNREACH']);

function endOfFailure(failure: unknown): BatchEnd {
  const code = (failure as NodeJS.ErrnoException | undefined)?.code;
  const error = errorOfFailure(failure);
  if (error instanceof ServiceUnreachableError) {
    const isSent = !(failure instanceof TokenUnavailableError) && !NOT_SENT.has(code ?? '');
    return { kind: isSent ? 'broken' : 'later', reason: error.message, retryAfterMs: error.retryAfterMs };
  }
  // Any other error with a code is of the response's stream, which broke off.
  if (code === undefined || error instanceof ServiceError) throw error;
  return { kind: 'broken', reason: `the response broke off (${code})`, retryAfterMs: undefined };
}

/** Parses a line of the response; undefined if it is not valid. */
function readBatchAnswer(text: string): LineAnswer | LastLine | undefined {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return undefined;
  }
  return lineAnswer.safeParse(value).data ?? lastLine.safeParse(value).data;
}

/** Aborts a call when the service has been silent for too long. */
class SilenceTimer {
  readonly #controller = new AbortController();
  readonly #timer: NodeJS.Timeout;

  constructor(timeoutMs: number) {
    this.#timer = setTimeout(
      () => this.#controller.abort(new ServiceUnreachableError(`The service was silent for ${timeoutMs} ms`)),
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

import { type AxiosResponse, type InternalAxiosRequestConfig, isAxiosError } from 'axios';
import { Socket } from 'node:net';
import { Readable } from 'node:stream';
import { MAX_JUDGED_BODY_BYTES } from '../../token/token-rejection.js';
import {
  discardBody,
  headerRecord,
  keepFlowing,
  startOfNodeStream,
  startOfValue,
  startOfWebStream,
} from '../answer.js';
import type { CallAuthorization } from '../token-carrier.js';
import { redactRequest } from './redaction.js';

/** What became of a call on its way, as far as redirects were followed. */
export interface AxiosWay {
  isRedirected: boolean;
  /** Whether the token went to each place, the last one too. */
  carriesToken: boolean;
}

/** A response as an adapter may leave it that is not axios' own: any member can be missing. */
type LooseResponse = Partial<AxiosResponse<unknown>>;

interface Sent {
  /** The application's config, without the token. */
  readonly config: InternalAxiosRequestConfig;
  readonly call: CallAuthorization;
  readonly way: AxiosWay;
}

/**
 * What axios, or an adapter in its place, made of one sending of a call: an answer arrives as a response or inside an error,
 * as `validateStatus` has it. The token is on none of it.
 */
export class AxiosAnswer {
  private constructor(
    private readonly settled: { readonly response: AxiosResponse } | { readonly error: unknown },
    private readonly response: LooseResponse | undefined,
    private readonly sent: Sent,
  ) {}

  /** Never rejects. */
  static async to(sending: Promise<AxiosResponse>, sent: Sent): Promise<AxiosAnswer> {
    try {
      const response = await sending;
      if (isObject(response)) removeTokenFrom(response, sent);
      return new AxiosAnswer({ response }, isObject(response) ? response : undefined, sent);
    } catch (error) {
      takeTokenOff(error, sent);
      return new AxiosAnswer({ error }, responseOf(error), sent);
    }
  }

  get isRedirected(): boolean {
    return this.sent.way.isRedirected;
  }

  /** undefined where no answer came, or none of a place that the token was sent to. */
  status(): number | undefined {
    const status: unknown = this.response?.status;
    if (typeof status !== 'number' || !this.sent.way.carriesToken) return undefined;
    return status >= 400 && this.#isOfProxy() ? undefined : status;
  }

  headers(): Readonly<Record<string, string>> {
    return headerRecord(this.response?.headers);
  }

  async bodyStart(): Promise<string> {
    const { response } = this;
    if (response?.data instanceof Readable) {
      const { start, whole } = await startOfNodeStream(response.data);
      response.data = whole;
      return start;
    }
    const branch = this.#branch();
    if (branch) return startOfWebStream(branch);
    if (response?.data instanceof Blob) return response.data.slice(0, MAX_JUDGED_BODY_BYTES).text();
    return startOfValue(response?.data);
  }

  /** Of axios' fetch adapter, where it hands on a stream. */
  keepFlowing(): () => void {
    const branch = this.#branch();
    return branch ? keepFlowing(branch, () => this.discard()) : () => {};
  }

  discard(): void {
    discardBody(this.response?.data);
  }

  /** @throws What the call failed with. */
  unwrap(): AxiosResponse {
    if ('error' in this.settled) throw this.settled.error;
    return this.settled.response;
  }

  /** Another branch of a body that is a web stream. */
  #branch(): ReadableStream<Uint8Array> | undefined {
    const { response } = this;
    if (!(response?.data instanceof ReadableStream)) return undefined;
    const [branch, whole] = (response.data as ReadableStream<Uint8Array>).tee();
    response.data = whole;
    return branch;
  }

  /**
   * Whether a proxy refused to open a tunnel: its answer then arrives as that to the call, on a connection without TLS, and
   * the call was not sent.
   */
  #isOfProxy(): boolean {
    const socket = socketOf(this.response?.request);
    return socket instanceof Socket && !('encrypted' in socket) && isHttps(this.response?.request);
  }
}

function removeTokenFrom(response: LooseResponse, { config, call }: Sent): void {
  response.config = config;
  redactRequest(response.request, call);
}

/** Longest chain of causes that is looked through. */
const MAX_CAUSES = 5;

/** Of axios' own errors, of those that an adapter makes after their pattern, and of what these were made of. */
function takeTokenOff(error: unknown, sent: Sent): void {
  const { config, call } = sent;
  let one = error;
  for (let causes = 0; isObject(one) && causes <= MAX_CAUSES; causes++) {
    const { config: own, request, cause } = one as { config?: unknown; request?: unknown; cause?: unknown };
    if (isAxiosError(one) || carriesToken(own, call)) Reflect.set(one, 'config', config);
    redactRequest(request, call);
    const response = responseOf(one);
    if (response) removeTokenFrom(response, sent);
    one = cause;
  }
}

function carriesToken(config: unknown, { authorization }: CallAuthorization): boolean {
  const headers: unknown = isObject(config) ? (config as { headers?: unknown }).headers : undefined;
  return isObject(headers) && Object.values(headers).includes(authorization);
}

/** Of axios' own errors and of those that an adapter makes after their pattern. */
function responseOf(error: unknown): LooseResponse | undefined {
  if (!isObject(error)) return undefined;
  const { response } = error as { response?: unknown };
  return isObject(response) ? response : undefined;
}

function socketOf(request: unknown): unknown {
  return isObject(request) ? (request as { socket?: unknown }).socket : undefined;
}

/** By the request itself: redirects may have led to another scheme than the call began with. */
function isHttps(request: unknown): boolean {
  return isObject(request) && (request as { protocol?: unknown }).protocol === 'https:';
}

function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null;
}

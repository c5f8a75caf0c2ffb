import { finished, Readable, type Stream } from 'node:stream';
import { JUDGED_BODY_TIMEOUT_MS, MAX_JUDGED_BODY_BYTES } from '../token/token-rejection.js';

/** Longest body that is kept of an answer while it is decided what becomes of that, in bytes. */
export const MAX_KEPT_BYTES = 262_144;

/** Returns the beginning of a body that is there already; empty for a value that is none. */
export function startOfValue(body: unknown): string {
  if (typeof body === 'string') return body.slice(0, MAX_JUDGED_BODY_BYTES);
  if (body instanceof ArrayBuffer) return startOfBytes(new Uint8Array(body));
  if (ArrayBuffer.isView(body)) return startOfBytes(new Uint8Array(body.buffer, body.byteOffset, body.byteLength));
  if (typeof body !== 'object' || body === null) return '';
  try {
    // An adapter for tests answers with what the body would have been parsed to.
    return JSON.stringify(body).slice(0, MAX_JUDGED_BODY_BYTES);
  } catch {
    return '';
  }
}

/**
 * Reads the beginning of a stream of Node's, as far as it comes in time.
 *
 * @returns That, and the stream that takes the place of the one that was read from: whole, from its first byte.
 */
export async function startOfNodeStream(
  stream: Readable,
): Promise<{ readonly start: string; readonly whole: Readable }> {
  const iterator = stream[Symbol.asyncIterator]() as AsyncIterator<Uint8Array | string, unknown>;
  const { chunks, start, next } = await readStart(() => iterator.next());
  const whole = Readable.from(chained(chunks, next, iterator), { objectMode: false });
  // A reader who leaves before the first byte ends the generator without running any of it.
  whole.once('close', () => stream.destroy());
  return { start, whole };
}

async function* chained(
  chunks: readonly Buffer[],
  next: ReadStart['next'],
  rest: AsyncIterator<Uint8Array | string, unknown>,
): AsyncGenerator<Uint8Array | string> {
  yield* chunks;
  for (let result = await next(); !result.done; result = await rest.next()) yield result.value;
}

/** Reads the beginning of a web stream that has no other reader, as far as it comes in time, and cancels the rest. */
export async function startOfWebStream(stream: ReadableStream<Uint8Array>): Promise<string> {
  const reader = stream.getReader();
  const { start } = await readStart(() => reader.read());
  // Not awaited: of two branches of one body, the other may never be cancelled.
  void reader.cancel().catch(() => {});
  return start;
}

/** Lets go of a body that nobody will read, a stream of either kind or anything else. */
export function discardBody(body: unknown): void {
  if (isWebStream(body)) body.cancel().catch(() => {});
  else if (body instanceof Readable) body.destroy();
}

/** By its members: implementations of `fetch` other than Node's bring streams of their own. */
export function isWebStream(body: unknown): body is ReadableStream<Uint8Array> {
  return typeof body === 'object' && body !== null && 'getReader' in body;
}

/**
 * Reads one of the two branches of a body while nobody reads the other, up to {@link MAX_KEPT_BYTES}: of an answer that
 * ends while it is not read, the parser of undici and of Node's `fetch` dies, and the process with it (nodejs/undici#5360).
 *
 * @param onOverflow Called when the body is longer than that.
 * @returns Stops reading this branch; the other stays as it is.
 */
export function keepFlowing(branch: ReadableStream<Uint8Array>, onOverflow: () => void): () => void {
  const reader = branch.getReader();
  const stop = () => void reader.cancel().catch(() => {});
  const readAll = async () => {
    for (let bytes = 0; bytes <= MAX_KEPT_BYTES;) {
      const { done, value } = await reader.read();
      if (done) return;
      bytes += value.byteLength;
    }
    stop();
    onOverflow();
  };
  // A body that fails does so for its reader.
  readAll().catch(() => {});
  return stop;
}

interface ReadStart {
  readonly chunks: readonly Buffer[];
  readonly start: string;
  /** The read that follows the last of these chunks. */
  readonly next: () => Promise<IteratorResult<Uint8Array | string, unknown>>;
}

/** Collects chunks until there are enough, the time is over, or the stream has ended or failed. */
async function readStart(read: () => Promise<IteratorResult<Uint8Array | string, unknown>>): Promise<ReadStart> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  let next = read();
  let timer: NodeJS.Timeout | undefined;
  const timeout = new Promise<undefined>((resolve) => {
    timer = setTimeout(() => resolve(undefined), JUDGED_BODY_TIMEOUT_MS);
  });
  try {
    for (let result = await Promise.race([next, timeout]); result && !result.done;) {
      const chunk = Buffer.from(result.value as Uint8Array);
      chunks.push(chunk);
      bytes += chunk.length;
      next = read();
      if (bytes >= MAX_JUDGED_BODY_BYTES) break;
      result = await Promise.race([next, timeout]);
    }
  } catch {
    // Of the body, so it is for the reader of the whole.
  } finally {
    clearTimeout(timer);
  }
  next.catch(() => {});
  return { chunks, start: startOfBytes(Buffer.concat(chunks)), next: () => next };
}

function startOfBytes(bytes: Uint8Array): string {
  return new TextDecoder().decode(bytes.subarray(0, MAX_JUDGED_BODY_BYTES));
}

/**
 * A signal that aborts, with the error, when a request's body breaks that is a stream of Node's; undefined for every other
 * body.
 *
 * While the call waits for its token, nobody else listens to the stream: an error would end the process, and a stream that
 * was destroyed without one would be waited for until the end of time. What listens stays on the stream for as long as that
 * lives, and takes nothing from it.
 */
export function brokenBodySignal(body: unknown): AbortSignal | undefined {
  if (!isNodeStream(body)) return undefined;
  const broken = new AbortController();
  finished(body, { writable: false }, (error) => {
    if (error) broken.abort(error);
  });
  return broken.signal;
}

/** By its members: it may come of another implementation of Node's streams. */
function isNodeStream(body: unknown): body is NodeJS.ReadableStream & Stream {
  if (typeof body !== 'object' || body === null) return false;
  return 'pipe' in body && typeof body.pipe === 'function' && 'on' in body && typeof body.on === 'function';
}

/**
 * Reads response headers of any form that clients and their mocks have them in, into a plain record.
 *
 * @param headers A record of any class, with values that are strings, numbers or lists; a `Map`, the `Headers` of the Fetch
 * standard or another list of pairs; nothing at all.
 * @returns Values by their names in lower case. Several of one name are joined (RFC 9110 §5.3).
 */
export function headerRecord(headers: unknown): Readonly<Record<string, string>> {
  const record: Record<string, string> = Object.create(null) as Record<string, string>;
  for (const [name, value] of entriesOf(headers)) {
    const text = textOf(value);
    if (text === undefined) continue;
    const lower = String(name).toLowerCase();
    record[lower] = lower in record ? `${record[lower]}, ${text}` : text;
  }
  return record;
}

function entriesOf(headers: unknown): (readonly [unknown, unknown])[] {
  if (typeof headers !== 'object' || headers === null) return [];
  if (!(Symbol.iterator in headers)) return Object.entries(headers);
  return [...(headers as Iterable<unknown>)].filter(
    (entry): entry is [unknown, unknown] => Array.isArray(entry) && entry.length === 2,
  );
}

function textOf(value: unknown): string | undefined {
  if (Array.isArray(value)) return value.map(String).join(', ');
  return typeof value === 'string' || typeof value === 'number' ? String(value) : undefined;
}

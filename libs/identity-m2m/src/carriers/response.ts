import { Readable } from 'node:stream';
import { JUDGED_BODY_TIMEOUT_MS, MAX_JUDGED_BODY_BYTES } from '../token/token-rejection.js';

/** Maximum size of a body that is buffered while the carrier decides about its response, in bytes. */
export const MAX_KEPT_BYTES = 262_144;

/** Returns the beginning of a body that was read already; empty if there is none. */
export function startOfValue(body: unknown): string {
  if (typeof body === 'string') return body.slice(0, MAX_JUDGED_BODY_BYTES);
  if (body instanceof ArrayBuffer) return startOfBytes(new Uint8Array(body));
  if (ArrayBuffer.isView(body)) return startOfBytes(new Uint8Array(body.buffer, body.byteOffset, body.byteLength));
  if (typeof body !== 'object' || body === null) return '';
  try {
    // A test's adapter responds with the parsed body.
    return JSON.stringify(body).slice(0, MAX_JUDGED_BODY_BYTES);
  } catch {
    return '';
  }
}

/**
 * Reads the beginning of a Node.js stream, as far as it arrives in time.
 *
 * @returns The beginning, and a stream that replaces the given one: whole, from its first byte.
 */
export async function startOfNodeStream(
  stream: Readable,
): Promise<{ readonly start: string; readonly whole: Readable }> {
  const iterator = stream[Symbol.asyncIterator]() as AsyncIterator<Uint8Array | string, unknown>;
  const { chunks, start, next } = await readStart(() => iterator.next());
  const values = chained(chunks, next, iterator);
  const whole = new Readable({
    read() {
      // Pushing also calls the application's listeners: if one throws, the stream fails.
      values
        .next()
        .then(({ done, value }) => void this.push(done ? null : value))
        .catch((error: Error) => this.destroy(error));
    },
    // At once: the generator ends only when the stream has sent more, or not at all if none of it has run.
    destroy(error, done) {
      stream.destroy();
      done(error);
    },
  });
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

/** Reads the beginning of a web stream that has no other reader, as far as it arrives in time, and cancels the rest. */
export async function startOfWebStream(stream: ReadableStream<Uint8Array>): Promise<string> {
  const reader = stream.getReader();
  const { start } = await readStart(() => reader.read());
  // Not awaited: cancelling one branch of a body waits for the other, which may never be cancelled.
  void reader.cancel().catch(() => {});
  return start;
}

/** Discards a body that the caller never reads: a stream of either kind, or anything else. */
export function discardBody(body: unknown): void {
  if (isWebStream(body)) body.cancel().catch(() => {});
  else if (body instanceof Readable) body.destroy();
}

/** Checked by its members: other implementations of `fetch` have their own streams. */
export function isWebStream(body: unknown): body is ReadableStream<Uint8Array> {
  return typeof body === 'object' && body !== null && 'getReader' in body;
}

/**
 * Reads one of the two branches of a body while the other is not read, up to {@link MAX_KEPT_BYTES}. If a response ends
 * while it is not read, the parser of undici and of Node's `fetch` throws and ends the process (nodejs/undici#5360).
 *
 * @param onOverflow Called if the body is longer than that.
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
  // The reader of the other branch gets the error.
  readAll().catch(() => {});
  return stop;
}

interface ReadStart {
  readonly chunks: readonly Buffer[];
  readonly start: string;
  /** Returns the read that follows the last of these chunks. */
  readonly next: () => Promise<IteratorResult<Uint8Array | string, unknown>>;
}

/** Collects chunks until there are enough, the time is over, or the stream ends or fails. */
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
    // The reader of the whole body gets the error.
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
 * Converts response headers to a plain record, in every form that HTTP clients and their mocks have them.
 *
 * @param headers A record of any class, with strings, numbers or lists as values; a `Map`, the `Headers` of the Fetch
 * standard or another list of pairs; undefined.
 * @returns Values by their names in lower case. Several values of one name are joined (RFC 9110 §5.3).
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

import { STATUS_CODES } from 'node:http';
import type { ClientOptions, TokenFailureKind } from 'nestjs-identity-m2m';
import type { HttpExchangeFault } from '../../../libs/identity-m2m/src/foundation/bounded-fetch.js';
import type { RawAnswer } from '../raw-server.js';

/** What a hostile or broken token endpoint answers, and what must come of it. */
export interface HostileAnswer {
  /** What it does, as the subject of a sentence. */
  readonly name: string;
  readonly answer: RawAnswer;
  readonly becomes: Outcome;
  /** Where the outcome is not obvious. */
  readonly why?: string;
  /** Settled by the timeout of the token request, and by nothing else. Otherwise no time may have to pass. */
  readonly isSettledByTimeout?: boolean;
  /** The answer comes before there is a request. */
  readonly isSaidAtOnce?: boolean;
  /** Token requests that this one call may cost. Default: 1. */
  readonly requests?: number;
  readonly client?: Partial<ClientOptions>;
}

export type Outcome = AcceptedToken | FailedRequest;

/** The token is used, for as long. */
export interface AcceptedToken {
  readonly kind: 'token';
  readonly lifetimeSeconds: number;
  readonly scope?: string | undefined;
}

/** No token; the kinds are those of the library, which decide when the next request may be made. */
export interface FailedRequest {
  readonly kind: Exclude<TokenFailureKind, 'certificate'>;
  readonly oauthError?: string;
  /** Part of the message. */
  readonly says?: string;
  /** Why there was no answer that could be read: `fault` of the cause. */
  readonly fault?: HttpExchangeFault;
  /** The next request comes no sooner than so many seconds from now, and no later than 1.1 times as many. */
  readonly retryAfterSeconds?: number;
}

export const usable = (lifetimeSeconds = 3600, more: Partial<AcceptedToken> = {}): AcceptedToken => ({
  kind: 'token',
  lifetimeSeconds,
  ...more,
});

export const failed = (kind: FailedRequest['kind'], more: Partial<FailedRequest> = {}): FailedRequest => ({
  kind,
  ...more,
});

/** The token of these answers. Whatever is not a token must not get into an error either. */
export const TOKEN = 'hostile-access-token.Q2FubmFyeS1Ub2tlbi1UZXh0';

/** A grant as it should be, with members replaced; one that is undefined is left out. */
export const grant = (members: object = {}) =>
  JSON.stringify({ access_token: TOKEN, token_type: 'Bearer', expires_in: 3600, ...members });

/** An answer as it should be, but for what is given. */
export function http(
  body: string | Buffer,
  {
    status = 200,
    headers = [],
    type = 'application/json',
  }: { status?: number; headers?: string[]; type?: string } = {},
): Buffer {
  const lines = [
    `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? 'Unknown'}`,
    ...(type === '' ? [] : [`content-type: ${type}`]),
    ...headers,
    `content-length: ${Buffer.byteLength(body)}`,
  ];
  return bytes(`${lines.join('\r\n')}\r\n\r\n`, body);
}

/** Header lines as they are given, and a body as it is. */
export function raw(lines: readonly string[], body: string | Buffer = ''): Buffer {
  return bytes(`${lines.join('\r\n')}\r\n\r\n`, body);
}

export const OK = 'HTTP/1.1 200 OK';
export const JSON_TYPE = 'content-type: application/json';

/** Says something and then closes the connection in good order. */
export const thenEnd =
  (data: string | Buffer): RawAnswer =>
  (socket) =>
    socket.end(data);

/** Says something and then resets the connection. */
export const thenReset =
  (data: string | Buffer): RawAnswer =>
  (socket) =>
    socket.write(data, () => socket.resetAndDestroy());

/** Says something once, and then something else for as long as anybody listens. */
export const endlessly =
  (start: string | Buffer, more: string): RawAnswer =>
  (socket) => {
    socket.write(start);
    const again = () => {
      if (socket.destroyed) return;
      if (socket.write(more)) setImmediate(again);
      else socket.once('drain', again);
    };
    again();
  };

/** Says something once, and then one byte after the other with pauses between them. */
export const dripping =
  (start: string | Buffer, drops: string): RawAnswer =>
  (socket) => {
    socket.write(start);
    let at = 0;
    const timer = setInterval(() => socket.write(drops[at++ % drops.length]!), 2);
    socket.once('close', () => clearInterval(timer));
  };

function bytes(head: string, body: string | Buffer): Buffer {
  return Buffer.concat([Buffer.from(head, 'latin1'), Buffer.from(body)]);
}

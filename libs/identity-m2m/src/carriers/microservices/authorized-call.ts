import { Observable, Subscription } from 'rxjs';
import { SHORTEST_REDACTED } from '../../token/credential-redaction.js';
import { TokenNotBearerError } from '../../token/token-errors.js';
import type { GetTokenOptions } from '../../token/token-provider.js';
import type { CallAuthorization, OutgoingCall } from '../outgoing-call.js';
import { startOfValue } from '../response.js';
import type { TokenCarrier } from '../token-carrier.js';

/** The settings that all calls of one client proxy share. */
export interface AuthorizedClient {
  readonly carrier: TokenCarrier;
  /** Receiver as a URL: the carrier remembers under this name what it learns about the receiver. */
  readonly receiver: string;
  /** Requested token; undefined for the client's default one. */
  readonly token: GetTokenOptions | undefined;
  /** Whether a call may be sent again if the receiver rejected its token. */
  readonly replay: boolean;
  /** Waits for a token that are under way; closing the connection ends them. */
  readonly waits: Set<AbortController>;
}

/** A call with any number of responses. */
export interface AuthorizedCall<T> {
  /** Whether it may be sent again if the receiver rejected its token before any response. */
  readonly isReplayable: boolean;
  /**
   * Sends the call, when subscribed to, with this value of `authorization`.
   *
   * @param hasWaited Whether the call waited before it was sent.
   */
  exchange(authorization: string, hasWaited: boolean): Observable<T>;
}

/**
 * Returns a call with the token on it. It waits for a token if there is none, and is sent once more with a newer token
 * if the receiver rejects the first as unauthenticated.
 *
 * Cold, as the calls of Nest's clients are. If a token is available, the call is sent within `subscribe`. Unsubscribing
 * ends this caller's wait; the token request continues for other callers.
 */
export function authorizedCall<T>(client: AuthorizedClient, call: AuthorizedCall<T>): Observable<T> {
  return new Observable<T>((subscriber) => {
    const exchanges = new Subscription();
    let wait: AbortController | undefined;
    let hasWaited = false;
    let hasResponse = false;

    const signal = () => {
      wait ??= new AbortController();
      client.waits.add(wait);
      return wait.signal;
    };

    const endWait = () => wait && client.waits.delete(wait);

    const send = ({ token }: CallAuthorization) =>
      new Promise<FirstResponse>((resolve) => {
        if (token.tokenType !== 'Bearer') throw new TokenNotBearerError(client.carrier.client);
        if (subscriber.closed) return resolve({});
        const responded = () => {
          if (hasResponse) return;
          hasResponse = true;
          resolve({});
        };
        const fail = (thrown: unknown) => {
          const failure = new MessageFailure(redactToken(thrown, token.reveal()));
          if (!hasResponse) return resolve({ failure });
          // The caller has some responses already, so this only renews the token.
          client.carrier.finish(outgoingCall, token, { failure }).catch(() => {});
          subscriber.error(failure.error);
        };
        exchanges.add(
          // Receivers read `authorization`, whatever header the client's HTTP calls use.
          call.exchange(token.revealAuthorizationHeader(), hasWaited).subscribe({
            next: (response) => {
              responded();
              subscriber.next(response);
            },
            error: fail,
            complete: () => {
              responded();
              subscriber.complete();
            },
          }),
        );
      });

    const outgoingCall: OutgoingCall<FirstResponse> = {
      method: 'POST',
      url: client.receiver,
      token: client.token,
      signal,
      send,
      status: ({ failure }) => failure?.status,
      headers: ({ failure }) => failure?.headers() ?? {},
      bodyStart: ({ failure }) => failure?.bodyStart() ?? '',
      isReplayable: () => client.replay && call.isReplayable && !hasResponse && !subscriber.closed,
      discard: () => {},
    };
    client.carrier
      .call(outgoingCall)
      .then(
        ({ failure }) => failure && subscriber.error(failure.error),
        (error: unknown) => subscriber.error(error),
      )
      .finally(endWait);

    hasWaited = true;
    return () => {
      exchanges.unsubscribe();
      wait?.abort();
      endWait();
    };
  });
}

/** The first event of a call: a response or the end, or an error, which may be about the token. */
interface FirstResponse {
  readonly failure?: MessageFailure;
}

/** gRPC's status for a call without valid credentials, and the name that receivers on other transports use for it. */
const UNAUTHENTICATED: readonly unknown[] = [16, 'UNAUTHENTICATED'];

/** The error of a message call, in HTTP terms. */
class MessageFailure {
  constructor(readonly error: unknown) {}

  /** Returns 401 for `UNAUTHENTICATED`, 500 for every other error. */
  get status(): number {
    return UNAUTHENTICATED.includes(this.#members().code) ? 401 : 500;
  }

  /**
   * Returns the reason: gRPC has it in the trailing metadata `www-authenticate`, others in `error` beside the code (RFC
   * 6750 §3.1).
   */
  headers(): Readonly<Record<string, string>> {
    const { error: reason, metadata } = this.#members();
    if (typeof reason === 'string') return { 'www-authenticate': `error="${reason}"` };
    // With other transports, the receiver may have put anything there.
    const challenges: unknown = typeof metadata?.get === 'function' && metadata.get('www-authenticate');
    return Array.isArray(challenges) ? { 'www-authenticate': challenges.join(', ') } : {};
  }

  bodyStart(): string {
    const { error } = this;
    // JSON would leave out the error's message.
    return startOfValue(error instanceof Error ? Object.assign({}, error, { message: error.message }) : error);
  }

  #members(): ErrorMembers {
    return this.error ?? {};
  }
}

interface ErrorMembers {
  readonly code?: unknown;
  readonly error?: unknown;
  readonly metadata?: { get?(key: string): unknown } | null;
}

/** Maximum number of objects that are searched: limits the cost of a large error. */
const MAX_OBJECTS = 200;

const REDACTED = '[access token]';

/**
 * Redacts a token in an error and in the objects attached to it. Some clients of brokers put the failed command on
 * their errors, and a receiver may quote what it was sent. A short token is redacted only together with its
 * scheme: it may be part of words that an error needs, and of its code.
 *
 * Searches plain data and errors only. Other objects, such as a connection, also serve other calls.
 *
 * @returns The error itself, changed if necessary; a new string if it was a string.
 */
export function redactToken(error: unknown, text: string): unknown {
  const scheme = text.length < SHORTEST_REDACTED ? 'Bearer ' : '';
  const redacted = redaction(`${scheme}${text}`, `${scheme}${REDACTED}`);
  if (typeof error === 'string') return redacted(error);
  const seen = new Set<unknown>();
  const queue = [error];
  for (let value = queue.shift(); value !== undefined && seen.size < MAX_OBJECTS; value = queue.shift()) {
    if (!isPlain(value) || seen.has(value)) continue;
    seen.add(value);
    for (const [key, descriptor] of Object.entries(Object.getOwnPropertyDescriptors(value))) {
      // Newer versions of Node.js have an accessor for `stack`, the only one that is safe to read.
      const member: unknown = key === 'stack' && value instanceof Error ? value.stack : descriptor.value;
      if (typeof member === 'string') {
        const rest = redacted(member);
        if (rest !== member) Reflect.set(value, key, rest);
      } else if (typeof member === 'object' && member !== null) queue.push(member);
    }
  }
  return error;
}

/** Returns a function that replaces a string in others, in every escaped spelling. */
function redaction(text: string, substitute: string): (from: string) => string {
  // This part is the same in every spelling. It is searched first, because that is fast.
  const [unchanged = ''] = (text.match(/[a-z\d]+/gi) ?? []).toSorted((a, b) => b.length - a.length);
  let wanted: string | undefined;
  return (from) => {
    if (!from.includes(unchanged)) return from;
    wanted ??= read(text).characters;
    if (wanted === '') return from;
    const { characters, starts, ends } = read(from);
    let rest = '';
    let at = 0;
    for (let found = characters.indexOf(wanted); found >= 0;) {
      rest += from.slice(at, starts[found]) + substitute;
      at = ends[found + wanted.length - 1]!;
      found = characters.indexOf(wanted, found + wanted.length);
    }
    return rest + from.slice(at);
  };
}

/**
 * A backslash, which a URL or JSON may have escaped, with the character that it escapes in JSON; a character that a URL
 * escaped, once or repeatedly; any other character.
 */
const UNIT = /(?:\\|%(?:25)*5c)(?:u00(?:25)*5c)*(?:u00(?:25)*([\da-f]{2}))?|%(?:25)*([\da-f]{2})|([^])/gi;

/**
 * Reads a string as if nothing in it was escaped. Writers of JSON and of URLs differ in what they escape, and JSON may
 * be nested in JSON. Backslashes are dropped, and a space becomes the plus sign that it is in a form.
 *
 * @returns The characters, and the start and end of each in the string.
 */
function read(text: string) {
  const starts: number[] = [];
  const ends: number[] = [];
  let characters = '';
  for (const { 0: unit, 1: inJson, 2: inUrl, 3: other, index } of text.matchAll(UNIT)) {
    const code = inJson ?? inUrl;
    const character = code === undefined ? other : String.fromCharCode(parseInt(code, 16));
    if (character === undefined) continue;
    characters += character === ' ' ? '+' : character;
    starts.push(index);
    ends.push(index + unit.length);
  }
  return { characters, starts, ends };
}

function isPlain(value: unknown): value is object {
  if (typeof value !== 'object' || value === null) return false;
  if (Array.isArray(value) || value instanceof Error) return true;
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === null || prototype === Object.prototype;
}

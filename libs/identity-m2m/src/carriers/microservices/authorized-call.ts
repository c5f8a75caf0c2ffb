import { Observable, Subscription } from 'rxjs';
import { TokenNotBearerError } from '../../token/token-errors.js';
import type { GetTokenOptions } from '../../token/token-provider.js';
import type { CallAuthorization, OutgoingCall } from '../outgoing-call.js';
import { startOfValue } from '../response.js';
import type { TokenCarrier } from '../token-carrier.js';

/** What all calls of one client proxy share. */
export interface AuthorizedClient {
  readonly carrier: TokenCarrier;
  /** Name of the client whose tokens they carry. */
  readonly tokenClient: string;
  /** Where they lead, as a URL: what is learned of the receiver is kept under this name. */
  readonly receiver: string;
  /** Which token they carry; undefined for the client's usual one. */
  readonly token: GetTokenOptions | undefined;
  /** Whether refused calls may be sent a second time at all. */
  readonly replay: boolean;
  /** Ends the waits for a token that are under way when the connection is closed. */
  readonly waits: Set<AbortController>;
}

/** A call with any number of answers. */
export interface AuthorizedCall<T> {
  /** Whether it may be sent a second time, where the first was refused before anything was answered. */
  readonly isReplayable: boolean;
  /**
   * Sends it with this value for `authorization` when it is subscribed to.
   *
   * @param hasWaited Whether that is some time after the call was made.
   */
  exchange(authorization: string, hasWaited: boolean): Observable<T>;
}

/**
 * Makes a call with the token on it: waits for one where there is none, and sends the call once more with a newer one
 * where the receiver refuses the first as unauthenticated.
 *
 * Cold, as the calls of Nest's clients are. Where the token can be had without waiting, the call is sent within
 * `subscribe`. Whoever unsubscribes ends his own wait; the token request goes on for the others.
 */
export function authorizedCall<T>(client: AuthorizedClient, call: AuthorizedCall<T>): Observable<T> {
  return new Observable<T>((subscriber) => {
    const exchanges = new Subscription();
    let wait: AbortController | undefined;
    let hasWaited = false;
    let isAnswered = false;

    const signal = () => {
      wait ??= new AbortController();
      client.waits.add(wait);
      return wait.signal;
    };

    const endWait = () => wait && client.waits.delete(wait);

    const send = ({ token }: CallAuthorization) =>
      new Promise<FirstAnswer>((resolve) => {
        if (token.tokenType !== 'Bearer') throw new TokenNotBearerError(client.tokenClient);
        if (subscriber.closed) return resolve({});
        const answered = () => {
          if (isAnswered) return;
          isAnswered = true;
          resolve({});
        };
        const fail = (thrown: unknown) => {
          const refusal = new MessageRefusal(redactToken(thrown, token.reveal()));
          if (!isAnswered) return resolve({ refusal });
          // The caller has some of the answers, so this may renew the token, and does not make the call again.
          client.carrier.finish(boundCall, token, { refusal }).catch(() => {});
          subscriber.error(refusal.error);
        };
        exchanges.add(
          // Receivers of messages read it from `authorization`, whatever header the client's HTTP calls have it in.
          call.exchange(token.revealAuthorizationHeader(), hasWaited).subscribe({
            next: (answer) => {
              answered();
              subscriber.next(answer);
            },
            error: fail,
            complete: () => {
              answered();
              subscriber.complete();
            },
          }),
        );
      });

    const boundCall: OutgoingCall<FirstAnswer> = {
      method: 'POST',
      url: client.receiver,
      token: client.token,
      signal,
      send,
      status: ({ refusal }) => refusal?.status,
      headers: ({ refusal }) => refusal?.headers() ?? {},
      bodyStart: ({ refusal }) => refusal?.bodyStart() ?? '',
      isReplayable: () => client.replay && call.isReplayable && !isAnswered && !subscriber.closed,
      discard: () => {},
    };
    client.carrier
      .call(boundCall)
      .then(
        ({ refusal }) => refusal && subscriber.error(refusal.error),
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

/** How a call began: with an answer, or the end; or with an error, which may be about the token. */
interface FirstAnswer {
  readonly refusal?: MessageRefusal;
}

/** gRPC's status for a call without valid credentials, and the name that receivers on other transports use for it. */
const UNAUTHENTICATED: readonly unknown[] = [16, 'UNAUTHENTICATED'];

/** An error that a message call ended with, in the terms of HTTP. */
export class MessageRefusal {
  constructor(readonly error: unknown) {}

  /** 401 for `UNAUTHENTICATED`, 500 for what is about something else. */
  get status(): number {
    return UNAUTHENTICATED.includes(this.#members().code) ? 401 : 500;
  }

  /**
   * Why it was refused is told in the trailing metadata `www-authenticate` of gRPC, or as `error` of RFC 6750 §3.1
   * beside the code.
   */
  headers(): Readonly<Record<string, string>> {
    const { error: reason, metadata } = this.#members();
    if (typeof reason === 'string') return { 'www-authenticate': `error="${reason}"` };
    // Of other transports it is what the receiver wrote there.
    const challenges: unknown = typeof metadata?.get === 'function' && metadata.get('www-authenticate');
    return Array.isArray(challenges) ? { 'www-authenticate': challenges.join(', ') } : {};
  }

  bodyStart(): string {
    const { error } = this;
    // Of an error's own members JSON leaves out the text.
    return startOfValue(error instanceof Error ? Object.assign({}, error, { message: error.message }) : error);
  }

  #members(): ErrorMembers {
    return typeof this.error === 'object' && this.error !== null ? this.error : {};
  }
}

interface ErrorMembers {
  readonly code?: unknown;
  readonly error?: unknown;
  readonly metadata?: { get?(key: string): unknown } | null;
}

/** Most objects that are looked into: errors are small, and one that is not should cost no more than this. */
const MAX_OBJECTS = 200;

const REDACTED = '[access token]';

/**
 * The shortest token that is taken out wherever it stands, in characters: the letters of a shorter one are in words
 * that an error needs, and in its code.
 */
const SHORTEST_REDACTED = 8;

/**
 * Takes a token out of an error and of what hangs on it: of clients for brokers, some put the command that failed on
 * their errors, and a receiver may repeat what it was sent. A short one is taken out with its scheme alone.
 *
 * Only plain data and errors are looked into. Anything else, such as a connection, is at work for other calls too.
 *
 * @returns The error itself, changed where it must be; another text where it was one.
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
      // In newer versions of Node.js the stack is an accessor, and the only one whose reading is known to do nothing else.
      const member: unknown = key === 'stack' && value instanceof Error ? value.stack : descriptor.value;
      if (typeof member === 'string') {
        const rest = redacted(member);
        if (rest !== member) Reflect.set(value, key, rest);
      } else if (typeof member === 'object' && member !== null) queue.push(member);
    }
  }
  return error;
}

/** Puts something in the place of a text in others, however it is spelt there. */
function redaction(text: string, substitute: string): (from: string) => string {
  // Stays as it is in each spelling, and is looked for first because that takes no time.
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
 * A character that a URL or JSON has as its code, once or several times over; backslashes in a row; any other
 * character.
 */
const UNIT = /(?:%|\\+u0025)(?:25)*([\da-f]{2})|\\+u00([\da-f]{2})|\\+|[^]/gi;

/**
 * Reads a text as if its writer had escaped nothing: writers of JSON and of URLs differ in what they escape, and JSON
 * may be within JSON. Backslashes are left out, and a blank is the plus sign that it is within a form.
 *
 * @returns The characters, and of each where it begins and ends in the text.
 */
function read(text: string) {
  const starts: number[] = [];
  const ends: number[] = [];
  let characters = '';
  for (const { 0: unit, 1: inUrl, 2: inJson, index } of text.matchAll(UNIT)) {
    const code = inUrl ?? inJson;
    const character = code === undefined ? unit : String.fromCharCode(parseInt(code, 16));
    if (character.startsWith('\\')) continue;
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

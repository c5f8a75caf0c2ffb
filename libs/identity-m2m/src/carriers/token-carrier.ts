import type { Clock } from '../foundation/clock.js';
import type { AccessToken } from '../token/access-token.js';
import type { GetTokenOptions, TokenProvider } from '../token/token-provider.js';
import { tokenKey } from '../token/token-parameters.js';
import type { ReplayPolicy } from './replay-policy.js';
import { ReceiverBrake, receiverKey } from './receiver-brake.js';
import { parseUrl } from '../foundation/parse-url.js';

/** The headers by which a call is authorised: `Authorization`, and for a token bound to a key its proof. */
export interface CallAuthorization {
  readonly authorization: string;
  readonly dpop?: string | undefined;
}

/** What a resource server's answer has to say about the authorization. */
export interface AnswerAboutToken {
  readonly status: number;
  /** `WWW-Authenticate`, all of it (RFC 9110 §11.6.1). */
  readonly challenges: string | undefined;
  /** `DPoP-Nonce` (RFC 9449 §9). */
  readonly dpopNonce: string | undefined;
}

/** A call to a resource server, as every kind of HTTP client can describe it. */
export interface BoundCall<Response> {
  readonly method: string;
  /** The address that the call really goes to. Of messages, the name of the broker or receiver as a URL. */
  readonly url: string;
  /** Which token it wants; undefined for the client's usual one. */
  readonly token: GetTokenOptions | undefined;
  /** Sends the call with these headers on it. Called at most four times: twice, and each time once more for the nonce of a proof. */
  send(authorization: CallAuthorization): Promise<Response>;
  /** undefined where no answer came. */
  about(response: Response): AnswerAboutToken | undefined;
  /** Whether the call can be sent a second time: its body is still there, and not too long. */
  isReplayable(): boolean;
  /** Lets go of a response that nobody will read, with its socket. */
  discard(response: Response): void;
  /** Ends the wait for a token. Asked for only if there is a wait. */
  signal(): AbortSignal;
}

/** Most origins that a refusal is told of. */
const MAX_REFUSED_ORIGINS = 100;

/**
 * Puts a client's token on calls: to the places it is bound to and no others, always a usable one, and once more with a
 * new one where the receiver says that the first is good no longer.
 *
 * All carriers of a client share one, so that what one of them learns of a receiver holds for the others.
 */
export class TokenCarrier {
  readonly #brake: ReceiverBrake;
  /** Renewals under way, by the token that was rejected: all calls share one whose token was rejected meanwhile. */
  readonly #renewals = new Map<AccessToken, Promise<AccessToken | undefined>>();
  readonly #refusedOrigins = new Set<string>();
  #callsUnderWay = 0;
  #tellIdle: (() => void)[] = [];

  constructor(
    private readonly provider: TokenProvider,
    clock: Clock,
    readonly replay: ReplayPolicy,
  ) {
    this.#brake = new ReceiverBrake(clock);
  }

  /**
   * Whether the token may go to this address. Tells of each origin where it may not, once.
   *
   * @param host The call's own `Host` header, where it has one. A server that acts for many hosts goes by it, not by the
   * address, so the token has to be bound to both.
   */
  isBound(url: string, host?: string | null): boolean {
    const { isBound, reason } = this.provider.explain(url);
    if (!isBound) this.#tellRefused(url, reason);
    if (!isBound || host === undefined || host === null) return isBound;
    const { protocol, host: ownHost, pathname } = new URL(url);
    if (host === ownHost) return true;
    return this.isBound(/^[^/\\?#@\s]+$/.test(host) ? `${protocol}//${host}${pathname}` : `${protocol}//`);
  }

  /** Whether an answer may mean that the token is good no longer: 401, if the policy does not say otherwise. */
  isRefusal(status: number | undefined): boolean {
    return status !== undefined && this.replay.statuses.includes(status);
  }

  /** The token where it can go on a call at once and without a proof, which is nearly always. */
  peekBearer(wanted: GetTokenOptions | undefined): AccessToken | undefined {
    const token = this.provider.peek(wanted);
    return token?.tokenType === 'Bearer' ? token : undefined;
  }

  /**
   * Sends a call to a bound address with the token on it, a second time if a 401, or what is taken for one, was answered
   * that a newer token may mend.
   *
   * @throws `TokenUnavailableError`, and nothing has been sent; the reason of the call's signal while it waits; whatever
   * `send` throws.
   */
  async call<Response>(call: BoundCall<Response>): Promise<Response> {
    this.callBegins();
    try {
      const token = this.provider.peek(call.token) ?? (await this.#wait(call));
      const response = await this.#send(call, token);
      return this.#isMendable(call, response) ? await this.#mend(call, token, response) : response;
    } finally {
      this.callEnds();
    }
  }

  /** For whoever sends a call without {@link call}. */
  callBegins(): void {
    this.#callsUnderWay += 1;
  }

  callEnds(): void {
    this.#callsUnderWay -= 1;
    if (this.#callsUnderWay > 0) return;
    for (const tell of this.#tellIdle.splice(0)) tell();
  }

  /** Resolves when no call is under way: the tokens may be revoked. */
  async whenIdle(): Promise<void> {
    if (this.#callsUnderWay > 0) await new Promise<void>((resolve) => this.#tellIdle.push(resolve));
  }

  /**
   * The second half of {@link call}: what is left to do when the call was sent with the token and answered.
   *
   * @throws Whatever `send` throws.
   */
  async finish<Response>(call: BoundCall<Response>, token: AccessToken, response: Response): Promise<Response> {
    return this.#isMendable(call, response) ? this.#mend(call, token, response) : response;
  }

  #isMendable<Response>(call: BoundCall<Response>, response: Response): boolean {
    const about = call.about(response);
    return about !== undefined && this.isRefusal(about.status) && isAboutToken(about.challenges) && call.isReplayable();
  }

  /** Sends it again with another token; what it was answered already, where there is none. */
  async #mend<Response>(call: BoundCall<Response>, token: AccessToken, response: Response): Promise<Response> {
    const origin = originOf(call.url);
    const receiver = receiverKey(tokenKey(call.token ?? {}), origin);
    const renewed = await this.#replacementFor(token, call, receiver);
    if (!renewed || call.signal().aborted) return response;
    call.discard(response);
    const { client, events } = this.provider;
    events.emit({ type: 'call.replayed', client, origin, fingerprint: renewed.fingerprint });
    const second = await this.#send(call, renewed);
    this.#brake.renewalEnded(receiver, this.isRefusal(call.about(second)?.status) ? 'did not help' : 'helped');
    return second;
  }

  #wait<Response>(call: BoundCall<Response>): Promise<AccessToken> {
    return this.provider.getToken({ ...call.token, signal: call.signal() });
  }

  #send<Response>(call: BoundCall<Response>, token: AccessToken): Promise<Response> {
    const authorization = token.revealAuthorizationHeader();
    return token.tokenType === 'Bearer'
      ? call.send({ authorization })
      : this.#sendWithProof(call, token, authorization);
  }

  /** RFC 9449 §9: an answer may bring a nonce for the next proof, and may be no more than the demand for one. */
  async #sendWithProof<Response>(
    call: BoundCall<Response>,
    token: AccessToken,
    authorization: string,
  ): Promise<Response> {
    const { method, url } = call;
    const send = async () => call.send({ authorization, dpop: await this.provider.proof(token, method, url) });
    const response = await send();
    const about = call.about(response);
    const isNewNonce = this.provider.learnNonce(url, about?.dpopNonce);
    const isWanted = about?.status === 401 && /use_dpop_nonce/.test(about.challenges ?? '');
    if (!isWanted || !isNewNonce || !call.isReplayable()) return response;
    call.discard(response);
    const second = await send();
    this.provider.learnNonce(url, call.about(second)?.dpopNonce);
    return second;
  }

  /** Another token than the one that was rejected; undefined where the 401 has to be passed on. */
  async #replacementFor<Response>(
    rejected: AccessToken,
    call: BoundCall<Response>,
    receiver: string,
  ): Promise<AccessToken | undefined> {
    const current = this.provider.peek(call.token);
    if (current && !current.equals(rejected)) return current;
    const shared = this.#renewals.get(rejected);
    if (!shared && !this.#brake.mayForceRenewal(receiver)) return undefined;
    return untilAborted(shared ?? this.#renew(rejected, call.token, receiver), call.signal());
  }

  /** Never rejects: the caller learns more from the 401 than from a failed attempt to mend it, which has an event. */
  #renew(
    rejected: AccessToken,
    wanted: GetTokenOptions | undefined,
    receiver: string,
  ): Promise<AccessToken | undefined> {
    const renewed = this.provider
      .renewToken(rejected, wanted)
      .catch(() => undefined)
      .then((token) => {
        this.#renewals.delete(rejected);
        if (!token) this.#brake.renewalEnded(receiver, 'did not help');
        return token;
      });
    this.#renewals.set(rejected, renewed);
    return renewed;
  }

  #tellRefused(url: string, reason: ReturnType<TokenProvider['explain']>['reason']): void {
    const origin = parseUrl(url)?.origin ?? 'an address that is no URL';
    if (this.#refusedOrigins.has(origin) || this.#refusedOrigins.size >= MAX_REFUSED_ORIGINS) return;
    this.#refusedOrigins.add(origin);
    const { client, events } = this.provider;
    events.emit({ type: 'call.refused_origin', client, origin, reason });
  }
}

/** The URL standard knows origins only of the web; of what is none, the address itself names the receiver. */
function originOf(url: string): string {
  const { origin } = new URL(url);
  return origin === 'null' ? url : origin;
}

/** What a promise resolves to, or undefined as soon as the signal aborts. */
async function untilAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T | undefined> {
  if (signal.aborted) return undefined;
  let stop!: () => void;
  const aborted = new Promise<undefined>((resolve) => (stop = () => resolve(undefined)));
  signal.addEventListener('abort', stop, { once: true });
  try {
    return await Promise.race([promise, aborted]);
  } finally {
    signal.removeEventListener('abort', stop);
  }
}

/** A missing scope is not mended by the next token; a DPoP nonce has been dealt with by then (RFC 9449 §9). */
function isAboutToken(challenges: string | undefined): boolean {
  return !/(?:^|[\s,])error\s*=\s*"?(?:insufficient_scope|use_dpop_nonce)\b/i.test(challenges ?? '');
}

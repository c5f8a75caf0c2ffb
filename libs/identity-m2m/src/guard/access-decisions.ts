import type { ExecutionContext } from '@nestjs/common';
import { EventStream } from '../foundation/event-stream.js';
import { tokenFingerprint } from '../foundation/sensitive-value.js';
import { isB64Token, printableText } from '../foundation/text.js';
import type { Verdict } from '../verification/access-token-verifier.js';
import { type Refusal, type RefusalDetail, refuse } from '../verification/refusal.js';
import { type RoutePolicy, routeRefusal, type RouteSurroundings } from '../verification/route-policy.js';
import type { Credential } from './credential.js';
import type { InboundEvent } from './inbound-events.js';

/** Tells whose token a text is. Answers at once where it can: a promise costs more than the rest of a warm decision. */
export interface TokenVerifier {
  verify(token: string, policy: RoutePolicy): Verdict | Promise<Verdict>;
}

/** Decides who is let in, for every transport alike, and tells those who listen. */
export class AccessDecisions {
  readonly #events = new EventStream<InboundEvent>();
  readonly #counters = new InboundCounters();
  readonly #failuresTold = new Set<string>();
  readonly #unknownHandlers = new Set<string>();

  /** Each decision, as it is made. */
  readonly events: Pick<EventStream<InboundEvent>, 'subscribe'> = this.#events;

  /**
   * @param verifier undefined where the module was configured without a guard: then nobody is let in.
   * @param realm Name of the protection space in challenges.
   */
  constructor(
    private readonly verifier: TokenVerifier | undefined,
    readonly realm: string | undefined,
    private readonly surroundings: RouteSurroundings = { hasSeveralIssuers: false },
  ) {}

  /** Whether anybody can be let in at all. */
  get isConfigured(): boolean {
    return this.verifier !== undefined;
  }

  /** How many callers were let in and refused since the start, by transport. */
  counts(): Readonly<Record<string, TransportCount>> {
    return this.#counters.read();
  }

  /**
   * @param transport Name of the transport, for events.
   * @param context Names the route in the event of a refusal.
   * @returns The verdict itself where nothing has to be waited for. Never throws and never rejects: what fails is
   * refused.
   */
  decide(
    credential: Credential,
    policy: RoutePolicy,
    transport: string,
    context?: ExecutionContext,
  ): Verdict | Promise<Verdict> {
    if (!credential.ok) return this.#refused(credential, transport, context);
    const { token } = credential;
    if (!this.verifier) return this.#refused(refuse('issuer_unknown', NO_ISSUER), transport, context, token);
    try {
      const verdict = this.verifier.verify(token, policy);
      if (!(verdict instanceof Promise)) return this.#decided(verdict, policy, transport, context, token);
      return verdict.then(
        (settled) => this.#decided(settled, policy, transport, context, token),
        (error: unknown) => this.#failed(error, transport, context, token),
      );
    } catch (error) {
      return this.#failed(error, transport, context, token);
    }
  }

  /** What became of a message that was refused. */
  settled(event: Extract<InboundEvent, { readonly type: `message.${string}` }>): void {
    this.#events.emit(event);
  }

  /** Reports a handler whose rules are unknown, once for each. */
  unknownHandler(context: ExecutionContext, unknownRules: readonly string[]): void {
    // Nest makes controllers anew for each request where they are request-scoped, so functions are no keys.
    const handler = handlerName(context);
    if (this.#unknownHandlers.has(handler)) return;
    this.#unknownHandlers.add(handler);
    this.#events.emit({ type: 'handler.unknown', handler, unknownRules });
  }

  #decided(
    verdict: Verdict,
    policy: RoutePolicy,
    transport: string,
    context: ExecutionContext | undefined,
    token: string,
  ): Verdict {
    if (!verdict.ok) return this.#refusedToken(verdict, transport, context, token);
    const { caller } = verdict;
    const refusal = routeRefusal(caller, policy, this.surroundings);
    if (refusal) return this.#refused(refusal, transport, context, token);
    const { clientId, issuer } = caller;
    this.#tell({ type: 'caller.accepted', transport, clientId, issuer, tokenFingerprint: caller.tokenFingerprint });
    return verdict;
  }

  /**
   * What has characters that only opaque tokens have, and is not read as one, is no token in the sense of RFC 6750 §2.1: the
   * request is malformed.
   */
  #refusedToken(refusal: Refusal, transport: string, context: ExecutionContext | undefined, token: string): Refusal {
    const isMalformed = refusal.reason === 'token_malformed' && !isB64Token(token);
    const reason = isMalformed ? 'credential_malformed' : refusal.reason;
    return this.#refused({ ...refusal, reason }, transport, context, token);
  }

  #refused(refusal: Refusal, transport: string, context: ExecutionContext | undefined, token?: string): Refusal {
    const { reason, claim, found, expected, caller } = refusal;
    this.#tell({
      type: 'caller.refused',
      transport,
      route: context && calledRoute(context),
      reason,
      claim,
      found,
      expected,
      clientId: caller?.clientId,
      issuer: caller?.issuer,
      tokenFingerprint: caller?.tokenFingerprint ?? (token === undefined ? undefined : tokenFingerprint(token)),
    });
    return refusal;
  }

  /** Its message may hold anything; the name of its class is enough to find it. Told once for each. */
  #failed(error: unknown, transport: string, context: ExecutionContext | undefined, token: string): Refusal {
    const name = error instanceof Error ? error.constructor.name : typeof error;
    if (!this.#failuresTold.has(name)) {
      this.#failuresTold.add(name);
      process.emitWarning(`an access token could not be verified: ${name}`, 'IdentityM2MWarning');
    }
    return this.#refused(refuse('verification_failed'), transport, context, token);
  }

  #tell(event: InboundEvent): void {
    this.#counters.count(event);
    this.#events.emit(event);
  }
}

const NO_ISSUER: RefusalDetail = { expected: 'an issuer in the options of the guard, which has none' };

/** How many callers were let in and refused since the start, by transport. */
export interface TransportCount {
  readonly accepted: number;
  /** By reason; reasons that never were are absent. */
  readonly refused: Readonly<Record<string, number>>;
}

/**
 * Counts decisions. Its size is bounded by what a program is made of, never by what callers send: transports are Nest's
 * and those of the options, reasons are a fixed list.
 */
export class InboundCounters {
  readonly #transports = new Map<string, { accepted: number; refused: Record<string, number> }>();

  count(event: InboundEvent): void {
    if (event.type !== 'caller.accepted' && event.type !== 'caller.refused') return;
    let counts = this.#transports.get(event.transport);
    if (!counts) this.#transports.set(event.transport, (counts = { accepted: 0, refused: {} }));
    if (event.type === 'caller.accepted') counts.accepted++;
    else counts.refused[event.reason] = (counts.refused[event.reason] ?? 0) + 1;
  }

  /** A copy of the counts by transport. */
  read(): Readonly<Record<string, TransportCount>> {
    return Object.fromEntries(
      [...this.#transports].map(([name, { accepted, refused }]) => [name, { accepted, refused: { ...refused } }]),
    );
  }
}

/** What Express and Fastify tell of the route that a request matched. */
interface RoutedRequest {
  readonly method?: string;
  readonly baseUrl?: string;
  readonly route?: { readonly path?: unknown };
  readonly routeOptions?: { readonly url?: unknown };
}

/**
 * Names the route of a call for events and logs: `GET /users/:id` for a request, `UsersController.create` for a message.
 *
 * The pattern and not the path of the request: a path may hold personal data, and its query even a token.
 */
export function calledRoute(context: ExecutionContext): string {
  const type: string = context.getType();
  const request = type === 'http' ? context.getArgByIndex<RoutedRequest | undefined>(0) : undefined;
  const path = request?.routeOptions?.url ?? request?.route?.path;
  const route =
    typeof request?.method === 'string' && typeof path === 'string'
      ? `${request.method} ${request.baseUrl ?? ''}${path}`
      : handlerName(context);
  return printableText(route);
}

/** Names the class and the function of a handler, as far as a made-up context has them. */
export function handlerName(context: Pick<ExecutionContext, 'getClass' | 'getHandler'>): string {
  const [ofClass, handler] = [context.getClass(), context.getHandler()] as readonly ({
    readonly name: string;
  } | null)[];
  return `${ofClass?.name}.${handler?.name}`;
}

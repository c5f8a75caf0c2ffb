import type { ExecutionContext } from '@nestjs/common';
import { EventStream } from '../foundation/event-stream.js';
import { tokenFingerprint } from '../foundation/sensitive-value.js';
import { isB64Token, printableText } from '../foundation/text.js';
import { type Refusal, type RefusalDetail, refuse } from '../verification/refusal.js';
import type { AllowedCall, RoutePolicy, Verdict } from '../verification/route-policy.js';
import type { Credential } from './credential.js';
import type { InboundEvent } from './inbound-events.js';

/** Verifies tokens. Returns a verdict without a promise if it can: a promise costs more than the rest of a decision. */
export interface TokenVerifier {
  verify(token: string, policy: RoutePolicy): Verdict | Promise<Verdict>;
}

/** Decides about the calls of every transport, counts the decisions and emits them as events. Inject it for metrics. */
export class AccessDecisions {
  readonly #events = new EventStream<InboundEvent>();
  readonly #counters = new DecisionCounters();
  readonly #failuresReported = new Set<string>();
  readonly #unknownHandlers = new Set<string>();

  /** Emits each decision, and how refused messages were settled. */
  readonly events: Pick<EventStream<InboundEvent>, 'subscribe' | 'publishOn'> = this.#events;

  /** @param verifier undefined if the module has no option `guard`: then every token is refused. */
  constructor(private readonly verifier: TokenVerifier | undefined) {}

  /** Whether the module has the option `guard`. */
  get isConfigured(): boolean {
    return this.verifier !== undefined;
  }

  /** Returns the numbers of accepted and refused calls since the start, by transport. */
  counts(): Readonly<Record<string, TransportCount>> {
    return this.#counters.read();
  }

  /**
   * Decides about a call.
   *
   * @param transport Name of the transport, for events.
   * @param context Names the route in the event of a refusal.
   * @returns The verdict, without a promise if it is known at once. Never throws and never rejects: a failure is a
   * refusal.
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
      if (!(verdict instanceof Promise)) return this.#decided(verdict, transport, context, token);
      return verdict.then(
        (settled) => this.#decided(settled, transport, context, token),
        (error: unknown) => this.#failed(error, transport, context, token),
      );
    } catch (error) {
      return this.#failed(error, transport, context, token);
    }
  }

  /** Reports how a refused message was settled. */
  settled(event: Extract<InboundEvent, { readonly type: `message.${string}` }>): void {
    this.#events.emit(event);
  }

  /** Reports a handler whose rules are unknown, once per handler. */
  unknownHandler(context: ExecutionContext, unknownRules: readonly string[]): void {
    // By name: Nest creates request-scoped controllers again for each request, and their functions with them.
    const handler = handlerName(context);
    if (this.#unknownHandlers.has(handler)) return;
    this.#unknownHandlers.add(handler);
    this.#events.emit({ type: 'handler.unknown', handler, unknownRules });
  }

  #decided(verdict: Verdict, transport: string, context: ExecutionContext | undefined, token: string): Verdict {
    return verdict.ok ? this.#accepted(verdict, transport) : this.#refusedToken(verdict, transport, context, token);
  }

  #accepted(allowed: AllowedCall, transport: string): AllowedCall {
    const { clientId, issuer, tokenFingerprint } = allowed.caller;
    this.#counters.accepted(transport);
    this.#events.emit({ type: 'caller.accepted', transport, clientId, issuer, tokenFingerprint });
    return allowed;
  }

  /**
   * If no opaque tokens are accepted, a token with characters that only opaque tokens have is not a token of RFC 6750
   * §2.1: the request is malformed.
   */
  #refusedToken(refusal: Refusal, transport: string, context: ExecutionContext | undefined, token: string): Refusal {
    const isMalformed = refusal.reason === 'token_malformed' && !isB64Token(token);
    const reason = isMalformed ? 'credential_malformed' : refusal.reason;
    return this.#refused({ ...refusal, reason }, transport, context, token);
  }

  #refused(refusal: Refusal, transport: string, context: ExecutionContext | undefined, token?: string): Refusal {
    const { reason, claim, found, expected, caller } = refusal;
    this.#counters.refused(transport, reason);
    this.#events.emit({
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

  /** Warns once per class of error. Leaves out the message, which may hold anything. */
  #failed(error: unknown, transport: string, context: ExecutionContext | undefined, token: string): Refusal {
    const name = error instanceof Error ? error.constructor.name : typeof error;
    if (!this.#failuresReported.has(name)) {
      this.#failuresReported.add(name);
      process.emitWarning(`an access token could not be verified: ${name}`, 'IdentityM2MWarning');
    }
    return this.#refused(refuse('verification_failed'), transport, context, token);
  }
}

const NO_ISSUER: RefusalDetail = { expected: 'an issuer in the options of the guard, which are missing' };

/** Numbers of accepted and refused calls since the start. */
export interface TransportCount {
  readonly accepted: number;
  /** By reason. A reason that never occurred is absent. */
  readonly refused: Readonly<Record<string, number>>;
}

/**
 * Counts decisions. Callers can't make it grow: transports are those of Nest and of the options, and reasons are a
 * fixed list.
 */
class DecisionCounters {
  readonly #transports = new Map<string, { accepted: number; refused: Record<string, number> }>();

  accepted(transport: string): void {
    this.#of(transport).accepted++;
  }

  refused(transport: string, reason: string): void {
    const { refused } = this.#of(transport);
    refused[reason] = (refused[reason] ?? 0) + 1;
  }

  /** Returns a copy of the counts by transport. */
  read(): Readonly<Record<string, TransportCount>> {
    return Object.fromEntries(
      [...this.#transports].map(([name, { accepted, refused }]) => [name, { accepted, refused: { ...refused } }]),
    );
  }

  #of(transport: string) {
    let counts = this.#transports.get(transport);
    if (!counts) this.#transports.set(transport, (counts = { accepted: 0, refused: {} }));
    return counts;
  }
}

/** What Express and Fastify keep about the route of a request. */
interface RoutedRequest {
  readonly method?: string;
  readonly baseUrl?: string;
  readonly route?: { readonly path?: unknown };
  readonly routeOptions?: { readonly url?: unknown };
}

/**
 * Names the route of a call for events and logs: `GET /users/:id` for a request, `UsersController.create` for a
 * message.
 *
 * Returns the pattern and not the path of the request: a path may hold personal data, and a query even a token.
 */
function calledRoute(context: ExecutionContext): string {
  const type: string = context.getType();
  const request = type === 'http' ? context.getArgByIndex<RoutedRequest | undefined>(0) : undefined;
  const path = request?.routeOptions?.url ?? request?.route?.path;
  const route =
    typeof request?.method === 'string' && typeof path === 'string'
      ? `${request.method} ${request.baseUrl ?? ''}${path}`
      : handlerName(context);
  return printableText(route);
}

/** Names the class and the function of a handler, as far as a mocked context has them. */
function handlerName(context: Pick<ExecutionContext, 'getClass' | 'getHandler'>): string {
  const [ofClass, handler] = [context.getClass(), context.getHandler()] as readonly ({
    readonly name: string;
  } | null)[];
  return `${ofClass?.name}.${handler?.name}`;
}

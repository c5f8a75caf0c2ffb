import { type CanActivate, type ExecutionContext, Injectable } from '@nestjs/common';
import { refuse } from '../verification/refusal.js';
import type { RoutePolicy, Verdict } from '../verification/route-policy.js';
import { AccessDecisions } from './access-decisions.js';
import { handlerRulesOf, isRoutedRequest } from './access-rules.js';
import { type CallerSlot, httpSlotOf, rememberCaller } from './caller.js';
import type { InboundTransport } from './transports/inbound-transport.js';
import { InboundTransports } from './transports/inbound-transports.js';

/** The policy of a handler whose rules are unknown: every call of it is refused. */
const NO_POLICY: RoutePolicy = {};

/** Calls that were allowed: a call can pass the guard twice, as a global guard and on its controller or handler. */
const allowed = new WeakSet<ExecutionContext>();

/**
 * Allows only machines: callers with a valid access token of a trusted issuer, for this API, that meet the access rules
 * of the handler. Refuses every other call, and every call that it can't read or decide on.
 *
 * Use it with `@UseGuards(M2MAuthGuard)`, or for all routes and message handlers with `globalGuard: true` in the
 * module's options. `APP_GUARD` and `useGlobalGuards()` do not reach microservices of `connectMicroservice()`. With
 * them, an application that serves HTTP and has unguarded message handlers does not start.
 *
 * Supports HTTP, and TCP, Redis, NATS, MQTT 5, RabbitMQ, Kafka and gRPC of `@nestjs/microservices`.
 *
 * With manual acknowledgement, the guard rejects a refused RabbitMQ message without requeueing it, even if it can't
 * decide because an issuer is down. Such a message may be valid: give its queue a dead letter exchange, from which you
 * can send it again. Without one, RabbitMQ drops it.
 *
 * The guard sets `www-authenticate`, `retry-after` and `cache-control` on the response to a refused HTTP request. If a
 * guard of your own catches the refusal and allows the call, it has to remove them.
 */
@Injectable()
export class M2MAuthGuard implements CanActivate {
  #http: InboundTransport | undefined;

  constructor(
    private readonly decisions: AccessDecisions,
    private readonly transports: InboundTransports,
  ) {}

  /** Returns without a promise if the decision is known at once. */
  canActivate(context: ExecutionContext): boolean | Promise<boolean> {
    const rules = handlerRulesOf(context);
    const { access } = rules;
    // Before any wait: a context that is entered after one ends together with the guard.
    const slot = httpSlotOf(context, rules);
    if (access === 'public' || allowed.has(context)) return true;
    const transport = isRoutedRequest(context, rules)
      ? (this.#http ??= this.transports.createHttp())
      : this.transports.of(context);
    if (access === 'unknown') this.decisions.unknownHandler(context, rules.unknownRules);
    if (!transport) return this.#refuseUnreadable(context);
    const policy = access === 'unknown' ? NO_POLICY : access;
    const credential = access === 'unknown' ? refuse('handler_unknown') : transport.read(context);
    const verdict = this.decisions.decide(credential, policy, transport.name, context);
    if (verdict instanceof Promise) {
      const release = transport.hold?.(context);
      return verdict.then((settled) => {
        const isAllowed = settle(settled, context, transport, policy, slot);
        release?.();
        return isAllowed;
      });
    }
    return settle(verdict, context, transport, policy, slot);
  }

  /** Refuses with Nest's own response to such a call. */
  #refuseUnreadable(context: ExecutionContext): false {
    void this.decisions.decide(refuse('transport_unknown'), NO_POLICY, 'unknown', context);
    return false;
  }
}

function settle(
  verdict: Verdict,
  context: ExecutionContext,
  transport: InboundTransport,
  policy: RoutePolicy,
  slot: CallerSlot | undefined,
): true {
  if (!verdict.ok) throw transport.refuse(context, verdict, policy);
  rememberCaller(transport.callKey(context), verdict.caller);
  if (slot) slot.caller = verdict.caller;
  allowed.add(context);
  return true;
}

import { type CanActivate, type ExecutionContext, Injectable } from '@nestjs/common';
import type { Verdict } from '../verification/access-token-verifier.js';
import { refuse } from '../verification/refusal.js';
import type { RoutePolicy } from '../verification/route-policy.js';
import { type CallerSlot, httpSlotOf, rememberCaller } from './caller.js';
import { handlerRulesOf } from './handler-access.js';
import { AccessDecisions } from './access-decisions.js';
import type { InboundTransport } from './transports/inbound-transport.js';
import { InboundTransports } from './transports/inbound-transports.js';

/** Asked for where nothing is known of what a handler asks for; nobody gets to it. */
const NO_POLICY: RoutePolicy = {};

/** Calls that were let in: one can meet the guard twice, as the global one and on its controller or handler. */
const letIn = new WeakSet<ExecutionContext>();

/**
 * Lets in only the machines that were named: callers with a good access token of a trusted issuer, for this API, with
 * what the handler asks for.
 *
 * Use it with `@UseGuards(M2MAuthGuard)`, or for all routes and message handlers with `globalGuard: true` in the module's
 * options. Nest's own ways to make a guard global do not reach what `connectMicroservice()` connects; with them, an
 * application that serves HTTP and has message handlers without a guard does not start.
 *
 * Reads HTTP, and TCP, Redis, NATS, MQTT 5, RabbitMQ, Kafka and gRPC of `@nestjs/microservices`; what it can't read or
 * can't decide, it refuses.
 *
 * A message of RabbitMQ that is refused with manual acknowledgement is rejected and not queued again, also where it can't
 * be decided because an issuer is away: it may be good, so give its queue a dead letter exchange, from which it can be
 * sent again. Without one, RabbitMQ drops it.
 *
 * A refused HTTP request has header fields set on its answer. A guard of your own that catches the refusal and lets the
 * call in for another reason has to take them off again: `www-authenticate`, `retry-after` and `cache-control`.
 */
@Injectable()
export class M2MAuthGuard implements CanActivate {
  constructor(
    private readonly decisions: AccessDecisions,
    private readonly transports: InboundTransports,
  ) {}

  /** Answers at once, without a promise, where nothing has to be waited for. */
  canActivate(context: ExecutionContext): boolean | Promise<boolean> {
    const rules = handlerRulesOf(context);
    const { access } = rules;
    // Has to be found before anything is waited for: what is entered after that is left again with the guard.
    const slot = httpSlotOf(context, rules);
    if (access === 'public' || letIn.has(context)) return true;
    const transport = this.transports.of(context, rules);
    if (access === 'unknown') this.decisions.unknownHandler(context, rules.unknownRules);
    if (!transport) return this.#refuseUnreadable(context);
    const policy = access === 'unknown' ? NO_POLICY : access;
    const credential = access === 'unknown' ? refuse('handler_unknown') : transport.read(context);
    const verdict = this.decisions.decide(credential, policy, transport.name, context);
    if (verdict instanceof Promise) {
      const release = transport.hold?.(context);
      return verdict.then((settled) => {
        const isLetIn = settle(settled, context, transport, policy, slot);
        release?.();
        return isLetIn;
      });
    }
    return settle(verdict, context, transport, policy, slot);
  }

  /** In the form that Nest has for what comes that way. */
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
  letIn.add(context);
  return true;
}

import { Logger } from '@nestjs/common';
import type { EventStream } from '../foundation/event-stream.js';
import { printableText } from '../foundation/printable-text.js';
import type { InboundEvent } from '../guard/inbound-events.js';
import { isUndecidable } from '../guard/refusal-answer.js';

/**
 * Writes the guard's refusals into Nest's log. They are for the debug level, because anybody can cause any number of
 * them; what an operator has to see stands behind them: whether the issuers can be reached.
 *
 * Accepted calls get no line. An access log is made of the event `caller.accepted`.
 */
export function logInboundEvents(events: Pick<EventStream<InboundEvent>, 'subscribe'>): () => void {
  const logger = new Logger('IdentityM2M');
  let isUnsettled = false;
  let isLossTold = false;
  return events.subscribe((event) => {
    switch (event.type) {
      case 'caller.refused':
        // The logger knows its levels. Nest 11 says of its own default that no level is enabled.
        logger.debug(refusalLine(event));
        return;
      case 'handler.unknown':
        logger.error(`guard refuses every call of ${printableText(event.handler)}: ${whyUnknown(event.unknownRules)}`);
        return;
      case 'message.unsettled':
        if (!isUnsettled) {
          logger.warn(
            'guard: refused messages of RabbitMQ are left as they are, because their server does not tell whether they wait for an acknowledgement; settle them in a filter',
          );
        }
        isUnsettled = true;
        return;
      case 'message.dead_lettered':
        if (!isLossTold && isUndecidable(event.reason)) {
          logger.warn(
            'guard: messages of RabbitMQ that cannot be decided at the moment are dead-lettered, good ones among them; a queue without a dead letter exchange loses them',
          );
          isLossTold = true;
        }
        logger.debug(`guard: ${event.type} by ${event.transport}: ${event.reason}`);
        return;
      case 'message.skipped':
      case 'message.retried':
        logger.debug(`guard: ${event.type} by ${event.transport}: ${event.reason}`);
    }
  });
}

/** `guard refused HTTP GET /users: audience_mismatch (aud "a", expected "b"); client billing, token 0a1b2c3d4e5f` */
function refusalLine(event: Extract<InboundEvent, { readonly type: 'caller.refused' }>): string {
  const { transport, route, reason, claim, found, expected, clientId, tokenFingerprint } = event;
  const call = [TRANSPORTS.get(transport) ?? transport, ...(route === undefined ? [] : [route])].join(' ');
  const has = claim === undefined ? found : found === undefined ? `no ${claim}` : `${claim} ${found}`;
  const detail = [has, expected && `expected ${expected}`].filter(Boolean).join(', ');
  const caller = [clientId && `client ${printableText(clientId)}`, tokenFingerprint && `token ${tokenFingerprint}`];
  const tail = caller.filter(Boolean).join(', ');
  return `guard refused ${call}: ${reason}${detail && ` (${detail})`}${tail && `; ${tail}`}`;
}

/** Names of the transports as they are usually written. */
const TRANSPORTS: ReadonlyMap<string, string> = new Map([
  ['http', 'HTTP'],
  ['tcp', 'TCP'],
  ['redis', 'Redis'],
  ['nats', 'NATS'],
  ['mqtt', 'MQTT'],
  ['rabbitmq', 'RabbitMQ'],
  ['grpc', 'gRPC'],
  ['kafka', 'Kafka'],
]);

function whyUnknown(unknownRules: readonly string[]): string {
  return unknownRules.length > 0
    ? `it has access rules that this version does not know (${printableText(unknownRules.join(', '))}), by decorators of another copy of the package. Install one version of nestjs-identity-m2m (npm ls nestjs-identity-m2m)`
    : "the function that Nest calls is not a method of its class and carries none of the method's metadata, so its access rules are unknown. Let the decorator or instrumentation that replaces the method copy its metadata (Reflect.getMetadataKeys)";
}

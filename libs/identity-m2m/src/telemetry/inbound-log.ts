import { Logger } from '@nestjs/common';
import type { EventStream } from '../foundation/event-stream.js';
import { printableText } from '../foundation/printable-text.js';
import type { InboundEvent } from '../guard/inbound-events.js';
import { isUndecidable } from '../guard/refusal-answer.js';

/**
 * Writes the guard's decisions into Nest's log. They are for the debug level, because anybody can cause any number of
 * them; what an operator has to see stands behind them: whether the issuers can be reached.
 */
export function logInboundEvents(events: Pick<EventStream<InboundEvent>, 'subscribe'>): () => void {
  const logger = new Logger('IdentityM2M');
  let isUnsettled = false;
  let isLossTold = false;
  // Most applications have no debug level in production, and then the line is not made for each call.
  const debug = (line: () => string) => {
    if (Logger.isLevelEnabled('debug')) logger.debug(line());
  };
  return events.subscribe((event) => {
    switch (event.type) {
      case 'caller.accepted':
        debug(() => {
          const client = printableText(event.clientId);
          return `guard: ${client} let in by ${event.transport} with access token ${event.tokenFingerprint}`;
        });
        return;
      case 'caller.refused':
        debug(() => {
          const token = event.tokenFingerprint === undefined ? 'no token' : `access token ${event.tokenFingerprint}`;
          const client = event.clientId === undefined ? '' : ` of ${printableText(event.clientId)}`;
          return `guard: ${token}${client} by ${event.transport} refused: ${event.reason}`;
        });
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
        debug(() => `guard: ${event.type} by ${event.transport}: ${event.reason}`);
        return;
      case 'message.skipped':
      case 'message.retried':
        debug(() => `guard: ${event.type} by ${event.transport}: ${event.reason}`);
    }
  });
}

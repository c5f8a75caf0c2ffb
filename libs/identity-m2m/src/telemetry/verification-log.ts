import { Logger } from '@nestjs/common';
import type { EventStream } from '../foundation/event-stream.js';
import type { VerificationEvent } from '../verification/verification-events.js';

/** Writes into Nest's log what goes on behind the guard's decisions. */
export function logVerificationEvents(events: Pick<EventStream<VerificationEvent>, 'subscribe'>): () => void {
  const logger = new Logger('IdentityM2M');
  const neverAnswered = new Set<string>();
  const deferred = new Set<string>();
  return events.subscribe((event) => {
    switch (event.type) {
      case 'key_set.changed':
        return logger.log(`guard: keys of ${event.issuer} that can be used: ${event.keys}`);
      case 'key_set.recovered':
        return logger.log(`guard: the keys of ${event.issuer} can be read again`);
      case 'key_set.refresh_failed': {
        const text = `guard: the keys of ${event.issuer} could not be read: ${event.problem}`;
        // One warning for an outage, however long it is.
        return event.failures === 1 ? logger.warn(text) : logger.debug(text);
      }
      case 'key_set.look_up_deferred': {
        const text = `guard: tokens name keys that ${event.issuer} did not have a moment ago; it is asked again in ${event.retryAfterSeconds} s, and such tokens get 503 until then`;
        // One warning: strangers can cause any number.
        if (deferred.has(event.issuer)) return logger.debug(text);
        deferred.add(event.issuer);
        return logger.warn(text);
      }
      case 'key_set.key_ignored':
        return logger.warn(
          `guard: a key of ${event.issuer} is not used: ${event.kid ?? 'without kid'}, ${event.reason}`,
        );
      case 'key_set.keys_ignored':
        return logger.warn(`guard: ${event.keys} keys of ${event.issuer} are not used`);
      case 'introspection.failed': {
        // One odd token is enough, and anybody can send it.
        const { issuer, tokens, problem } = event;
        return logger.debug(`guard: ${issuer} failed to answer about one of the ${tokens} tokens: ${problem}`);
      }
      case 'introspection.paused': {
        const { issuer, pauses, pauseMs, problem } = event;
        const text = `guard: introspection at ${issuer} fails, next attempt in ${pauseMs / 1000} s: ${problem}`;
        // One warning for an outage, however long it is.
        return pauses === 1 ? logger.warn(text) : logger.debug(text);
      }
      case 'introspection.recovered':
        return logger.log(`guard: introspection at ${event.issuer} works again`);
      case 'introspection.rejected': {
        const text = `guard: ${event.issuer} would not be asked about one of the ${event.tokens} tokens: ${event.problem}`;
        // One warning, for whoever has configured it.
        if (event.hasAnswered || neverAnswered.has(event.issuer)) return logger.debug(text);
        neverAnswered.add(event.issuer);
        return logger.warn(text);
      }
    }
  });
}

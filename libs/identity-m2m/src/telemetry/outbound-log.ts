import { Logger } from '@nestjs/common';
import type { EventStream } from '../foundation/event-stream.js';
import type { RequestedAccess, OutboundEvent } from '../token/outbound-events.js';
import { SHORTEST_TIMED_LIFETIME_MS } from '../token/refresh-policy.js';

/** Most troubles of which it is remembered that they were told. */
const MAX_FAILING = 1000;

/**
 * Writes the life of a client's token into Nest's log: a line where its state changes, and not a line per call.
 *
 * An outage is one warning at its beginning and one line at its end; what lies between is for the debug level.
 */
export function logOutboundEvents(events: Pick<EventStream<OutboundEvent>, 'subscribe'>): () => void {
  const logger = new Logger('IdentityM2M');
  /** What cannot be had, by what was asked for. */
  const failing = new Set<string>();
  /** Receivers whose clock is behind. */
  const behind = new Set<string>();
  let isLifetimeExplained = false;
  return events.subscribe((event) => {
    const client = `client "${event.client}"`;
    switch (event.type) {
      case 'token.acquired':
      case 'token.refreshed': {
        const verb = event.type === 'token.acquired' ? 'acquired' : 'refreshed';
        const line = `${client}: access token ${event.fingerprint} ${verb}, good until ${event.expiresAt.toISOString()}`;
        const wasFailing = failing.delete(nameOf(event));
        if (wasFailing) logger.log(`${line}; the trouble is over`);
        else if (event.type === 'token.acquired') logger.log(line);
        else logger.debug(line);
        if (!isLifetimeExplained) explainLifetime(event);
        return;
      }
      case 'token.reissued':
        failing.delete(nameOf(event));
        logger.debug(`${client}: the server handed out access token ${event.fingerprint} once more`);
        return;
      case 'token.refresh_failed': {
        const next = event.retryAt ? `Next attempt at ${event.retryAt.toISOString()}.` : 'No further attempt.';
        const line = `${event.error.code}: ${event.error.message} ${next}`;
        if (failing.has(nameOf(event))) logger.debug(line);
        else logger.warn(line);
        failing.add(nameOf(event));
        if (failing.size > MAX_FAILING) failing.delete(failing.values().next().value!);
        return;
      }
      case 'credential.quarantined':
        if (event.halted) logger.error(`${client}: refused again and again; attempts are all but halted`);
        return;
      case 'token.served_stale':
        logger.warn(`${client}: access token ${event.fingerprint} is used to its end, no new one can be had`);
        return;
      case 'credential.rotated':
        logger.log(`${client}: a new credential is in use`);
        return;
      case 'client.clock_skew':
        logger.warn(`${client}: the identity provider's clock is ahead of this one by ${event.clockSkewMs} ms`);
        return;
      case 'client.warning':
        logger.warn(`${client}: ${event.message}`);
        return;
      case 'call.refused_origin':
        logger.warn(
          `${client}: calls to ${event.origin} go out without a token (${event.reason}); list it in allowedOrigins if that is not meant`,
        );
        return;
      case 'call.clock_behind':
        if (behind.has(event.origin) || behind.size >= MAX_FAILING) return;
        behind.add(event.origin);
        logger.warn(
          `${client}: ${event.origin} rejects tokens that were just issued; its clock is behind, so it gets the one before for a moment`,
        );
        return;
      case 'option.failed':
        logger.warn(
          `${client}: ${event.option} ${event.problem} and is ignored for such answers; correct the function`,
        );
        return;
      case 'token.dormant':
        logger.log(
          `${client}: access token not used since its last two refreshes, not refreshed until the next call; keepWarm refreshes it all the same`,
        );
        return;
      case 'client.retry_now':
        logger.log(`${client}: retryNow() ended every wait for the next token request`);
        return;
      case 'token.second_attempt':
      case 'call.replayed':
        logger.debug(`${client}: ${event.type}`);
    }
  });

  /** Says once what is odd about the lives of this client's tokens. */
  function explainLifetime(event: Extract<OutboundEvent, { readonly lifetimeSource: string }>): void {
    const lifeMs = event.expiresAt.getTime() - event.requestedAt.getTime();
    if (event.lifetimeSource === 'default') {
      logger.warn(
        `client "${event.client}": nothing says how long its tokens live (no expires_in, no exp); 5 minutes are assumed`,
      );
    } else if (lifeMs < SHORTEST_TIMED_LIFETIME_MS) {
      logger.warn(
        `client "${event.client}": its tokens live for ${lifeMs / 1000} s, which is too short to refresh them by schedule`,
      );
    } else return;
    isLifetimeExplained = true;
  }
}

function nameOf({ scope, audience, resource }: RequestedAccess): string {
  return JSON.stringify([scope, audience, resource]);
}

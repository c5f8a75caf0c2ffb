import { Logger } from '@nestjs/common';
import { BoundedMap } from '../foundation/bounded-map.js';
import type { EventStream } from '../foundation/event-stream.js';
import type { RequestedAccess, OutboundEvent } from '../token/outbound-events.js';
import { SHORTEST_TIMED_LIFETIME_MS } from '../token/refresh-policy.js';

/** Maximum number of logged problems that are remembered. */
const MAX_FAILING = 1000;

/**
 * Writes the events of a client into Nest's log: one line when the state of a token changes, and none per call.
 *
 * An outage is one warning at its start and one line at its end; lines between have the debug level.
 *
 * @returns Ends the logging.
 */
export function logOutboundEvents(events: Pick<EventStream<OutboundEvent>, 'subscribe'>): () => void {
  const logger = new Logger('IdentityM2M');
  /** Tokens that can't be acquired, by the requested access. */
  const failing = new BoundedMap<true>({ maxEntries: MAX_FAILING });
  /** Origins whose clock is behind. */
  const behind = new Set<string>();
  let isLifetimeExplained = false;
  return events.subscribe((event) => {
    const client = `client "${event.client}"`;
    switch (event.type) {
      case 'token.acquired':
      case 'token.refreshed': {
        const verb = event.type === 'token.acquired' ? 'acquired' : 'refreshed';
        const line = `${client}: access token ${event.fingerprint} ${verb}, expires at ${event.expiresAt.toISOString()}`;
        const wasFailing = failing.get(nameOf(event));
        failing.delete(nameOf(event));
        if (wasFailing) logger.log(`${line}; the outage is over`);
        else if (event.type === 'token.acquired') logger.log(line);
        else logger.debug(line);
        if (!isLifetimeExplained) explainLifetime(event);
        return;
      }
      case 'token.reissued':
        failing.delete(nameOf(event));
        logger.debug(`${client}: the server issued access token ${event.fingerprint} again`);
        return;
      case 'token.refresh_failed': {
        const { error, server, problem, expiresAt, retryAt } = event;
        const next = retryAt ? `Next attempt at ${retryAt.toISOString()}.` : 'No further attempt.';
        const withoutToken = retryAt ? 'Calls that cannot wait until then fail.' : 'Calls fail.';
        const calls = expiresAt
          ? `Calls use the current token, which expires at ${expiresAt.toISOString()}.`
          : withoutToken;
        const line = `${client}: token request to ${server} failed (${error.code}): ${problem} ${next} ${calls}`;
        if (failing.get(nameOf(event))) logger.debug(line);
        else logger.warn(line);
        failing.set(nameOf(event), true);
        return;
      }
      case 'credential.quarantined': {
        const { halted, retryAt } = event;
        const probes = retryAt ? `, except for rare probes; next attempt at ${retryAt.toISOString()}` : '';
        if (halted)
          logger.error(
            `${client}: the server rejected the credential repeatedly; attempts are halted${probes}. Correct the credential, or call retryNow() after a correction at the server`,
          );
        return;
      }
      case 'token.served_stale':
        logger.warn(`${client}: no new access token is available; ${event.fingerprint} is used until it expires`);
        return;
      case 'credential.rotated':
        logger.log(`${client}: a new credential is in use`);
        return;
      case 'client.clock_skew':
        logger.warn(`${client}: the identity provider's clock differs from this machine's by ${event.clockSkewMs} ms`);
        return;
      case 'client.warning':
        logger.warn(`${client}: ${event.message}`);
        return;
      case 'call.refused_origin':
        logger.warn(
          `${client}: calls to ${event.origin} carry no token (${event.reason}); add it to allowedOrigins if they should`,
        );
        return;
      case 'call.clock_behind':
        if (behind.has(event.origin) || behind.size >= MAX_FAILING) return;
        behind.add(event.origin);
        logger.warn(
          `${client}: ${event.origin} rejects tokens that were just issued; its clock seems to be behind, so it gets the previous token for a moment`,
        );
        return;
      case 'option.failed':
        logger.warn(
          `${client}: the option ${event.option} ${event.problem} and is ignored for such responses; correct the function`,
        );
        return;
      case 'token.dormant':
        logger.log(
          `${client}: no call used the access token since its last two refreshes, so it is not refreshed until the next call; set keepWarm to keep refreshing it`,
        );
        return;
      case 'token.revocation_failed':
        logger.warn(
          `${client}: could not revoke ${event.fingerprints.length} of its access tokens (${event.problem}); tokens that are not revoked stay valid until they expire`,
        );
        return;
      case 'client.retry_now':
        logger.log(`${client}: retryNow() ended every wait for the next token request`);
        return;
      case 'token.second_attempt':
        logger.debug(
          event.isFirstAborted
            ? `${client}: aborted a token request that had no response, and sent another one`
            : `${client}: sent another token request, because the first has no response yet`,
        );
        return;
      case 'call.replayed':
        logger.debug(`${client}: call to ${event.origin} repeated with another token, ${event.fingerprint}`);
    }
  });

  /** Warns once about an unusual lifetime of this client's tokens. */
  function explainLifetime(event: Extract<OutboundEvent, { readonly lifetimeSource: string }>): void {
    const lifeMs = event.expiresAt.getTime() - event.requestedAt.getTime();
    if (event.lifetimeSource === 'default') {
      logger.warn(
        `client "${event.client}": the lifetime of its tokens is unknown (no expires_in, no exp); 5 minutes are assumed`,
      );
    } else if (lifeMs < SHORTEST_TIMED_LIFETIME_MS) {
      logger.warn(
        `client "${event.client}": the lifetime of its tokens is ${lifeMs / 1000} s, which is too short for scheduled refreshes`,
      );
    } else return;
    isLifetimeExplained = true;
  }
}

function nameOf({ scope, audience, resource }: RequestedAccess): string {
  return JSON.stringify([scope, audience, resource]);
}

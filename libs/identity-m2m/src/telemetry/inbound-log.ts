import { Logger } from '@nestjs/common';
import { BoundedMap } from '../foundation/bounded-map.js';
import type { EventStream } from '../foundation/event-stream.js';
import { printableText } from '../foundation/text.js';
import type { InboundEvent } from '../guard/inbound-events.js';
import { isUndecidable } from '../guard/refusal-answer.js';
import type { VerificationEvent } from '../verification/verification-events.js';

/** Events that the log has lines for. Subscribe to `caller.accepted` for an access log. */
const LOGGED = [
  'caller.refused',
  'handler.unknown',
  'message.unsettled',
  'message.dead_lettered',
  'message.skipped',
  'message.retried',
] as const;

/**
 * Writes the guard's refusals into Nest's log.
 *
 * They have the debug level, because any caller can cause any number of them. The log of verification events shows
 * operators whether the issuers can be reached.
 *
 * @returns Ends the logging.
 */
export function logInboundEvents(events: Pick<EventStream<InboundEvent>, 'subscribe'>): () => void {
  const logger = new Logger('IdentityM2M');
  const warned = new Set<string>();
  const warnOnce = (type: InboundEvent['type'], text: string) => {
    if (!warned.has(type)) logger.warn(text);
    warned.add(type);
  };
  return events.subscribe((event) => {
    switch (event.type) {
      case 'caller.refused':
        // The logger filters by level: Nest 11 reports no enabled level for its default logger.
        return logger.debug(refusalLine(event));
      case 'handler.unknown':
        return logger.error(
          `guard refuses every call of ${printableText(event.handler)}: ${whyUnknown(event.unknownRules)}`,
        );
      case 'message.unsettled':
        return warnOnce(
          event.type,
          'guard: refused messages of RabbitMQ stay unsettled, because the acknowledgement mode of their server is unknown; settle them in a filter',
        );
      case 'message.dead_lettered':
        if (isUndecidable(event.reason)) {
          warnOnce(
            event.type,
            'guard: RabbitMQ messages that the guard cannot decide on at the moment are dead-lettered, including valid ones; a queue without a dead letter exchange loses them',
          );
        }
        break;
    }
    return logger.debug(`guard ${SETTLED[event.type]} a ${nameOf(event.transport)} message: ${event.reason}`);
  }, LOGGED);
}

/** `guard refused HTTP GET /users: audience_mismatch (aud "a", expected "b"); client billing, token 0a1b2c3d4e5f` */
function refusalLine(event: Extract<InboundEvent, { readonly type: 'caller.refused' }>): string {
  const { transport, route, reason, claim, found, expected, clientId, tokenFingerprint } = event;
  const call = [nameOf(transport), ...(route === undefined ? [] : [route])].join(' ');
  const has = claim === undefined ? found : found === undefined ? `no ${claim}` : `${claim} ${found}`;
  const detail = [has, expected && `expected ${expected}`].filter(Boolean).join(', ');
  const caller = [clientId && `client ${printableText(clientId)}`, tokenFingerprint && `token ${tokenFingerprint}`];
  const tail = caller.filter(Boolean).join(', ');
  return `guard refused ${call}: ${reason}${detail && ` (${detail})`}${tail && `; ${tail}`}`;
}

/** What the guard did with a refused message. */
const SETTLED = {
  'message.dead_lettered': 'dead-lettered',
  'message.skipped': 'skipped',
  'message.retried': 'retried',
} as const;

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

function nameOf(transport: string): string {
  return TRANSPORTS.get(transport) ?? transport;
}

function whyUnknown(unknownRules: readonly string[]): string {
  return unknownRules.length > 0
    ? `it has access rules that this version does not know (${printableText(unknownRules.join(', '))}), by decorators of another copy of the package. Install one version of nestjs-identity-m2m (npm ls nestjs-identity-m2m)`
    : "the function that Nest calls is not a method of its class and carries none of the method's metadata, so its access rules are unknown. Make the decorator or instrumentation that replaces the method copy its metadata (Reflect.getMetadataKeys)";
}

/** Maximum number of warnings about problems that any caller can cause. */
const MAX_WARNINGS = 20;

/**
 * Maximum number of lines about issuers that were accepted at run time, and of remembered names. Any caller can name an
 * issuer that the resolver accepts, so that it is accepted, and its keys are fetched, again and again.
 */
const MAX_RUN_TIME_LINES = 200;
const MAX_RUN_TIME_ISSUERS = 1000;

/**
 * Writes verification events into Nest's log: about key sets, issuers and introspection.
 *
 * @returns Ends the logging.
 */
export function logVerificationEvents(events: Pick<EventStream<VerificationEvent>, 'subscribe'>): () => void {
  const logger = new Logger('IdentityM2M');
  const neverAnswered = new Set<string>();
  // Any caller can cause any number of these, so there is one warning for each kind, and for each of a few problems.
  const warned = new Set<string>();
  const warnOnce = (kind: string, text: string) => {
    if (warned.has(kind) || warned.size >= MAX_WARNINGS) return logger.debug(text);
    warned.add(kind);
    return logger.warn(text);
  };
  const runTimeIssuers = new BoundedMap<true>({ maxEntries: MAX_RUN_TIME_ISSUERS });
  const runTimeLines = new Set<string>();
  /** Writes a line about an issuer; the same line only once if the issuer was accepted at run time. */
  const write = (level: 'log' | 'warn', issuer: string, text: string) => {
    if (!runTimeIssuers.get(issuer)) return logger[level](text);
    if (runTimeLines.has(text) || runTimeLines.size >= MAX_RUN_TIME_LINES) return logger.debug(text);
    runTimeLines.add(text);
    return logger[level](text);
  };
  return events.subscribe((event) => {
    switch (event.type) {
      case 'key_set.changed':
        return write('log', event.issuer, `guard: read new keys of ${event.issuer}; usable keys: ${event.keys}`);
      case 'key_set.recovered':
        return write('log', event.issuer, `guard: the keys of ${event.issuer} can be read again`);
      case 'key_set.refresh_failed': {
        const text = `guard: the keys of ${event.issuer} could not be read: ${event.problem}`;
        // One warning for an outage, however long.
        return event.failures === 1 ? write('warn', event.issuer, text) : logger.debug(text);
      }
      case 'key_set.look_up_deferred': {
        const text = `guard: tokens name unknown keys of ${event.issuer}; its keys are read again in ${event.retryAfterSeconds} s, and such tokens get 503 until then`;
        return warnOnce(`${event.type} ${event.issuer}`, text);
      }
      case 'key_set.key_ignored':
        return write(
          'warn',
          event.issuer,
          `guard: ignored a key of ${event.issuer}: ${event.kid ?? 'no kid'}, ${event.reason}`,
        );
      case 'key_set.keys_ignored':
        return write('warn', event.issuer, `guard: ignored ${event.keys} keys of ${event.issuer}`);
      case 'issuer.accepted':
        runTimeIssuers.set(event.issuer, true);
        return write('log', event.issuer, `guard: the resolver accepted the issuer ${event.issuer}`);
      case 'issuer.denied':
        return logger.debug(`guard: the resolver denied the issuer ${event.issuer}`);
      case 'issuer.resolution_failed':
        return warnOnce(
          event.problem,
          `guard: the issuer ${event.issuer} could not be resolved, and its tokens get 503: ${event.problem}`,
        );
      case 'issuer.resolver_overloaded':
        return warnOnce(
          event.type,
          'guard: the issuerResolver has too many calls under way; tokens of other issuers get 503',
        );
      case 'issuer.evicted':
        return warnOnce(
          event.type,
          `guard: the issuer ${event.issuer} was evicted; raise resolvedIssuers.maxIssuers if all issuers are in use`,
        );
      case 'introspection.failed': {
        // One unusual token is enough, and any caller can send it.
        const { issuer, tokens, problem } = event;
        return logger.debug(`guard: introspection of one ${tokens} token at ${issuer} failed: ${problem}`);
      }
      case 'introspection.paused': {
        const { issuer, pauses, pauseMs, problem } = event;
        const text = `guard: introspection at ${issuer} failed; next attempt in ${pauseMs / 1000} s: ${problem}`;
        // One warning for an outage, however long.
        return pauses === 1 ? logger.warn(text) : logger.debug(text);
      }
      case 'introspection.recovered':
        return logger.log(`guard: introspection at ${event.issuer} works again`);
      case 'introspection.rejected': {
        const text = `guard: ${event.issuer} rejected the introspection of one ${event.tokens} token: ${event.problem}`;
        // One warning about the configuration.
        if (event.hasAnswered || neverAnswered.has(event.issuer)) return logger.debug(text);
        neverAnswered.add(event.issuer);
        return logger.warn(text);
      }
    }
  });
}

import { createHash } from 'node:crypto';
import { Injectable, Logger } from '@nestjs/common';
import { RpcException } from '@nestjs/microservices';
import type { MachineCaller } from 'nestjs-identity-m2m';
import type { z } from 'zod';
import { type EventAnswer, joiner, leaver } from './event.js';
import { NotNowError, ProvisioningService, StaleError } from './provisioning-service.js';

/** Handles each event once. */
@Injectable()
export class EventHandling {
  readonly #logger = new Logger('ProvisioningDaemon');
  /** By key. A repetition that arrives meanwhile waits for the same answer. */
  readonly #underWay = new Map<string, Promise<EventAnswer>>();

  constructor(private readonly service: ProvisioningService) {}

  /** @throws `RpcException` if the event is not possible now; see {@link EventAnswer}. */
  joiner(data: unknown, sender: MachineCaller): Promise<EventAnswer> {
    return this.#handle('joiner', { schema: joiner, data, sender }, (event, key) => this.service.create(event, key));
  }

  /** @throws `RpcException` if the event is not possible now; see {@link EventAnswer}. */
  leaver(data: unknown, sender: MachineCaller): Promise<EventAnswer> {
    return this.#handle('leaver', { schema: leaver, data, sender }, (event) => this.service.delete(event));
  }

  async #handle<Event extends { readonly id: string; readonly user: { readonly name: string } }>(
    kind: string,
    { schema, data, sender }: { schema: z.ZodType<Event>; data: unknown; sender: MachineCaller },
    apply: (event: Event, key: string) => Promise<EventAnswer>,
  ): Promise<EventAnswer> {
    const from = `client=${sender.clientId} token=${sender.tokenFingerprint}`;
    const checked = schema.safeParse(data);
    if (!checked.success) {
      // The messages repeat the names of unknown members.
      const faults = checked.error.issues.map(({ path, message }) => `${path.join('.') || 'event'}: ${message}`);
      const detail = printable(faults.join('; '));
      this.#logger.warn(`${kind}: refused, ${detail} ${from}`);
      return { outcome: 'refused', detail };
    }
    const event = checked.data;
    const what = `${kind} ${event.id} (${event.user.name})`;
    try {
      const key = keyOf(kind, event.id, sender);
      const answer = await this.#once(key, () => apply(event, key));
      this.#logger.log(`${what}: ${answer.outcome}, ${printable(answer.detail)} ${from}`);
      return answer;
    } catch (error) {
      if (error instanceof StaleError) {
        const message = printable(error.message);
        this.#logger.warn(`${what}: too late, ${message} ${from}`);
        throw new RpcException({ code: 'STALE', error: 'request_time', message, time: error.time });
      }
      if (!(error instanceof NotNowError)) throw error;
      this.#logger.warn(`${what}: not now, ${error.message} ${from}`);
      throw new RpcException({
        code: 'UNAVAILABLE',
        error: 'temporarily_unavailable',
        message: error.message,
        ...(error.retryAfterSeconds !== undefined && { retryAfterSeconds: error.retryAfterSeconds }),
      });
    }
  }

  #once(key: string, apply: () => Promise<EventAnswer>): Promise<EventAnswer> {
    let answer = this.#underWay.get(key);
    if (!answer) {
      answer = apply().finally(() => this.#underWay.delete(key));
      this.#underWay.set(key, answer);
    }
    return answer;
  }
}

/** The `Idempotency-Key` of an event. It includes the sender: two senders may use the same id. */
function keyOf(kind: string, id: string, { clientId, issuer }: MachineCaller): string {
  return createHash('sha256')
    .update(JSON.stringify([issuer, clientId, kind, id]))
    .digest('base64url');
}

/** Characters that act on a terminal or on the order of text, and unassigned ones. */
const UNPRINTABLE = /[\p{C}\p{Zl}\p{Zp}]/gu;

/** Makes external text safe for the log: it starts no new line, and acts on no terminal. */
function printable(text: string): string {
  return text.slice(0, 1000).replace(UNPRINTABLE, '?');
}

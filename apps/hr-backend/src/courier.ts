import { setTimeout as pause } from 'node:timers/promises';
import { Inject, Injectable, Logger, type OnApplicationBootstrap, type OnApplicationShutdown } from '@nestjs/common';
import type { ClientProxy } from '@nestjs/microservices';
import { TokenProvider } from 'nestjs-identity-m2m';
import { firstValueFrom, throwError, timeout } from 'rxjs';
import { z } from 'zod';
import { DAEMON } from './daemon-client.js';
import { Outbox, type OutboxEvent, printable, type Waiting } from './outbox.js';
import { SETTINGS, type Settings } from './settings.js';

/** The daemon's answer when an event is settled. Any other answer settles nothing. */
const settled = z.object({ outcome: z.enum(['done', 'refused']), detail: z.string() });

type Settled = z.infer<typeof settled>;

/** An error of the daemon, its guard or the transport. */
const refusal = z.object({
  code: z.string().optional(),
  message: z.string().optional(),
  retryAfterSeconds: z.number().positive().max(3600).optional().catch(undefined),
  /** With `STALE`: the time by the tenant's clock. */
  time: z.iso
    .datetime()
    .transform((text) => Date.parse(text))
    .optional()
    .catch(undefined),
});

/**
 * The daemon did not answer within the timeout. Whether it received the event is unknown; a second copy of it has no
 * further effect.
 */
class NoAnswerError extends Error {
  readonly code = 'NO_ANSWER';

  constructor(timeoutMs: number) {
    super(`no answer within ${timeoutMs} ms`);
    this.name = 'NoAnswerError';
  }
}

/**
 * Delivers the events of the outbox to the daemon, one after the other, each until the daemon has settled it.
 *
 * An error settles nothing, whether the daemon is unreachable or the backend's token is refused. The event stays in the
 * outbox, and the attempts back off.
 */
@Injectable()
export class Courier implements OnApplicationBootstrap, OnApplicationShutdown {
  readonly #logger = new Logger('HrBackend');
  readonly #stop = new AbortController();
  #running: Promise<void> | undefined;
  #failures = 0;
  /** Dates the messages. */
  readonly #clock = new TenantClock();
  /** The settled event that is still in the outbox: if its file cannot be removed, the event is not sent again. */
  #settled: { readonly name: string; readonly answer: Settled } | undefined;

  constructor(
    private readonly outbox: Outbox,
    @Inject(DAEMON) private readonly daemon: ClientProxy,
    private readonly tokens: TokenProvider,
    @Inject(SETTINGS) private readonly settings: Settings,
  ) {}

  async onApplicationBootstrap(): Promise<void> {
    await this.outbox.open();
    this.#running = this.#run();
  }

  /** The next process sends an event that is under way now again. */
  async onApplicationShutdown(): Promise<void> {
    this.#stop.abort();
    await this.daemon.close();
    await this.#running;
  }

  async #run(): Promise<void> {
    while (!this.#stop.signal.aborted) {
      const waitMs = await this.#deliverNext().catch((error: unknown) => this.#failed('the outbox', error));
      await pause(waitMs, undefined, { signal: this.#stop.signal }).catch(() => {});
    }
  }

  /** @returns The wait before the next event, in milliseconds. */
  async #deliverNext(): Promise<number> {
    const waiting = await this.outbox.next();
    if (!waiting) return this.settings.POLL_MS;
    if ('fault' in waiting) {
      await this.#putAside(waiting, waiting.file, waiting.fault);
      return 0;
    }
    const { type, id } = waiting.event;
    const what = `${type} ${id}`;
    const name = JSON.stringify(waiting);
    if (this.#settled?.name !== name) {
      try {
        this.#settled = { name, answer: settled.parse(await this.#answerTo(waiting.event)) };
      } catch (error) {
        return this.#failed(what, error);
      }
      const { outcome, detail } = this.#settled.answer;
      const token = this.tokens.status().fingerprint ?? 'none';
      this.#logger.log(`${printable(`${what}: ${outcome}, ${detail}`)} token=${token}`);
    }
    const { outcome, detail } = this.#settled.answer;
    if (outcome === 'done') await this.outbox.done(waiting);
    else await this.#putAside(waiting, what, detail);
    this.#settled = undefined;
    this.#failures = 0;
    return 0;
  }

  /**
   * Sends an event, and once more if its date was wrong. Only the backend knows that this event is its latest: a copy
   * delayed on the way keeps its date, and so has no effect when it arrives.
   */
  async #answerTo(event: OutboxEvent): Promise<unknown> {
    try {
      return await this.#send(event);
    } catch (error) {
      const { code, time } = refusal.safeParse(error).data ?? {};
      if (code !== 'STALE' || time === undefined) throw error;
      this.#clock.set(time);
      return this.#send(event);
    }
  }

  async #send({ type, ...content }: OutboxEvent): Promise<unknown> {
    const { CHANNEL, DAEMON_URL, ANSWER_TIMEOUT_MS } = this.settings;
    const timeoutMs = ANSWER_TIMEOUT_MS ?? answerTimeoutMs(DAEMON_URL);
    const now = this.#clock.now();
    const event = { ...content, time: iso(now), expires: iso(now + timeoutMs) };
    const noAnswer = () => throwError(() => new NoAnswerError(timeoutMs));
    try {
      const answers = this.daemon.send<unknown>(`${CHANNEL}.${type}`, event);
      return await firstValueFrom(answers.pipe(timeout({ first: timeoutMs, with: noAnswer })));
    } catch (error) {
      // A silent TCP connection may be dead, so the next attempt opens a new one. Brokers have heartbeats for that.
      if (error instanceof NoAnswerError && DAEMON_URL.protocol.startsWith('tcp')) await this.daemon.close();
      throw error;
    }
  }

  async #putAside(waiting: Waiting, what: string, reason: string): Promise<void> {
    await this.outbox.refuse(waiting, reason);
    this.#logger.warn(printable(`${what}: put aside, ${reason}`));
  }

  #failed(what: string, error: unknown): number {
    if (this.#stop.signal.aborted) return 0;
    const { RETRY_FIRST_MS: firstMs, RETRY_LONGEST_MS: longestMs } = this.settings;
    const { code, message, retryAfterSeconds = 0 } = refusal.safeParse(error).data ?? {};
    const backoffMs = Math.min(firstMs * 2 ** this.#failures, longestMs);
    this.#failures++;
    // Jitter, so that many backends do not retry at the same time.
    const waitMs = Math.round(Math.max(backoffMs * (0.5 + Math.random() / 2), retryAfterSeconds * 1000));
    const reason = [code, message ?? String(error)].filter(Boolean).join(': ');
    this.#logger.warn(`${printable(`${what}: not delivered, ${reason}`)}; retry in ${waitMs} ms`);
    return waitMs;
  }
}

/** An event may wait in a queue for its daemon; a short timeout would put it there twice. */
function answerTimeoutMs({ protocol }: URL): number {
  return protocol.startsWith('amqp') ? 600_000 : 90_000;
}

/**
 * The clock of the tenant, which dates the users. Until the daemon reports the tenant's time, it is the clock of this
 * machine. In between it advances by the monotonic clock, which is never set.
 */
class TenantClock {
  #differenceMs = Date.now() - performance.now();

  /** Returns milliseconds since the epoch. */
  now(): number {
    return performance.now() + this.#differenceMs;
  }

  set(timeMs: number): void {
    this.#differenceMs = timeMs - performance.now();
  }
}

function iso(timeMs: number): string {
  return new Date(timeMs).toISOString();
}

import { setTimeout as pause } from 'node:timers/promises';
import { Inject, Injectable, Logger, type OnApplicationBootstrap, type OnApplicationShutdown } from '@nestjs/common';
import type { ClientProxy } from '@nestjs/microservices';
import { TokenProvider } from 'nestjs-identity-m2m';
import { firstValueFrom, throwError, timeout } from 'rxjs';
import { z } from 'zod';
import { DAEMON } from './daemon-client.js';
import { NoAnswerError } from './no-answer-error.js';
import { Outbox, type OutboxEvent, type Waiting } from './outbox.js';
import { printable } from './printable.js';
import { SETTINGS, type Settings } from './settings.js';
import { TenantClock } from './tenant-clock.js';

/** What the daemon says when an event is settled. Anything else settles nothing. */
const settled = z.object({ outcome: z.enum(['done', 'refused']), detail: z.string() });

type Settled = z.infer<typeof settled>;

/** What an error of the daemon, of its guard or of the way to it may say. */
const refusal = z.object({
  code: z.string().optional(),
  message: z.string().optional(),
  retryAfterSeconds: z.number().positive().max(3600).optional().catch(undefined),
  /** Of `STALE`: the time by the tenant's clock. */
  time: z.iso
    .datetime()
    .transform((text) => Date.parse(text))
    .optional()
    .catch(undefined),
});

/**
 * Brings the events of the outbox to the daemon, one after the other, each until the daemon has answered for it.
 *
 * An error settles nothing: neither that the daemon is away, nor that it refuses the backend's token. The event stays,
 * and is tried again at growing distances.
 */
@Injectable()
export class Courier implements OnApplicationBootstrap, OnApplicationShutdown {
  readonly #logger = new Logger('HrBackend');
  readonly #stop = new AbortController();
  #running: Promise<void> | undefined;
  #failures = 0;
  /** What messages are dated by. */
  readonly #clock = new TenantClock();
  /** What the daemon has answered for, and is in the outbox still: it is not sent again, should its file not go away. */
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

  /** What is on its way when the process ends is sent again by the next. */
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

  /** @returns How long to wait before the next, in milliseconds. */
  async #deliverNext(): Promise<number> {
    const waiting = await this.outbox.next();
    if (!waiting) return this.settings.pollMs;
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
   * Sends an event, and once more where its date was wrong. This is the one who knows that the event is its latest; a copy
   * that is held up on the way is not dated anew, and so it does nothing when it arrives.
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
    const { channel, answerTimeoutMs, url } = this.settings.daemon;
    const now = this.#clock.now();
    const event = { ...content, time: iso(now), expires: iso(now + answerTimeoutMs) };
    const noAnswer = () => throwError(() => new NoAnswerError(answerTimeoutMs));
    try {
      return await firstValueFrom(
        this.daemon
          .send<unknown>(`${channel}.${type}`, event)
          .pipe(timeout({ first: answerTimeoutMs, with: noAnswer })),
      );
    } catch (error) {
      // Whether a silent connection leads anywhere is not known. A broker is asked that all the time, a daemon is not: so
      // the next sending makes a new one.
      if (error instanceof NoAnswerError && url.protocol.startsWith('tcp')) await this.daemon.close();
      throw error;
    }
  }

  async #putAside(waiting: Waiting, what: string, reason: string): Promise<void> {
    await this.outbox.refuse(waiting, reason);
    this.#logger.warn(printable(`${what}: put aside, ${reason}`));
  }

  #failed(what: string, error: unknown): number {
    if (this.#stop.signal.aborted) return 0;
    const { firstMs, longestMs } = this.settings.retry;
    const { code, message, retryAfterSeconds = 0 } = refusal.safeParse(error).data ?? {};
    const growingMs = Math.min(firstMs * 2 ** this.#failures, longestMs);
    this.#failures++;
    // Spread, so that many backends do not come back all at once.
    const waitMs = Math.round(Math.max(growingMs * (0.5 + Math.random() / 2), retryAfterSeconds * 1000));
    const reason = [code, message ?? String(error)].filter(Boolean).join(': ');
    this.#logger.warn(`${printable(`${what}: not delivered, ${reason}`)}; again in ${waitMs} ms`);
    return waitMs;
  }
}

function iso(timeMs: number): string {
  return new Date(timeMs).toISOString();
}

import { type BeforeApplicationShutdown, Inject, Injectable } from '@nestjs/common';
import { BATCH_LIMITS, type BatchLimits } from './batch-limits.js';
import { BatchRefusedError } from './batch-refused-error.js';
import type { BatchRun } from './batch-run.js';

/** When a client that was turned away may try again. */
const RETRY_SECONDS = 5;

/** The batches that run in this process: not too many at a time, and none past its end. */
@Injectable()
export class RunningBatches implements BeforeApplicationShutdown {
  readonly #running = new Map<BatchRun, { readonly clientId: string; readonly end: Promise<void> }>();
  #isShuttingDown = false;

  constructor(@Inject(BATCH_LIMITS) private readonly limits: BatchLimits) {}

  /**
   * Runs a batch to its end.
   *
   * @throws {@link BatchRefusedError} before it has begun.
   */
  async run(clientId: string, batch: BatchRun): Promise<void> {
    this.#requireRoomFor(clientId);
    const end = batch.run().finally(() => this.#running.delete(batch));
    this.#running.set(batch, { clientId, end });
    await end;
  }

  /** The tenant can still be called, and the store written to. */
  async beforeApplicationShutdown(): Promise<void> {
    this.#isShuttingDown = true;
    const stop = { code: 'shutting_down', message: SHUTTING_DOWN, retryAfterSeconds: RETRY_SECONDS };
    for (const batch of this.#running.keys()) batch.stop(stop);
    await Promise.allSettled([...this.#running.values()].map(({ end }) => end));
  }

  #requireRoomFor(clientId: string): void {
    const { maxRunning, maxRunningPerClient } = this.limits;
    if (this.#isShuttingDown) throw new BatchRefusedError(503, 'shutting_down', SHUTTING_DOWN, RETRY_SECONDS);
    const ofClient = [...this.#running.values()].filter((other) => other.clientId === clientId).length;
    if (ofClient >= maxRunningPerClient) {
      const message = `At most ${maxRunningPerClient} batches of one client run at a time (half of BATCH_MAX_RUNNING of this service). Send this one when another has ended.`;
      throw new BatchRefusedError(429, 'too_many_batches', message, RETRY_SECONDS);
    }
    if (this.#running.size >= maxRunning) {
      const message = `At most ${maxRunning} batches run at a time (BATCH_MAX_RUNNING of this service). Send this one again a little later.`;
      throw new BatchRefusedError(503, 'too_many_batches', message, RETRY_SECONDS);
    }
  }
}

const SHUTTING_DOWN = 'This instance of the service is shutting down. Send the other lines to another one.';

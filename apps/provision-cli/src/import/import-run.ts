import type { Clock } from '../context.js';
import { ServiceUnreachableError } from '../errors.js';
import { type InputRecord, isBad, linesOf, type UserRecord } from '../input/input-record.js';
import { type DoneLine, lineMark, type LineOutcome, requireUnchanged } from '../journal/done-lines.js';
import { idempotencyKey, type Journal } from '../journal/journal.js';
import { OutcomeLog } from '../journal/outcome-log.js';
import type { Reject, RejectsFile } from '../journal/rejects-file.js';
import type { ImportEvent, ImportProgress, ImportSummary } from '../output/import-event.js';
import type { BatchEndpoint } from '../service/batch-endpoint.js';
import { type BatchResult, batchResult } from './batch-result.js';
import { Intake } from './intake.js';
import { type PendingLine, PendingLines } from './pending-lines.js';
import { FIRST_WINDOW, type ImportLimits, type SendingWindow, windowAfter } from './sending-window.js';

export interface ImportParts {
  readonly records: AsyncIterator<readonly InputRecord[]>;
  readonly journal: Journal;
  readonly rejects: RejectsFile;
  readonly service: Pick<BatchEndpoint, 'send'>;
  /** Whether lines that were rejected earlier are sent again. */
  readonly retriesRejected: boolean;
  readonly limits: ImportLimits;
  readonly clock: Clock;
  readonly emit: (event: ImportEvent) => void;
  /** Resolves when the reader of the events has caught up. */
  readonly drained: () => Promise<void>;
}

/** Sends the lines of an input that are not done yet, until all are done, it is interrupted, or an error ends it. */
export class ImportRun {
  #window: SendingWindow = FIRST_WINDOW;
  readonly #pending = new PendingLines();
  readonly #inFlight = new Set<Promise<void>>();
  readonly #wakeUp: WakeUp;
  readonly #intake: Intake;
  readonly #log: OutcomeLog;
  readonly #tally = new ImportTally();
  /** Whether the input as a whole is known to be unchanged. */
  readonly #isSameInput: boolean;
  /** Begin of the time in which the service pushed back and no line got done. */
  #troubleSinceMs: number | undefined;
  #isInterrupted = false;
  #error: unknown;

  constructor(private readonly parts: ImportParts) {
    this.#wakeUp = new WakeUp(parts.clock);
    this.#intake = new Intake(parts.records, () => this.#wakeUp.call());
    this.#log = new OutcomeLog(parts.journal, parts.rejects);
    this.#isSameInput = parts.journal.header.content !== null && !parts.retriesRejected;
  }

  get progress(): ImportProgress {
    const { opensAtMs } = this.#window;
    return {
      ...this.parts.journal.done.counts,
      waiting: this.#pending.size,
      inFlight: this.#inFlight.size,
      bytesDone: this.#tally.bytesDone,
      pausedUntilMs: opensAtMs > this.parts.clock.nowMs() ? opensAtMs : undefined,
    };
  }

  get summary(): ImportSummary {
    const { failed, maybeGood } = this.#tally;
    const { counts } = this.parts.journal.done;
    return {
      ...counts,
      failed,
      maybeGood,
      complete: this.#isAtEnd && failed === 0 && this.#error === undefined,
      rejectsFile: counts.rejected > 0 ? this.parts.rejects.path : undefined,
    };
  }

  /** Stops the run: batches under way are finished and recorded, and no new one is sent. */
  interrupt(): void {
    this.#isInterrupted = true;
    this.#wakeUp.call();
  }

  /**
   * Runs until the end. Lines that got done are recorded, also if it throws.
   *
   * @throws ServiceError if the service refuses this client, or no line got done for too long; JournalError if the input
   * has changed; errors of reading and writing files.
   */
  async run(): Promise<void> {
    try {
      while (!this.#isInterrupted && this.#error === undefined && !this.#isAtEnd) {
        await this.parts.drained();
        // One time for the whole step: a line that was not due at its begin must not count as due at its end.
        const now = this.parts.clock.nowMs();
        const batch = this.#maySend(now) ? await this.#nextBatch(now) : [];
        if (batch.length > 0) this.#start(batch);
        else if (!this.#isAtEnd) await this.#wakeUp.wait(this.#sleepMs(now));
      }
    } catch (error) {
      this.#error ??= error;
    }
    await Promise.all(this.#inFlight);
    if (this.#error !== undefined) throw this.#error;
  }

  get #isAtEnd(): boolean {
    return this.#intake.isEnded && this.#pending.size === 0 && this.#inFlight.size === 0;
  }

  #maySend(now: number): boolean {
    return this.#inFlight.size < Math.floor(this.#window.size) && this.#window.opensAtMs <= now;
  }

  /** Returns the time until a pause ends; undefined if only a batch under way, or the input, can change something. */
  #sleepMs(now: number): number | undefined {
    if (this.#inFlight.size >= Math.floor(this.#window.size)) return undefined;
    const next = Math.max(this.#window.opensAtMs, this.#pending.nextDueMs ?? 0);
    if (next <= now) return undefined;
    if (this.#inFlight.size === 0) this.#checkPatience(next);
    return next - now;
  }

  #checkPatience(nextMs: number): void {
    const { patienceMs } = this.parts.limits;
    if (this.#troubleSinceMs === undefined || nextMs - this.#troubleSinceMs <= patienceMs) return;
    const waitSeconds = Math.ceil((nextMs - this.parts.clock.nowMs()) / 1000);
    throw new ServiceUnreachableError(
      `Gave up: no line got done for ${Math.floor((this.parts.clock.nowMs() - this.#troubleSinceMs) / 1000)} s, and the next attempt would be in ${waitSeconds} s.`,
    );
  }

  async #nextBatch(now: number): Promise<PendingLine[]> {
    const { batchSize, batchBytes, maxSize } = this.parts.limits;
    const due = this.#pending.takeDue(now, batchSize);
    // If a whole window of lines waits, the cause is not single lines, and sending more would not help.
    if (due.length > 0 || this.#pending.size >= batchSize * maxSize) return due;
    for (;;) {
      const records = this.#intake.take(batchSize, batchBytes);
      const lines = await this.#begin(records);
      if (records.length === 0 || lines.length > 0) return lines;
    }
  }

  /** Returns the records that are to be sent. Skips those that are done, and rejects the invalid ones. */
  async #begin(records: readonly InputRecord[]): Promise<PendingLine[]> {
    const { journal, retriesRejected } = this.parts;
    const lines: PendingLine[] = [];
    const done: DoneLine[] = [];
    const rejects: Reject[] = [];
    for (const record of records) {
      const { line } = record;
      const mark = lineMark(record);
      const outcome = journal.done.outcomeOf(line);
      if (outcome !== undefined && !(outcome === 'rejected' && retriesRejected)) {
        if (!this.#isSameInput) requireUnchanged(record, journal.done);
        this.#tally.addDone(record);
      } else if (isBad(record)) {
        done.push({ line, outcome: 'rejected', mark, lines: linesOf(record) });
        rejects.push({ line, lastLine: record.lastLine, code: 'invalid', reason: record.fault });
        this.#tally.addDone(record);
      } else {
        lines.push({ record, mark, key: this.#keyOf(record), attempts: 0, splits: 0, dueMs: 0 });
      }
    }
    if (done.length > 0) await this.#log.add(done, rejects);
    for (const reject of rejects) this.#emitRejected(reject);
    return lines;
  }

  #keyOf({ line, user }: UserRecord): string {
    const { header, done } = this.parts.journal;
    const rejections = done.rejectionsOf(line);
    return idempotencyKey(header, line, rejections > 0 ? { rejections, user } : undefined);
  }

  #start(batch: readonly PendingLine[]): void {
    const sending = this.#send(batch)
      .catch((error: unknown) => {
        this.#error ??= error;
        for (const line of batch) this.#pending.add(line);
      })
      .finally(() => {
        this.#inFlight.delete(sending);
        this.#wakeUp.call();
      });
    this.#inFlight.add(sending);
  }

  async #send(batch: readonly PendingLine[]): Promise<void> {
    const { limits, service } = this.parts;
    const { generation } = this.#window;
    const reply = await service.send(batch.map(({ key, record }) => ({ key, user: record.user })));
    const result = batchResult(batch, reply, limits, this.parts.clock.nowMs(), Math.random);
    await this.#record(result);
    for (const line of result.again) this.#pending.add(line);
    this.#adapt(generation, result);
  }

  async #record({ created, rejected, failed }: BatchResult): Promise<void> {
    const done: DoneLine[] = [];
    for (const { line, replayed } of created) done.push(doneLine(line, replayed ? 'replayed' : 'created'));
    const rejects = rejected.map(({ line, code, reason }) => {
      done.push(doneLine(line, 'rejected'));
      return { line: line.record.line, lastLine: line.record.lastLine, code, reason };
    });
    if (done.length > 0) await this.#log.add(done, rejects);
    for (const { line, id, replayed } of created) {
      this.#tally.addDone(line.record);
      this.parts.emit({ event: 'created', line: line.record.line, id, replayed });
    }
    for (const { line } of rejected) this.#tally.addDone(line.record);
    for (const reject of rejects) this.#emitRejected(reject);
    for (const { line, code, reason } of failed) {
      this.#tally.addFailed(line.record);
      this.parts.emit({ event: 'failed', line: line.record.line, code, reason });
    }
  }

  #adapt(generation: number, { created, rejected, pushedBack }: BatchResult): void {
    const now = this.parts.clock.nowMs();
    if (created.length + rejected.length > 0) this.#troubleSinceMs = undefined;
    if (pushedBack) this.#troubleSinceMs ??= now;
    const before = this.#window;
    const verdict = { generation, isPushedBack: pushedBack !== undefined, retryAfterMs: pushedBack?.retryAfterMs };
    this.#window = windowAfter(before, verdict, this.parts.limits, now, Math.random());
    if (pushedBack && this.#window.generation !== before.generation) {
      const seconds = Math.ceil((this.#window.opensAtMs - now) / 1000);
      this.parts.emit({ event: 'paused', reason: pushedBack.reason, seconds });
    }
  }

  #emitRejected({ line, lastLine, code, reason }: Reject): void {
    this.parts.emit({ event: 'rejected', line, lastLine, code, reason });
  }
}

function doneLine({ record, mark }: PendingLine, outcome: LineOutcome): DoneLine {
  return { line: record.line, outcome, mark, lines: linesOf(record) };
}

/** Counts what the journal does not. */
class ImportTally {
  /** Lines that failed at every attempt. */
  failed = 0;
  /** Length of the input that is done. */
  bytesDone = 0;
  /** Lines that follow unclosed quotes. */
  maybeGood = 0;

  addDone(record: InputRecord): void {
    this.bytesDone += record.bytes;
    if (isBad(record)) this.maybeGood += record.maybeGood ?? 0;
  }

  addFailed({ bytes }: UserRecord): void {
    this.failed++;
    this.bytesDone += bytes;
  }
}

/** Lets the run sleep until something changes. */
class WakeUp {
  #wake: (() => void) | undefined;
  #isDue = false;

  constructor(private readonly clock: Clock) {}

  /** Ends the sleep, or the next one. */
  call(): void {
    this.#isDue = true;
    this.#wake?.();
  }

  /** @param maxMs Undefined: until {@link call}. */
  async wait(maxMs: number | undefined): Promise<void> {
    if (!this.#isDue) {
      let cancel = () => {};
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
        if (maxMs !== undefined) cancel = this.clock.setTimer(maxMs, resolve);
      });
      cancel();
    }
    this.#wake = undefined;
    this.#isDue = false;
  }
}

import type { Clock } from '../clock.js';
import { type InputRecord, isBad, linesOf, type UserRecord } from '../input/input-record.js';
import type { DoneLine, LineOutcome } from '../journal/done-lines.js';
import type { Journal } from '../journal/journal.js';
import { lineMark, requireUnchanged } from '../journal/line-mark.js';
import type { Reject, RejectsFile } from '../journal/rejects-file.js';
import type { BatchEndpoint } from '../service/batch-endpoint.js';
import { ServiceUnreachableError } from '../service/service-errors.js';
import { type BatchResult, batchResult } from './batch-result.js';
import { idempotencyKey } from './idempotency-key.js';
import type { ImportEvent, ImportProgress, ImportSummary } from './import-event.js';
import type { ImportLimits } from './import-limits.js';
import { ImportTally } from './import-tally.js';
import { Intake } from './intake.js';
import { OutcomeLog } from './outcome-log.js';
import { type PendingLine, PendingLines } from './pending-lines.js';
import { FIRST_WINDOW, type SendingWindow, windowAfter } from './sending-window.js';
import { WakeUp } from './wake-up.js';

export interface ImportParts {
  readonly records: AsyncIterator<readonly InputRecord[]>;
  readonly journal: Journal;
  readonly rejects: RejectsFile;
  readonly service: Pick<BatchEndpoint, 'send'>;
  /** Whether lines that were rejected earlier are sent once more. */
  readonly retriesRejected: boolean;
  readonly limits: ImportLimits;
  readonly clock: Clock;
  readonly emit: (event: ImportEvent) => void;
  /** Resolves when whoever reads the events has caught up. */
  readonly drained: () => Promise<void>;
}

/** Sends the lines of an input that are not done yet, until all are, or it is interrupted, or there is no way on. */
export class ImportRun {
  #window: SendingWindow = FIRST_WINDOW;
  readonly #pending = new PendingLines();
  readonly #inFlight = new Set<Promise<void>>();
  readonly #wakeUp: WakeUp;
  readonly #intake: Intake;
  readonly #log: OutcomeLog;
  readonly #tally = new ImportTally();
  /** Whether the input as a whole was compared with what it was. */
  readonly #isSameInput: boolean;
  /** Since when the service has pushed back and nothing got done. */
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

  /** Ends the run in good order: what is under way is finished and written down, and nothing new is begun. */
  interrupt(): void {
    this.#isInterrupted = true;
    this.#wakeUp.call();
  }

  /**
   * @throws What the service refuses to everybody, or ServiceUnreachableError once patience is at its end; JournalError
   * where the input is not what it was; what reading and writing files throws. What got done is written down in each case.
   */
  async run(): Promise<void> {
    try {
      while (!this.#isInterrupted && this.#error === undefined && !this.#isAtEnd) {
        await this.parts.drained();
        // One time for the whole step: what was not due a moment ago must not be taken for due when going to sleep.
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

  /** Until something changes by itself; undefined where only a batch under way, or the input, can change something. */
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
      `Given up: nothing got done for ${Math.floor((this.parts.clock.nowMs() - this.#troubleSinceMs) / 1000)} s, and the next attempt would be in ${waitSeconds} s.`,
    );
  }

  async #nextBatch(now: number): Promise<PendingLine[]> {
    const { batchSize, batchBytes, maxSize } = this.parts.limits;
    const due = this.#pending.takeDue(now, batchSize);
    // While as much as a whole window waits, the trouble is not with single lines, and more of them would not help.
    if (due.length > 0 || this.#pending.size >= batchSize * maxSize) return due;
    for (;;) {
      const records = this.#intake.take(batchSize, batchBytes);
      const lines = await this.#begin(records);
      if (records.length === 0 || lines.length > 0) return lines;
    }
  }

  /** Puts aside what is done already, and what cannot be done. */
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
    await this.#writeDown(result);
    for (const line of result.again) this.#pending.add(line);
    this.#adapt(generation, result);
  }

  async #writeDown({ created, rejected, failed }: BatchResult): Promise<void> {
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

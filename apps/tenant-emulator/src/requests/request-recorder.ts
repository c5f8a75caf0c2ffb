import type { ServerResponse } from 'node:http';
import type { Clock } from '../clock.js';
import { tenantPartOf } from '../faults/tenant-part.js';
import { Statistics } from './statistics.js';
import type { RequestEvent } from './request-event.js';
import { RequestRecord } from './request-record.js';
import { pathOf, type TenantRequest } from './tenant-request.js';

/** Keeps a record of each request, for the log and the statistics. */
export class RequestRecorder {
  constructor(
    private readonly clock: Clock,
    private readonly statistics: Statistics,
    private readonly log: (event: RequestEvent) => void,
  ) {}

  /** Comes before everything else, so that requests are seen whose body is refused. */
  readonly middleware = (request: TenantRequest, response: ServerResponse, next: () => void): void => {
    const at = this.clock.now();
    const method = request.method ?? '';
    const path = pathOf(request);
    const part = tenantPartOf(path);
    const record = new RequestRecord(
      (outcome) => this.statistics.countOutcome(part, path, record.client, outcome),
      (status, outcome) => {
        const { client, tokenFingerprint, transactionId, error } = record;
        const durationMs = this.clock.now() - at;
        this.log({ at, durationMs, method, path, status, outcome, client, tokenFingerprint, transactionId, error });
      },
    );
    request.record = record;
    this.statistics.countArrival(part, path);
    response.setHeader('X-CFY-TX-ID', record.transactionId);
    // Node.js would take the time from the clock of this machine.
    response.setHeader('Date', new Date(at).toUTCString());
    response.once('close', () => {
      const answered = response.writableFinished && !request.errored;
      record.finish(answered ? response.statusCode : undefined);
    });
    next();
  };
}

import type { ServerResponse } from 'node:http';
import type { Clock } from '../clock.js';
import { Statistics } from './statistics.js';
import { pathOf, RequestRecord, type TenantRequest, tenantPartOf } from './tenant-request.js';

/** The log entry of one request. Holds no secret and no token. */
export interface RequestEvent {
  /** Arrival, in milliseconds since the Unix epoch. */
  readonly at: number;
  readonly durationMs: number;
  readonly method: string;
  /** Without the query. */
  readonly path: string;
  /** Undefined if the connection ended without a response, or hangs. */
  readonly status: number | undefined;
  /** A short description, such as `issued` or `outage: hang`. */
  readonly outcome: string;
  /** Login name in the request, if it is that of an OAuth client. */
  readonly client: string | undefined;
  /** First 12 hexadecimal digits of the SHA-256 of the issued or presented token. */
  readonly tokenFingerprint: string | undefined;
  /** The `X-CFY-TX-ID` of the response. */
  readonly transactionId: string;
  /** An internal error of the emulator. */
  readonly error: Error | undefined;
}

/** Records each request for the log and the statistics. */
export class RequestRecorder {
  constructor(
    private readonly clock: Clock,
    private readonly statistics: Statistics,
    private readonly log: (event: RequestEvent) => void,
  ) {}

  /** Runs before every other middleware, to record requests with a rejected body too. */
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
    // Node.js would use the clock of this machine.
    response.setHeader('Date', new Date(at).toUTCString());
    response.once('close', () => {
      const answered = response.writableFinished && !request.errored;
      record.finish(answered ? response.statusCode : undefined);
    });
    next();
  };
}

import type { IncomingMessage, ServerResponse } from 'node:http';
import { Controller, HttpCode, HttpStatus, Inject, Post, Req, Res } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import { Caller, type MachineCaller, RequireScopes } from 'nestjs-identity-m2m';
import { ApiBatch } from './batch.documentation.js';
import { BatchRefusedError } from './batch-answers.js';
import { BATCH_LIMITS, type BatchLimits } from './batch-limits.js';
import { BatchLines } from './batch-lines.js';
import { BatchRun, RunningBatches } from './batch-run.js';
import type { NdjsonLine } from './ndjson-body.js';

/** Creates users in batches. Reads and writes streams: a batch is never in memory as a whole. */
// The tag is on the class: on the method, Swagger would add another one with the name of the class.
@ApiTags('users')
@Controller('users/batch')
export class BatchController {
  constructor(
    private readonly lines: BatchLines,
    private readonly batches: RunningBatches,
    @Inject(BATCH_LIMITS) private readonly limits: BatchLimits,
  ) {}

  @Post()
  @HttpCode(HttpStatus.OK)
  @RequireScopes('users.write')
  @ApiBatch()
  async create(
    @Req() request: IncomingMessage,
    @Res() response: ServerResponse,
    @Caller() { clientId }: MachineCaller,
  ): Promise<void> {
    requireNdjson(request);
    requireSize(request, this.limits);
    const processLine = (line: NdjsonLine) => this.lines.process(clientId, line);
    await this.batches.run(clientId, new BatchRun({ request, response, limits: this.limits, processLine }));
  }
}

function requireNdjson({ headers }: IncomingMessage): void {
  const [type = ''] = (headers['content-type'] ?? '').split(';');
  if (type.trim().toLowerCase() !== 'application/x-ndjson') {
    throw new BatchRefusedError(
      415,
      'not_ndjson',
      'A batch needs Content-Type: application/x-ndjson, and a line of JSON for each user. Send a single user to POST /users.',
    );
  }
  if ((headers['content-encoding'] ?? 'identity').toLowerCase() !== 'identity') {
    throw new BatchRefusedError(415, 'not_ndjson', 'A batch must not have a Content-Encoding. Decompress it first.');
  }
}

function requireSize({ headers }: IncomingMessage, { maxBytes }: BatchLimits): void {
  if (Number(headers['content-length'] ?? 0) > maxBytes) {
    throw new BatchRefusedError(
      413,
      'batch_too_large',
      `A batch has at most ${maxBytes} bytes (BATCH_MAX_BYTES of this service). Split it between two lines, and send the parts one after the other, under the same keys.`,
    );
  }
}

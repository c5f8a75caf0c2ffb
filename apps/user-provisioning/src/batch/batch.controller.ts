import type { IncomingMessage, ServerResponse } from 'node:http';
import { Controller, HttpCode, HttpStatus, Inject, Post, Req, Res } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import { Caller, type MachineCaller, RequireScopes } from 'nestjs-identity-m2m';
import { ApiBatch } from './batch.documentation.js';
import { BATCH_LIMITS, type BatchLimits } from './batch-limits.js';
import { BatchLines } from './batch-lines.js';
import { BatchRefusedError } from './batch-refused-error.js';
import { BatchRun } from './batch-run.js';
import { RunningBatches } from './running-batches.js';

/** Makes users by the batch. Reads and writes the streams itself: no part of a batch is ever held as a whole. */
// On the class: a tag of the method alone would stand beside one that is made of the class's name.
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
    const carryOut = (line: Parameters<BatchLines['carryOut']>[1]) => this.lines.carryOut(clientId, line);
    await this.batches.run(clientId, new BatchRun({ request, response, limits: this.limits, carryOut }));
  }
}

function requireNdjson({ headers }: IncomingMessage): void {
  const [type = ''] = (headers['content-type'] ?? '').split(';');
  if (type.trim().toLowerCase() !== 'application/x-ndjson') {
    throw new BatchRefusedError(
      415,
      'not_ndjson',
      'A batch is sent as application/x-ndjson: a line of JSON for each user. One user alone is sent to POST /users.',
    );
  }
  if ((headers['content-encoding'] ?? 'identity').toLowerCase() !== 'identity') {
    throw new BatchRefusedError(415, 'not_ndjson', 'A batch is sent without a Content-Encoding. Unpack it first.');
  }
}

function requireSize({ headers }: IncomingMessage, { maxBytes }: BatchLimits): void {
  if (Number(headers['content-length'] ?? 0) > maxBytes) {
    throw new BatchRefusedError(
      413,
      'batch_too_large',
      `A batch has at most ${maxBytes} bytes (BATCH_MAX_BYTES of this service). Divide it between two lines, and send the parts one after the other, each line under the key it has.`,
    );
  }
}

import { applyDecorators } from '@nestjs/common';
import {
  ApiBearerAuth,
  ApiBody,
  ApiConsumes,
  ApiExtraModels,
  ApiOkResponse,
  ApiOperation,
  ApiProduces,
  ApiProperty,
  getSchemaPath,
} from '@nestjs/swagger';
import { ApiProblems } from '../api-documentation.js';

class BatchUser {
  @ApiProperty({ type: String, maxLength: 256, description: 'Login name: user, or user@suffix' })
  name!: string;

  @ApiProperty({ type: String, format: 'email', maxLength: 254 })
  mail!: string;

  @ApiProperty({ type: String, maxLength: 256, required: false, description: 'Name as people see it' })
  displayName?: string;

  @ApiProperty({ type: String, maxLength: 1024, required: false })
  description?: string;

  @ApiProperty({ type: String, required: false })
  mobileNumber?: string;

  @ApiProperty({ type: String, required: false })
  officeNumber?: string;

  @ApiProperty({ type: String, required: false, description: 'Default: a random one of the tenant' })
  password?: string;

  @ApiProperty({ type: Boolean, default: true, description: 'Whether the first login requires a new password' })
  mustChangePassword?: boolean;

  @ApiProperty({ type: Boolean, default: false, description: 'Whether the tenant mails an invitation' })
  sendInvitation?: boolean;
}

class BatchRequestLine {
  @ApiProperty({
    type: String,
    maxLength: 128,
    description: 'Idempotency key, as in the header Idempotency-Key of POST /users: the user is created once',
  })
  key!: string;

  @ApiProperty({ type: BatchUser })
  user!: BatchUser;
}

class BatchError {
  @ApiProperty({ type: String, example: 'duplicate' })
  code!: string;

  @ApiProperty({ type: String })
  message!: string;
}

class BatchCreatedUser {
  @ApiProperty({ type: String, format: 'uuid' })
  id!: string;

  @ApiProperty({ type: String })
  name!: string;

  @ApiProperty({ type: String })
  mail!: string;

  @ApiProperty({ type: String, nullable: true })
  displayName!: string | null;

  @ApiProperty({ type: String })
  state!: string;
}

class BatchAnswerLine {
  @ApiProperty({ type: String, nullable: true, description: 'null if the line has no readable key' })
  key!: string | null;

  @ApiProperty({ type: Number, description: 'Number of the line in the request, from 1' })
  line!: number;

  @ApiProperty({
    enum: ['created', 'rejected', 'failed'],
    description: 'rejected: the same line would be refused again; failed: send it again',
  })
  status!: string;

  @ApiProperty({ type: Boolean, required: false, description: 'An earlier line or request created the user' })
  replayed?: true;

  @ApiProperty({ type: BatchCreatedUser, required: false, description: 'With the status created' })
  user?: BatchCreatedUser;

  @ApiProperty({ type: BatchError, required: false, description: 'With the status rejected or failed' })
  error?: BatchError;

  @ApiProperty({ type: Number, required: false, description: 'With the status failed' })
  retryAfterSeconds?: number;
}

class BatchStopped extends BatchError {
  @ApiProperty({ type: Number, description: 'First line that was not read' })
  nextLine!: number;

  @ApiProperty({ type: Number, required: false })
  retryAfterSeconds?: number;
}

class BatchCounts {
  @ApiProperty({ type: Number, description: 'Number of answers: the sum of the others' })
  lines!: number;

  @ApiProperty({ type: Number })
  created!: number;

  @ApiProperty({ type: Number })
  replayed!: number;

  @ApiProperty({ type: Number })
  rejected!: number;

  @ApiProperty({ type: Number })
  failed!: number;

  @ApiProperty({ type: BatchStopped, required: false, description: 'Why some lines were not read' })
  stopped?: BatchStopped;
}

class BatchLastLine {
  @ApiProperty({ type: BatchCounts })
  summary!: BatchCounts;
}

const NDJSON = 'application/x-ndjson';

/** Documents the batch endpoint. The schemas describe single lines of its streams. */
export function ApiBatch(): MethodDecorator {
  return applyDecorators(
    ApiBearerAuth(),
    ApiExtraModels(BatchRequestLine, BatchAnswerLine, BatchLastLine),
    ApiOperation({
      summary: 'Creates users, one for each line',
      description:
        'Answers each line of JSON when it is done, in any order. The last line of the answer is the summary; ' +
        'without it the answer is incomplete. Send lines that have failed, or have no answer, again with the same ' +
        'keys. Lines are read as fast as they are processed.',
    }),
    ApiConsumes(NDJSON),
    ApiBody({ description: 'One line for each user', schema: { $ref: getSchemaPath(BatchRequestLine) } }),
    ApiProduces(NDJSON),
    ApiOkResponse({
      description: 'One line for each non-blank line of the request, and the summary',
      schema: { oneOf: [{ $ref: getSchemaPath(BatchAnswerLine) }, { $ref: getSchemaPath(BatchLastLine) }] },
    }),
    ApiProblems({
      413: 'The batch is too large',
      415: `The batch is not ${NDJSON}, or is compressed`,
      429: 'The client runs too many batches; see Retry-After',
      503: 'Too many batches are running, or the service is shutting down; see Retry-After',
    }),
  );
}

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
import { ApiProblems } from '../errors/problem.documentation.js';

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

  @ApiProperty({ type: String, required: false, description: 'Left out: the tenant makes a random one' })
  password?: string;

  @ApiProperty({ type: Boolean, default: true, description: 'Whether the first login asks for a new password' })
  mustChangePassword?: boolean;

  @ApiProperty({ type: Boolean, default: false, description: 'Whether the tenant mails an invitation' })
  sendInvitation?: boolean;
}

class BatchRequestLine {
  @ApiProperty({
    type: String,
    maxLength: 128,
    description: 'Idempotency key, as in the header Idempotency-Key of POST /users: the user is made once',
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

class BatchMadeUser {
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
  @ApiProperty({ type: String, nullable: true, description: 'null where none could be read' })
  key!: string | null;

  @ApiProperty({ type: Number, description: 'Number of the line in the request, from 1' })
  line!: number;

  @ApiProperty({
    enum: ['created', 'rejected', 'failed'],
    description: 'rejected: the same line would meet the same refusal again; failed: it may be sent again',
  })
  status!: string;

  @ApiProperty({ type: Boolean, required: false, description: 'The user was made for an earlier line or request' })
  replayed?: true;

  @ApiProperty({ type: BatchMadeUser, required: false, description: 'Where the status is created' })
  user?: BatchMadeUser;

  @ApiProperty({ type: BatchError, required: false, description: 'Where the status is rejected or failed' })
  error?: BatchError;

  @ApiProperty({ type: Number, required: false, description: 'Where the status is failed' })
  retryAfterSeconds?: number;
}

class BatchStopped extends BatchError {
  @ApiProperty({ type: Number, description: 'Lines from this one on were not looked at' })
  nextLine!: number;

  @ApiProperty({ type: Number, required: false })
  retryAfterSeconds?: number;
}

class BatchCounts {
  @ApiProperty({ type: Number, description: 'Answers: the sum of the others' })
  lines!: number;

  @ApiProperty({ type: Number })
  created!: number;

  @ApiProperty({ type: Number })
  replayed!: number;

  @ApiProperty({ type: Number })
  rejected!: number;

  @ApiProperty({ type: Number })
  failed!: number;

  @ApiProperty({ type: BatchStopped, required: false, description: 'Why not every line was looked at' })
  stopped?: BatchStopped;
}

class BatchLastLine {
  @ApiProperty({ type: BatchCounts })
  summary!: BatchCounts;
}

const NDJSON = 'application/x-ndjson';

/** What the API documentation says of the batch endpoint. Its streams are described line by line. */
export function ApiBatch(): MethodDecorator {
  return applyDecorators(
    ApiBearerAuth(),
    ApiExtraModels(BatchRequestLine, BatchAnswerLine, BatchLastLine),
    ApiOperation({
      summary: 'Makes users, one for each line',
      description:
        'Takes lines of JSON and answers each as it is done, in any order. The last line of the answer is the ' +
        'summary; without it the answer is cut off. Send again what was not answered, and what has failed, with the ' +
        'same keys. Lines are read as fast as they are worked on.',
    }),
    ApiConsumes(NDJSON),
    ApiBody({ description: 'One line for each user', schema: { $ref: getSchemaPath(BatchRequestLine) } }),
    ApiProduces(NDJSON),
    ApiOkResponse({
      description: 'One line for each line of the request that is not blank, and the summary',
      schema: { oneOf: [{ $ref: getSchemaPath(BatchAnswerLine) }, { $ref: getSchemaPath(BatchLastLine) }] },
    }),
    ApiProblems({
      413: 'The batch is too large',
      415: `The batch is not ${NDJSON}, or is compressed`,
      429: 'The client has too many batches running; see Retry-After',
      503: 'Too many batches are running, or the service ends; see Retry-After',
    }),
  );
}

import type { IncomingMessage } from 'node:http';
import {
  BadRequestException,
  Body,
  type CanActivate,
  Controller,
  Delete,
  type ExecutionContext,
  Get,
  Headers,
  HttpCode,
  HttpStatus,
  Injectable,
  Param,
  Patch,
  Post,
  UnsupportedMediaTypeException,
  UseGuards,
} from '@nestjs/common';
import {
  ApiBearerAuth,
  ApiCreatedResponse,
  ApiHeader,
  ApiNoContentResponse,
  ApiOkResponse,
  ApiOperation,
  ApiTags,
} from '@nestjs/swagger';
import { Caller, type MachineCaller, RequireScopes } from 'nestjs-identity-m2m';
import { ApiProblems } from '../api-documentation.js';
import { ApiRequestTiming, type RequestTiming, Timing } from './request-timing.js';
import { idempotencyKeyIn, UserCreation } from './user-creation.js';
import { type NewUser, newUser, type User, user, type UserChange, userChange, userName } from './user.schema.js';
import { UserProvisioningService } from './user-provisioning.service.js';

/** Accepts JSON bodies only. Nest would parse a form too, in which every flag is a string. */
@Injectable()
class JsonBodyGuard implements CanActivate {
  canActivate(context: ExecutionContext): boolean {
    const { headers } = context.switchToHttp().getRequest<IncomingMessage>();
    const [type = ''] = (headers['content-type'] ?? '').split(';');
    if (type.trim().toLowerCase() === 'application/json') return true;
    const message = 'A user needs a JSON body, with Content-Type: application/json.';
    throw new UnsupportedMediaTypeException({ statusCode: 415, error: 'not_json', message });
  }
}

@ApiTags('users')
@ApiBearerAuth()
@Controller('users')
export class UsersController {
  constructor(
    private readonly provisioning: UserProvisioningService,
    private readonly creation: UserCreation,
  ) {}

  @Post()
  @RequireScopes('users.write')
  @UseGuards(JsonBodyGuard)
  @ApiOperation({ summary: 'Creates a user' })
  @ApiHeader({
    name: 'Idempotency-Key',
    required: false,
    description: 'Makes a repetition of the request safe: the user is created once. With or without quotes',
  })
  @ApiRequestTiming('Request-Expires')
  @ApiCreatedResponse({ description: 'The user was created', standardSchema: user })
  @ApiProblems({
    400: 'The body is not JSON or not a user, or a header is malformed',
    409: 'The name is taken, or a request with this key is still being carried out',
    412: 'The request arrived after its Request-Expires',
    413: 'The body is longer than 100 KiB',
    415: 'The body is not application/json',
    422: 'The tenant refuses the password, or the key belongs to another request',
  })
  async create(
    @Body({ schema: newUser }) body: NewUser,
    @Headers('idempotency-key') header: string | undefined,
    @Timing() timing: RequestTiming,
    @Caller() caller: MachineCaller,
  ): Promise<User> {
    if (header === undefined) return this.creation.unkeyed(body, timing);
    const key = idempotencyKeyIn(header);
    if (key === undefined) {
      throw new BadRequestException('Idempotency-Key must be 1 to 128 characters that a header token may have');
    }
    return (await this.creation.once(caller.clientId, key, body, timing)).user;
  }

  @Get(':name')
  @RequireScopes('users.read')
  @ApiOperation({ summary: 'Shows a user' })
  @ApiOkResponse({ standardSchema: user })
  @ApiProblems({ 400: 'The name is not a login name', 404: 'No user has this name' })
  get(@Param('name', { schema: userName }) name: string): Promise<User> {
    return this.provisioning.get(name);
  }

  @Patch(':name')
  @RequireScopes('users.write')
  @UseGuards(JsonBodyGuard)
  @ApiOperation({ summary: 'Changes a user' })
  @ApiOkResponse({ standardSchema: user })
  @ApiProblems({
    400: 'The name is not a login name, or the body is not JSON or not a change',
    404: 'No user has this name',
    413: 'The body is longer than 100 KiB',
    415: 'The body is not application/json',
    422: 'The user is a service user, or the tenant refuses the change',
  })
  change(
    @Param('name', { schema: userName }) name: string,
    @Body({ schema: userChange }) body: UserChange,
  ): Promise<User> {
    return this.provisioning.change(name, body);
  }

  @Delete(':name')
  @HttpCode(HttpStatus.NO_CONTENT)
  @RequireScopes('users.write')
  @ApiOperation({ summary: 'Deletes a user' })
  @ApiRequestTiming('Request-Time', 'Request-Expires')
  @ApiNoContentResponse({ description: 'The user was deleted' })
  @ApiProblems({
    400: 'The name is not a login name, or a header is malformed',
    404: 'No user has this name',
    412: 'The user was created after Request-Time, or the request arrived after its Request-Expires',
    422: 'The user is a service user',
  })
  delete(@Param('name', { schema: userName }) name: string, @Timing() timing: RequestTiming): Promise<void> {
    return this.provisioning.delete(name, timing);
  }
}

import {
  BadRequestException,
  Body,
  Controller,
  Delete,
  Get,
  Headers,
  HttpCode,
  HttpStatus,
  Param,
  Patch,
  Post,
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
import { ApiProblems } from '../errors/problem.documentation.js';
import { JsonBodyGuard } from './json-body.guard.js';
import { ApiRequestTiming, type RequestTiming, Timing } from './request-timing.js';
import { idempotencyKeyIn, UserCreation } from './user-creation.js';
import { type NewUser, newUser, type User, user, type UserChange, userChange, userName } from './user.schema.js';
import { UserProvisioningService } from './user-provisioning.service.js';

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
  @ApiOperation({ summary: 'Makes a user' })
  @ApiHeader({
    name: 'Idempotency-Key',
    required: false,
    description: 'Makes it safe to send the request again: the user is made once. With or without quotes around it',
  })
  @ApiRequestTiming('Request-Expires')
  @ApiCreatedResponse({ description: 'The user was made', standardSchema: user })
  @ApiProblems({
    400: 'The body is not JSON or not a user, or a header is malformed',
    409: 'The name is taken, or a request with the same key is still being carried out',
    412: 'The request has come after its Request-Expires',
    413: 'The body is longer than 100 KiB',
    415: 'The body is not application/json',
    422: 'The tenant does not accept the password, or the key was used for another request',
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
  @ApiProblems({ 400: 'The name is not a login name', 404: 'There is no such user' })
  get(@Param('name', { schema: userName }) name: string): Promise<User> {
    return this.provisioning.get(name);
  }

  @Patch(':name')
  @RequireScopes('users.write')
  @UseGuards(JsonBodyGuard)
  @ApiOperation({ summary: 'Changes a user' })
  @ApiOkResponse({ standardSchema: user })
  @ApiProblems({
    400: 'The name is not a login name, or the body not JSON or not a change',
    404: 'There is no such user',
    413: 'The body is longer than 100 KiB',
    415: 'The body is not application/json',
    422: 'It is a service user, or the tenant does not accept the change',
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
    404: 'There is no such user',
    412: 'The user was made after Request-Time, or the request has come after its Request-Expires',
    422: 'It is a service user',
  })
  delete(@Param('name', { schema: userName }) name: string, @Timing() timing: RequestTiming): Promise<void> {
    return this.provisioning.delete(name, timing);
  }
}

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
  ApiConflictResponse,
  ApiCreatedResponse,
  ApiHeader,
  ApiNoContentResponse,
  ApiNotFoundResponse,
  ApiOkResponse,
  ApiOperation,
  ApiTags,
  ApiUnprocessableEntityResponse,
} from '@nestjs/swagger';
import { Caller, type MachineCaller, RequireScopes } from 'nestjs-identity-m2m';
import { JsonBodyGuard } from './json-body.guard.js';
import { IDEMPOTENCY_KEY, UserCreation } from './user-creation.js';
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
    description: 'Makes it safe to send the request again: the user is made once',
  })
  @ApiCreatedResponse({ description: 'The user was made', standardSchema: user })
  @ApiConflictResponse({ description: 'The name is taken, or a request with the same key is still being carried out' })
  @ApiUnprocessableEntityResponse({
    description: 'The tenant does not accept the password, or the key was used before',
  })
  async create(
    @Body({ schema: newUser }) body: NewUser,
    @Headers('idempotency-key') key: string | undefined,
    @Caller() caller: MachineCaller,
  ): Promise<User> {
    if (key === undefined) return this.provisioning.create(body);
    if (!IDEMPOTENCY_KEY.test(key)) {
      throw new BadRequestException('Idempotency-Key must be 1 to 128 characters that a header token may have');
    }
    return (await this.creation.once(caller.clientId, key, body)).user;
  }

  @Get(':name')
  @RequireScopes('users.read')
  @ApiOperation({ summary: 'Shows a user' })
  @ApiOkResponse({ standardSchema: user })
  @ApiNotFoundResponse({ description: 'There is no such user' })
  get(@Param('name', { schema: userName }) name: string): Promise<User> {
    return this.provisioning.get(name);
  }

  @Patch(':name')
  @RequireScopes('users.write')
  @UseGuards(JsonBodyGuard)
  @ApiOperation({ summary: 'Changes a user' })
  @ApiOkResponse({ standardSchema: user })
  @ApiNotFoundResponse({ description: 'There is no such user' })
  @ApiUnprocessableEntityResponse({ description: 'It is a service user' })
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
  @ApiNoContentResponse({ description: 'The user was deleted' })
  @ApiNotFoundResponse({ description: 'There is no such user' })
  @ApiUnprocessableEntityResponse({ description: 'It is a service user' })
  delete(@Param('name', { schema: userName }) name: string): Promise<void> {
    return this.provisioning.delete(name);
  }
}

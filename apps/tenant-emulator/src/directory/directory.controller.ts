import { Inject } from '@nestjs/common';
import { Permissions } from '../applications/permissions.js';
import { TENANT_CONFIGURATION } from '../config/tenant-configuration.token.js';
import type { TenantConfiguration } from '../config/tenant-configuration.js';
import { ApiFailure } from '../rest-api/api-failure.js';
import { Caller } from '../rest-api/caller.decorator.js';
import { RestBody, RestBodyList } from '../rest-api/rest-body.decorator.js';
import { RestCall, RestController } from '../rest-api/rest-controller.decorator.js';
import type { RestFields } from '../rest-api/rest-fields.js';
import type { IssuedToken } from '../tokens/issued-tokens.js';
import { UserAdministration } from './user-administration.js';
import { userDetails } from './user-details.js';
import { UserDirectory } from './user-directory.js';
import { userList } from './user-list.js';
import type { User } from './user.js';

/** The users of the cloud directory. A caller without the right to manage users sees itself, and changes nothing. */
@RestController('CDirectoryService')
export class DirectoryController {
  constructor(
    private readonly directory: UserDirectory,
    private readonly administration: UserAdministration,
    private readonly permissions: Permissions,
    @Inject(TENANT_CONFIGURATION) private readonly configuration: TenantConfiguration,
  ) {}

  @RestCall('CreateUser')
  createUser(@Caller() caller: IssuedToken, @RestBody() fields: RestFields): string {
    this.#requireManager(caller);
    return this.administration.create(fields).uuid;
  }

  @RestCall('CreateUsers')
  createUsers(@Caller() caller: IssuedToken, @RestBodyList() list: RestFields[]) {
    if (!this.configuration.tenantFlags['CusCreateUser.QandD']) throw ApiFailure.unauthorized();
    this.#requireManager(caller);
    return this.administration.createMany(list).map(({ uuid, name }) => ({ Uuid: uuid, Name: name }));
  }

  @RestCall('ChangeUser')
  changeUser(@Caller() caller: IssuedToken, @RestBody() fields: RestFields): void {
    this.#requireManager(caller);
    this.administration.change(this.#named(fields), fields);
  }

  @RestCall('GetUser')
  getUser(@Caller() caller: IssuedToken, @RestBody() fields: RestFields) {
    const id = fields.requiredText('ID');
    if (id.toLowerCase() !== caller.userUuid) this.#requireManager(caller);
    const user = this.directory.byUuid(id);
    if (!user) throw ApiFailure.unknownUuid();
    return userDetails(user);
  }

  @RestCall('GetUserByName')
  getUserByName(@Caller() caller: IssuedToken, @RestBody() fields: RestFields) {
    const name = fields.text('username') ?? caller.loginName;
    if (this.directory.fullName(name) !== caller.loginName) this.#requireManager(caller);
    const user = this.directory.byName(name);
    if (!user) throw ApiFailure.unknownName();
    return userDetails(user);
  }

  @RestCall('GetUsers')
  getUsers(@Caller() caller: IssuedToken) {
    this.#requireManager(caller);
    return userList(this.directory.all());
  }

  @RestCall('DeleteUser')
  deleteUser(@Caller() caller: IssuedToken, @RestBody() fields: RestFields): void {
    this.#requireManager(caller);
    this.administration.remove(this.#named(fields));
  }

  @RestCall('SetUserState')
  setUserState(@Caller() caller: IssuedToken, @RestBody() fields: RestFields): void {
    this.#requireManager(caller);
    this.administration.setState(this.#named(fields), fields.requiredText('state'));
  }

  #requireManager(caller: IssuedToken): void {
    if (!this.permissions.mayManageUsers(caller.userUuid)) throw ApiFailure.unauthorized();
  }

  /** The user that the field ID names, by UUID or by login name. */
  #named(fields: RestFields): User {
    const id = fields.requiredText('ID');
    const user = this.directory.byUuid(id) ?? this.directory.byName(id);
    if (!user) throw id.includes('@') ? ApiFailure.unknownName() : ApiFailure.unknownUuid();
    return user;
  }
}

import { Inject } from '@nestjs/common';
import { TENANT_CONFIGURATION, type TenantConfiguration } from '../config/tenant-configuration.js';
import { ApiFailure } from '../rest-api/api-failure.js';
import { RestBody, RestBodyList, type RestFields } from '../rest-api/rest-body.js';
import { Caller, RestCall, RestController } from '../rest-api/rest-controller.js';
import { type RestTable, restTable } from '../rest-api/rest-table.js';
import type { IssuedToken } from '../tokens/issued-tokens.js';
import { Permissions } from './service-users.js';
import { UserAdministration } from './user-administration.js';
import { UserDirectory } from './user-directory.js';
import type { User } from './user.js';

/** The users of the cloud directory. A caller without the right to manage users can read its own user only. */
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

  /** Finds the user in the field ID, a UUID or a login name. */
  #named(fields: RestFields): User {
    const id = fields.requiredText('ID');
    const user = this.directory.byUuid(id) ?? this.directory.byName(id);
    if (!user) throw id.includes('@') ? ApiFailure.unknownName() : ApiFailure.unknownUuid();
    return user;
  }
}

/** Returns a user in the format of GetUser and GetUserByName. */
function userDetails(user: User) {
  return {
    Uuid: user.uuid,
    Name: user.name,
    Mail: user.mail,
    DisplayName: user.displayName,
    Alias: user.name.slice(user.name.indexOf('@') + 1),
    State: user.state,
    InEverybodyRole: user.inEverybodyRole,
    OauthClient: user.oauthClient,
    ReportsTo: user.reportsTo ?? 'Unassigned',
    MobileNumber: user.mobileNumber,
    CreateDate: restDate(user.createdAt),
    LastModifiedDate: restDate(user.modifiedAt),
    LastPasswordChangeDate: restDate(user.passwordChangedAt),
    Version: String(user.version),
  };
}

/** The columns of GetUsers, each with its field of a user. */
const COLUMNS = {
  Uuid: 'uuid',
  DisplayName: 'displayName',
  Description: 'description',
  Mail: 'mail',
  Name: 'name',
  OfficeNumber: 'officeNumber',
  MobileNumber: 'mobileNumber',
  HomeNumber: 'homeNumber',
  ReportsTo: 'reportsTo',
} as const satisfies Record<string, keyof User>;

/** Returns all users in the format of GetUsers. */
function userList(users: Iterable<User>): RestTable {
  const rows = Array.from(users, (user) =>
    Object.fromEntries(Object.entries(COLUMNS).map(([column, field]) => [column, user[field]])),
  );
  return restTable(Object.keys(COLUMNS), rows, { entityType: 'CDUser', fullCount: rows.length });
}

/** Formats a time for the REST API. */
function restDate(ms: number): string {
  return `/Date(${ms})/`;
}

import type { ServiceUserConfiguration } from '../config/service-user-configuration.js';

/** What a service user may do with one application. */
export interface ApplicationPermission {
  readonly run: boolean;
  readonly allowedClient: boolean;
  /** Undefined: every scope that the application knows. */
  readonly scopes?: readonly string[] | undefined;
}

/** What each service user may do, by its UUID, so that renaming a user takes nothing away from it. */
export class Permissions {
  readonly #byUuid: ReadonlyMap<string, ServiceUserConfiguration>;

  constructor(serviceUsers: Iterable<readonly [uuid: string, ServiceUserConfiguration]>) {
    this.#byUuid = new Map(serviceUsers);
  }

  onApplication(applicationId: string, uuid: string): ApplicationPermission | undefined {
    const applications = this.#byUuid.get(uuid)?.applications ?? {};
    return Object.hasOwn(applications, applicationId) ? applications[applicationId] : undefined;
  }

  /** Has the System Administrator role or the User Management right. */
  mayManageUsers(uuid: string): boolean {
    return (this.#byUuid.get(uuid)?.rights.length ?? 0) > 0;
  }
}

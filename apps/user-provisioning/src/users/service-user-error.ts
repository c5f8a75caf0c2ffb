/** A service user is a machine that has its rights and its secret from an administrator, and that others rely on. */
export class ServiceUserError extends Error {
  readonly code = 'SERVICE_USER';

  constructor(name: string) {
    super(`${name} is a service user. Those are changed and deleted in the tenant's admin portal, and not here.`);
    this.name = 'ServiceUserError';
  }
}

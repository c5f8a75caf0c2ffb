/** Where the tenant is reached, which is known once it listens. It is part of every issuer and every endpoint. */
export class TenantAddress {
  /** Without a slash at its end. */
  url = '';

  /** The issuer of an application's tokens. It ends in a slash. */
  issuerOf(applicationId: string): string {
    return `${this.url}/${applicationId}/`;
  }
}

/** Injection token of the {@link TenantConfiguration}. */
export const TENANT_CONFIGURATION = Symbol('TENANT_CONFIGURATION');

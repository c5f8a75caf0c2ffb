import { z } from 'zod';
import { aFunction, type OptionFault, optionFaults, quantity } from '../foundation/option-check.js';
import type { ClientOptions } from './client-options.js';

/** One client per tenant, for services with many customers. */
export interface TenantsOptions {
  /**
   * Returns the options of a tenant's client. Runs when a call first names the tenant, and again after the client was
   * evicted. Throw for a tenant that does not exist: the call fails with that error. If it takes longer than 10 s, the
   * call fails with `TokenUnavailableError`.
   */
  readonly perTenant: (tenant: string) => ClientOptions | Promise<ClientOptions>;
  /** Maximum number of cached clients. The least recently used ones are evicted. Default: 100. */
  readonly maxTenants?: number;
  /** How long an idle client stays cached, in seconds. Default: 3,600. */
  readonly idleSeconds?: number;
}

/** {@link TenantsOptions}, checked, with every default filled in. */
export type TenantsConfiguration = Readonly<ReturnType<typeof tenantsConfiguration>>;

const schema = z.strictObject({
  perTenant: aFunction('a function that returns the options of a tenant’s client'),
  maxTenants: quantity('tenants', 1, 100_000).optional(),
  idleSeconds: quantity('seconds', 1, 604_800).optional(),
});

export function isTenantsOptions(options: unknown): options is TenantsOptions {
  return typeof options === 'object' && options !== null && 'perTenant' in options;
}

export function tenantsFaults(options: TenantsOptions, root: string): OptionFault[] {
  return optionFaults(schema, options, root);
}

/** @param options Free of faults. */
export function tenantsConfiguration(name: string, options: TenantsOptions) {
  return {
    name,
    /** Its result is not checked yet. */
    resolve: options.perTenant as (tenant: string) => unknown,
    maxTenants: options.maxTenants ?? 100,
    idleMs: (options.idleSeconds ?? 3600) * 1000,
  };
}

import { z } from 'zod';
import { aFunction, type OptionFault, optionFaults, quantity } from '../foundation/option-check.js';
import type { ClientOptions } from './client-options.js';

/** A client of each of many tenants of an identity provider, for services that serve many customers. */
export interface TenantsOptions {
  /**
   * Options of the client at a tenant. Asked once for each tenant that a call names, and again after the client was
   * dropped. What it throws fails the call: so should it for a tenant that does not exist.
   */
  readonly perTenant: (tenant: string) => ClientOptions | Promise<ClientOptions>;
  /** Most tenants whose clients are kept at once; the least used ones give way. Default: 100. */
  readonly maxTenants?: number;
  /** How long an unused client is kept, in seconds. Default: 3,600. */
  readonly idleSeconds?: number;
}

/** {@link TenantsOptions}, checked and with every default filled in. */
export interface TenantsConfiguration {
  readonly name: string;
  readonly resolve: (tenant: string) => unknown;
  readonly maxTenants: number;
  readonly idleMs: number;
}

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
export function tenantsConfiguration(name: string, options: TenantsOptions): TenantsConfiguration {
  return {
    name,
    resolve: options.perTenant,
    maxTenants: options.maxTenants ?? 100,
    idleMs: (options.idleSeconds ?? 3600) * 1000,
  };
}

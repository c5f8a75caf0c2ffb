import { z } from 'zod';
import { field, type OptionFault, optionFaults } from '../foundation/option-check.js';
import { clientFaults } from './client-faults.js';
import { type ClientConfiguration, clientConfiguration, type ClientOptions } from './client-options.js';
import { IdentityM2MConfigurationError } from './configuration-error.js';
import { type GuardConfiguration, guardConfiguration } from './guard-configuration.js';
import { guardFaults } from './guard-faults.js';
import type { GuardOptions } from './guard-options.js';
import { placeOf } from './option-places.js';
import {
  isTenantsOptions,
  type TenantsConfiguration,
  tenantsConfiguration,
  tenantsFaults,
  type TenantsOptions,
} from './tenants-options.js';

/** Options of `IdentityM2MModule`. */
export interface IdentityM2MOptions {
  /** Gets the tokens of outgoing calls. Default: no outbound side, or only the `clients`. */
  readonly client?: ClientOptions;
  /** Further clients, by name. Each has its own tokens, state and allowed origins. Default: none. */
  readonly clients?: Readonly<Record<string, ClientOptions | TenantsOptions>>;
  /** Which callers the guard allows. Default: no inbound side, and `M2MAuthGuard` refuses every caller. */
  readonly guard?: GuardOptions;
}

/** Makes the options, for `forRootAsync({ useClass })` and `{ useExisting }`. */
export interface IdentityM2MOptionsFactory {
  createIdentityM2MOptions(): IdentityM2MOptions | Promise<IdentityM2MOptions>;
}

/** The module's options, checked and with every default filled in. */
export interface IdentityM2MConfiguration {
  readonly clients: readonly ClientConfiguration[];
  readonly tenants: readonly TenantsConfiguration[];
  readonly guard?: GuardConfiguration;
}

/** What the name of a client is, in words. */
export const CLIENT_NAME = 'of letters, digits, _ . and -';

// What the rooms' options hold is judged by the rooms.
const schema = z.strictObject({
  client: z.unknown().optional(),
  clients: field<object>(
    `an object of clients by their names, ${CLIENT_NAME}`,
    (value) => isObject(value) && Object.keys(value).every(isClientName),
  ).optional(),
  guard: z.unknown().optional(),
});

/**
 * Turns the options as a user wrote them into a checked configuration.
 *
 * @param production Whether shortcuts for development are out of place.
 * @throws {@link IdentityM2MConfigurationError} with every wrong field at once.
 */
export function checkOptions(options: IdentityM2MOptions | undefined, production: boolean): IdentityM2MConfiguration {
  // A factory may have returned anything.
  const { client, clients: given, guard } = options ?? {};
  const named = isObject(given) ? given : {};
  const faults: OptionFault[] = optionFaults(schema, options, '', placeOf);
  const clients = Object.entries(named);
  if (client !== undefined) faults.push(...clientFaults(client, 'client', production));
  for (const [name, one] of clients) {
    const root = `clients.${name}`;
    faults.push(...(isTenantsOptions(one) ? tenantsFaults(one, root) : clientFaults(one, root, production)));
  }
  if (client !== undefined && Object.hasOwn(named, 'default')) {
    faults.push({ path: 'clients.default', expected: 'another name, because client is the default', found: 'both' });
  }
  if (guard !== undefined) faults.push(...guardFaults(guard, 'guard', production));
  if (client === undefined && clients.length === 0 && guard === undefined && faults.length === 0) {
    faults.push({ path: 'client', expected: 'a client, a guard, or both', found: 'neither' });
  }
  if (faults.length > 0) throw new IdentityM2MConfigurationError(faults);
  const single = clients.flatMap(([name, one]) => (isTenantsOptions(one) ? [] : [[name, one] as const]));
  return {
    clients: [...(client ? [['default', client] as const] : []), ...single].map(([name, one]) =>
      clientConfiguration(name, one, production),
    ),
    tenants: clients.flatMap(([name, one]) => (isTenantsOptions(one) ? [tenantsConfiguration(name, one)] : [])),
    ...(guard && { guard: guardConfiguration(guard, production) }),
  };
}

/** Whether a value can be the name of a client. */
export function isClientName(value: unknown): boolean {
  return typeof value === 'string' && /^[\w.-]{1,64}$/.test(value);
}

function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null;
}

/**
 * The same for the options of one client.
 *
 * @throws {@link IdentityM2MConfigurationError} with every wrong field at once.
 */
export function checkClientOptions(name: string, options: ClientOptions, production: boolean): ClientConfiguration {
  const faults = clientFaults(options, `clients.${name}`, production);
  if (faults.length > 0) throw new IdentityM2MConfigurationError(faults);
  return clientConfiguration(name, options, production);
}

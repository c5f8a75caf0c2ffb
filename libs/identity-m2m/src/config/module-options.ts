import { z } from 'zod';
import { aFunction, field, flag, type OptionFault, optionFaults } from '../foundation/option-check.js';
import { clientFaults } from './client-faults.js';
import { type ClientConfiguration, clientConfiguration, type ClientOptions, clientSchema } from './client-options.js';
import { IdentityM2MConfigurationError } from './configuration-error.js';
import {
  type GuardConfiguration,
  guardConfiguration,
  guardFaults,
  type GuardOptions,
  guardSchema,
} from './guard-options.js';
import {
  isTenantsOptions,
  type TenantsConfiguration,
  tenantsConfiguration,
  tenantsFaults,
  type TenantsOptions,
} from './tenants-options.js';

/** Options of `IdentityM2MModule`. */
export interface IdentityM2MOptions {
  /** The default client, which gets the tokens of outgoing calls. Default: none. */
  readonly client?: ClientOptions;
  /** Further clients, by name. Each has its own tokens, state and allowed origins. Default: none. */
  readonly clients?: Readonly<Record<string, ClientOptions | TenantsOptions>>;
  /** Options of `M2MAuthGuard`: which callers it allows. Required if the application uses the guard. */
  readonly guard?: GuardOptions;
}

/** Creates the options, for `forRootAsync({ useClass })` and `{ useExisting }`. */
export interface IdentityM2MOptionsFactory {
  createIdentityM2MOptions(): IdentityM2MOptions | Promise<IdentityM2MOptions>;
}

/**
 * Options next to those of `forRoot` and `forRootAsync`: where the module's exports are visible, and where its guard
 * applies.
 */
export interface IdentityM2MModuleExtras {
  /** Makes the exports available in every module. Default: false. */
  readonly isGlobal?: boolean;
  /**
   * Puts `M2MAuthGuard` on every route and every message handler, including those of microservices connected without
   * `inheritAppConfig`. Default: false.
   */
  readonly globalGuard?: boolean;
}

/** The module's options, checked, with every default filled in. */
export interface IdentityM2MConfiguration {
  readonly clients: readonly ClientConfiguration[];
  readonly tenants: readonly TenantsConfiguration[];
  readonly guard?: GuardConfiguration;
}

/** Name of the client that is used if none is named. */
export const DEFAULT_CLIENT = 'default';

const CLIENT_NAME = '1 to 64 letters, digits, _ . or -';

// client-options.ts and guard-options.ts check the members of these.
const rootFields = {
  client: z.unknown().optional(),
  clients: field<object>(
    `an object of clients by name; a name has ${CLIENT_NAME}`,
    (value) => isObject(value) && Object.keys(value).every(isClientName),
  ).optional(),
  guard: z.unknown().optional(),
};

const schema = z.strictObject(rootFields);

const extras = { isGlobal: flag.optional(), globalGuard: flag.optional() };

const extrasSchema = z.looseObject(extras);

/** Options of `forRootAsync`; Nest checks those without a test here. */
const asyncFields = {
  imports: z.unknown().optional(),
  inject: z.unknown().optional(),
  useFactory: aFunction('a function that returns the options').optional(),
  useClass: aFunction('a class with createIdentityM2MOptions()').optional(),
  useExisting: z.unknown().optional(),
  provideInjectionTokensFrom: z.unknown().optional(),
};

const asyncSchema = z.strictObject({ ...extras, ...asyncFields }).check(({ value, issues }) => {
  const { useFactory, useClass, useExisting } = value;
  if (useFactory !== undefined || useClass !== undefined || (useExisting ?? undefined) !== undefined) return;
  const message = 'a function that returns the options; or useClass, or useExisting';
  issues.push({ code: 'custom', path: ['useFactory'], message, input: value });
});

const featureSchema = z.object({ client: field<string>(`the name of a client: ${CLIENT_NAME}`, isClientName) });

const PLACES: readonly (readonly [place: string, fields: object])[] = [
  ['client', clientSchema.shape],
  ['guard', guardSchema.shape],
  ['forRoot', rootFields],
  ['forRoot, or next to useFactory in forRootAsync', extras],
  ['forRootAsync', asyncFields],
];

/** Returns where a misplaced option belongs; undefined if it belongs nowhere. */
function placeOf(option: string): string | undefined {
  const places = PLACES.flatMap(([place, fields]) => (Object.hasOwn(fields, option) ? [place] : []));
  return places.length === 0 ? undefined : places.join(' or ');
}

/** Returns which of the extras of `forRoot` are invalid. */
export function extrasFaults(options: unknown): OptionFault[] {
  return optionFaults(extrasSchema, options);
}

/** Returns what is invalid in the argument of `forRootAsync`. */
export function asyncOptionsFaults(options: unknown): OptionFault[] {
  return optionFaults(asyncSchema, options, 'forRootAsync', placeOf);
}

/** @throws {@link IdentityM2MConfigurationError} if `forFeature` was called without the name of a client. */
export function checkFeature(client: unknown): void {
  throwFaults(optionFaults(featureSchema, { client }, 'forFeature'));
}

/**
 * Checks the module's options and returns its configuration.
 *
 * @param production Whether insecure options for development are rejected.
 * @throws {@link IdentityM2MConfigurationError} with every invalid option.
 */
export function checkOptions(options: IdentityM2MOptions | undefined, production: boolean): IdentityM2MConfiguration {
  // A factory may have returned any value.
  const { client, clients: given, guard } = options ?? {};
  const named = isObject(given) ? given : {};
  const faults: OptionFault[] = optionFaults(schema, options, '', placeOf);
  const clients = Object.entries(named);
  if (client !== undefined) faults.push(...clientFaults(client, 'client', production, placeOf));
  for (const [name, one] of clients) {
    const root = `clients.${name}`;
    faults.push(...(isTenantsOptions(one) ? tenantsFaults(one, root) : clientFaults(one, root, production, placeOf)));
  }
  if (client !== undefined && Object.hasOwn(named, DEFAULT_CLIENT)) {
    const expected = `another name, because the option client is the client named ${DEFAULT_CLIENT}`;
    faults.push({ path: `clients.${DEFAULT_CLIENT}`, expected, found: 'both' });
  }
  if (guard !== undefined) faults.push(...guardFaults(guard, 'guard', production, placeOf));
  if (client === undefined && clients.length === 0 && guard === undefined && faults.length === 0) {
    faults.push({ path: 'client', expected: 'a client, a guard, or both', found: 'neither' });
  }
  throwFaults(faults);
  const single = clients.flatMap(([name, one]) => (isTenantsOptions(one) ? [] : [[name, one] as const]));
  return {
    clients: [...(client ? [[DEFAULT_CLIENT, client] as const] : []), ...single].map(([name, one]) =>
      clientConfiguration(name, one, production),
    ),
    tenants: clients.flatMap(([name, one]) => (isTenantsOptions(one) ? [tenantsConfiguration(name, one)] : [])),
    ...(guard && { guard: guardConfiguration(guard, production) }),
  };
}

/** Checks the options of one client, as {@link checkOptions} does. */
export function checkClientOptions(name: string, options: ClientOptions, production: boolean): ClientConfiguration {
  throwFaults(clientFaults(options, `clients.${name}`, production, placeOf));
  return clientConfiguration(name, options, production);
}

/** Checks the options of a guard by itself, as {@link checkOptions} does. */
export function checkGuardOptions(options: GuardOptions, owner: string, production: boolean): GuardConfiguration {
  throwFaults(guardFaults(options, 'options', production, placeOf), owner);
  return guardConfiguration(options, production);
}

function throwFaults(faults: readonly OptionFault[], owner?: string): void {
  if (faults.length > 0) throw new IdentityM2MConfigurationError(faults, owner);
}

function isClientName(value: unknown): boolean {
  return typeof value === 'string' && /^[\w.-]{1,64}$/.test(value);
}

function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null;
}

import type { ModulesContainer } from '@nestjs/core';
import { z } from 'zod';
import { CLIENT_NAME, isClientName } from './config/module-options.js';
import { IdentityM2MConfigurationError } from './config/configuration-error.js';
import { placeOf } from './config/option-places.js';
import { type OptionFault, optionFaults, aFunction, field, flag } from './foundation/option-check.js';
import { IdentityM2MCoreModule } from './identity-m2m-core.module.js';

type Given = Record<PropertyKey, unknown>;

const extras = { isGlobal: flag.optional(), globalGuard: flag.optional() };

const rootSchema = z.looseObject(extras);

/** Options of `forRootAsync` that Nest judges. */
const OF_NEST = ['imports', 'inject', 'useExisting', 'provideInjectionTokensFrom'];

const asyncSchema = z
  .strictObject({
    ...extras,
    ...Object.fromEntries(OF_NEST.map((option) => [option, z.unknown().optional()])),
    useFactory: aFunction('a function that returns the options').optional(),
    useClass: aFunction('a class with createIdentityM2MOptions()').optional(),
  })
  .check(({ value, issues }) => {
    const { useFactory, useClass, useExisting } = value as Given;
    if (useFactory !== undefined || useClass !== undefined || (useExisting ?? undefined) !== undefined) return;
    const message = 'a function that returns the options; or useClass, or useExisting';
    issues.push({ code: 'custom', path: ['useFactory'], message, input: value });
  });

const nameSchema = z.object({ client: field<string>(`the name of a client, ${CLIENT_NAME}`, isClientName) });

/** What is wrong with the argument of `forRoot` beyond what the options say. */
export function rootFaults(options: unknown): OptionFault[] {
  return optionFaults(rootSchema, options);
}

/** What is wrong with the argument of `forRootAsync`. */
export function asyncRootFaults(options: unknown): OptionFault[] {
  return optionFaults(asyncSchema, options, 'forRootAsync', placeOf);
}

/** @throws {@link IdentityM2MConfigurationError} Always: the class by itself was imported. */
export function refuseBareImport(): never {
  const expected = 'IdentityM2MModule.forRoot(…), forRootAsync(…) or forFeature(…)';
  throw new IdentityM2MConfigurationError([{ path: 'imports', expected, found: 'IdentityM2MModule by itself' }]);
}

/** @throws {@link IdentityM2MConfigurationError} where `forFeature` has no name of a client, or nothing to be a feature of. */
export function requireRoot(modules: ModulesContainer, client: unknown): void {
  const faults = optionFaults(nameSchema, { client }, 'forFeature');
  if (faults.length > 0) throw new IdentityM2MConfigurationError(faults);
  if ([...modules.values()].some(({ metatype }) => metatype === IdentityM2MCoreModule)) return;
  const expected = `IdentityM2MModule.forRoot(…) in the application's main module, because forFeature('${String(client)}') is imported`;
  throw new IdentityM2MConfigurationError([{ path: 'forRoot', expected, found: 'nothing' }]);
}

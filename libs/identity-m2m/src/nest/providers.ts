import type { ModulesContainer } from '@nestjs/core';

/** A module of an application, as Nest keeps it. */
export type ApplicationModule = ModulesContainer extends Map<string, infer Each> ? Each : never;

/** What Nest keeps of a provider, controller or guard: its class or factory, its instance, and what was injected. */
export interface ProviderWrapper {
  readonly name: unknown;
  readonly token: unknown;
  readonly metatype: unknown;
  readonly instance: unknown;
  getCtorMetadata(): readonly (ProviderWrapper | undefined)[] | undefined;
  getPropertiesMetadata(): readonly { readonly wrapper: ProviderWrapper }[] | undefined;
}

type Kind = 'providers' | 'controllers' | 'injectables';

/**
 * Lists what Nest keeps of a module's members of these kinds. `injectables` are guards, filters, pipes and
 * interceptors.
 */
export function wrappersOf(module: ApplicationModule, kinds: readonly Kind[]): ProviderWrapper[] {
  return kinds.flatMap((kind) => [...(module[kind].values() as Iterable<ProviderWrapper>)]);
}

/** Lists what was injected into a provider, through its constructor and its properties. */
export function injectedInto(wrapper: ProviderWrapper): (ProviderWrapper | undefined)[] {
  return [
    ...(wrapper.getCtorMetadata() ?? []),
    ...(wrapper.getPropertiesMetadata() ?? []).map((property) => property.wrapper),
  ];
}

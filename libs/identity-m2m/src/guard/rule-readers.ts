import type { ModulesContainer } from '@nestjs/core';
import { M2MAuthGuard } from './m2m-auth.guard.js';

/** What Nest keeps of a provider: its class or factory, what was made of it, and what was injected. */
export interface ProviderWrapper {
  readonly token: unknown;
  readonly metatype: unknown;
  readonly instance: unknown;
  getCtorMetadata(): readonly (ProviderWrapper | undefined)[] | undefined;
  getPropertiesMetadata(): readonly { readonly wrapper: ProviderWrapper }[] | undefined;
}

/** Whether a guard, as a class or an object, is `M2MAuthGuard` or derived from it. */
export function isM2MAuthGuard(guard: unknown): boolean {
  return guard instanceof M2MAuthGuard || guard === M2MAuthGuard || isDerived(guard);
}

function isDerived(guard: unknown): boolean {
  return typeof guard === 'function' && guard.prototype instanceof M2MAuthGuard;
}

/**
 * The guards of an application that check access rules: `M2MAuthGuard`, and guards of the application's own that have it
 * injected, directly or by what they have injected.
 */
export class RuleReaders {
  readonly #wrappers: readonly ProviderWrapper[];
  readonly #known = new Map<unknown, boolean>();

  constructor(modules: ModulesContainer) {
    this.#wrappers = [...modules.values()].flatMap(({ providers, injectables }) => [
      ...(providers.values() as Iterable<ProviderWrapper>),
      ...(injectables.values() as Iterable<ProviderWrapper>),
    ]);
  }

  /** @param guard A class, an object, or what Nest keeps of a guard that is made for each request. */
  include(guard: unknown): boolean {
    let isReader = this.#known.get(guard);
    if (isReader === undefined) this.#known.set(guard, (isReader = isM2MAuthGuard(guard) || this.#isGivenOne(guard)));
    return isReader;
  }

  #isGivenOne(guard: unknown): boolean {
    if ((typeof guard !== 'object' && typeof guard !== 'function') || guard === null) return false;
    const wrappers = this.#wrappers.filter((each) => [each, each.token, each.metatype, each.instance].includes(guard));
    return wrappers.some((each) => leadsToGuard(each)) || Object.values(guard).some(isM2MAuthGuard);
  }
}

function leadsToGuard(wrapper: ProviderWrapper, seen = new Set<ProviderWrapper>()): boolean {
  // A test may have put something else in the place of the guard's instance.
  if (isM2MAuthGuard(wrapper.token) || isM2MAuthGuard(wrapper.metatype)) return true;
  if (seen.has(wrapper)) return false;
  seen.add(wrapper);
  const injected = [
    ...(wrapper.getCtorMetadata() ?? []),
    ...(wrapper.getPropertiesMetadata() ?? []).map((property) => property.wrapper),
  ];
  return injected.some((each) => each !== undefined && leadsToGuard(each, seen));
}

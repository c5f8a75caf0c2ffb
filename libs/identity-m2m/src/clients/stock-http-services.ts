import { HttpService } from '@nestjs/axios';
import type { ModulesContainer } from '@nestjs/core';
import { type ApplicationModule, injectedInto, type ProviderWrapper, wrappersOf } from '../nest/providers.js';
import type { OriginDecision } from '../token/allowed-origins.js';
import { M2MHttpService } from './http-service.js';

/**
 * Names the providers and controllers that Nest gave the `HttpService` of `HttpModule` although that of a client is to be
 * had in their module too: their calls go out without a token. To be called while modules are initialised.
 *
 * One with a base address that no token is bound to, in any scheme or path, is meant to go without.
 *
 * @param explain Whether a token is bound to an address.
 */
export function stockHttpServices(modules: ModulesContainer, explain: (url: string) => OriginDecision): string[] {
  const isMeant = (http: HttpService) => {
    const { baseURL } = http.axiosRef.defaults;
    return baseURL !== undefined && explain(baseURL).reason === 'origin_not_allowed';
  };
  return [...modules.values()].flatMap((module) => {
    const users = wrappersOf(module, ['providers', 'controllers', 'injectables']).filter((user) =>
      injectedInto(user).some((one) => isStock(one) && !isMeant(one.instance)),
    );
    return users.length > 0 && hasClientService(module.imports)
      ? users.map(({ name }) => `${String(name)} (${module.name})`)
      : [];
  });
}

/** Not one that the application made itself, or that a test has put in its place. */
function isStock(
  wrapper: ProviderWrapper | undefined,
): wrapper is ProviderWrapper & { readonly instance: HttpService } {
  if (wrapper?.token !== HttpService || wrapper.metatype !== HttpService) return false;
  return (wrapper.instance as HttpService | undefined)?.constructor === HttpService;
}

/** Whether a module finds the `HttpService` of a client in its imports, which global modules are among. */
function hasClientService(imports: Iterable<ApplicationModule>, seen = new Set<ApplicationModule>()): boolean {
  for (const module of imports) {
    if (seen.has(module)) continue;
    seen.add(module);
    if (module.exports.has(HttpService) && module.providers.get(HttpService)?.instance instanceof M2MHttpService) {
      return true;
    }
    const exported = [...module.imports].filter(({ metatype }) => module.exports.has(metatype));
    if (hasClientService(exported, seen)) return true;
  }
  return false;
}

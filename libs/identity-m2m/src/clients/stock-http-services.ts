import { HttpService } from '@nestjs/axios';
import type { ModulesContainer } from '@nestjs/core';
import { type ApplicationModule, injectedInto, type ProviderWrapper, wrappersOf } from '../nest/providers.js';
import type { OriginDecision } from '../token/allowed-origins.js';
import { M2MHttpService } from './http-service.js';

/**
 * Returns the names of providers and controllers that got the `HttpService` of `HttpModule` although their module also
 * imports that of a client, so that their calls carry no token. Call it while modules are initialised.
 *
 * Leaves out an `HttpService` whose base URL is no client's allowed origin: it needs no token.
 *
 * @param explain Returns whether a client may send its token to an address.
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

/** Excludes an `HttpService` that the application made itself or a test has replaced. */
function isStock(
  wrapper: ProviderWrapper | undefined,
): wrapper is ProviderWrapper & { readonly instance: HttpService } {
  if (wrapper?.token !== HttpService || wrapper.metatype !== HttpService) return false;
  return (wrapper.instance as HttpService | undefined)?.constructor === HttpService;
}

/** Whether a module's imports, including global modules, export the `HttpService` of a client. */
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

import type { AxiosRequestConfig } from 'axios';
import type { GetTokenOptions } from '../../token/token-provider.js';

/** Which token a call is to carry. What is not said is as in the client's options. */
export interface CallTokenOptions extends Omit<GetTokenOptions, 'signal'> {
  /** Another client of the module's configuration, whose token and whose bound places hold for this call. */
  readonly client?: string;
  /** Which tenant, where the client is one of many tenants. */
  readonly tenant?: string;
}

/**
 * The option's name among those of axios, which hands on what it does not know.
 *
 * Not declared as a member of axios' own type: the type's parameters differ between axios versions, and a declaration
 * that fits one does not compile with another.
 */
const OPTION = 'm2m';

/**
 * Makes one call carry a token other than the client's usual one.
 *
 * @example http.get('/reports', withToken({ scope: 'reports.read', minTtlSeconds: 120 }, { params: { year: 2026 } }))
 */
export function withToken<Config extends AxiosRequestConfig>(options: CallTokenOptions, config?: Config): Config {
  return { ...config, [OPTION]: { token: options } } as Config & Record<typeof OPTION, object>;
}

/**
 * Makes one call go out without a token, wherever it goes.
 *
 * @example http.get('/.well-known/status', withoutToken({ params: { verbose: true } }))
 */
export function withoutToken<Config extends AxiosRequestConfig>(config?: Config): Config {
  return { ...config, [OPTION]: { token: false } } as Config & Record<typeof OPTION, object>;
}

/** Whether the call was made {@link withoutToken}. */
export function isWithoutToken(config: AxiosRequestConfig): boolean {
  return optionOf(config) === false;
}

/** What the call was made {@link withToken}; undefined for the usual one. */
export function wantedToken(config: AxiosRequestConfig): CallTokenOptions | undefined {
  return optionOf(config) || undefined;
}

function optionOf(config: AxiosRequestConfig): CallTokenOptions | false | undefined {
  return (config as { [OPTION]?: { token: CallTokenOptions | false } })[OPTION]?.token;
}

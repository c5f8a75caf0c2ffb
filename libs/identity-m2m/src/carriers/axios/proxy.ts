import axios, { type AxiosProxyConfig, type InternalAxiosRequestConfig } from 'axios';

/** What axios does with proxies on a call, as far as the token is concerned. */
export type ProxyChoice =
  /** No proxy reads the call. */
  | 'as it is'
  /** The environment may name a proxy that would read the call; it must not be asked. */
  | 'direct'
  /** The application chose a proxy that would read the call, and the token is not bound to that proxy. */
  | 'refused';

/**
 * Judges the proxies of a call that is to carry a token.
 *
 * For https a proxy is asked for a tunnel and sees no more than the name of the host. For plain http it is sent the whole
 * call, token and all: it is a receiver like another, to which the token has to be bound.
 */
export function proxyChoice(
  { proxy }: Pick<InternalAxiosRequestConfig, 'proxy'>,
  url: string,
  isAllowed: (url: string) => boolean,
): ProxyChoice {
  if (proxy === false || (/^https:/i.test(url) && tunnels())) return 'as it is';
  if (!proxy) return 'direct';
  // axios itself goes by a member `hostname` first, which its types do not know: a URL may be given.
  const { protocol = 'http', host, hostname = host, port } = proxy as AxiosProxyConfig & { hostname?: string };
  const name = hostname.includes(':') && !hostname.startsWith('[') ? `[${hostname}]` : hostname;
  return isAllowed(`${protocol.replace(/:$/, '')}://${name}:${port}/`) ? 'as it is' : 'refused';
}

/**
 * Before 1.16.1, axios sent calls to https addresses to the proxy as they were, unencrypted (axios#6320). A mock of axios
 * may have no version, and is asked for none before there is a call.
 */
function tunnels(): boolean {
  doesTunnel ??= isSince(1, 16, 1);
  return doesTunnel;
}

let doesTunnel: boolean | undefined;

function isSince(...wanted: readonly number[]): boolean {
  const found = axios.VERSION.split(/[.-]/).map(Number);
  const differing = wanted.findIndex((part, index) => part !== found[index]);
  return differing === -1 || found[differing]! > wanted[differing]!;
}

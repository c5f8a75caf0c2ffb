/**
 * Whether a host name means this machine: `localhost` and its subdomains (RFC 6761 §6.3), 127.0.0.0/8 and ::1.
 *
 * @param hostname As the WHATWG URL parser writes it: lower case, an IPv6 address in brackets.
 */
export function isLoopbackHost(hostname: string): boolean {
  return (
    hostname === 'localhost' ||
    hostname.endsWith('.localhost') ||
    hostname === '[::1]' ||
    /^127\.\d{1,3}\.\d{1,3}\.\d{1,3}$/.test(hostname)
  );
}

/** Where plain http is allowed. */
export type PlainHttp = 'never' | 'loopback' | 'anywhere';

/** Why a credential must not be sent to an address. */
export type UrlFault = 'not_a_url' | 'not_http' | 'plain_http' | 'has_userinfo';

/**
 * Checks an address that a secret or a token is sent to, or keys are read from. Returns undefined if it is safe.
 *
 * TLS proves the identity of the other side (RFC 6749 §3.2, RFC 6750 §5.2), so plain http has to be allowed. Other
 * schemes, and credentials inside the address, are never safe.
 */
export function urlFault(text: string, plainHttp: PlainHttp): UrlFault | undefined {
  const url = parseUrl(text);
  if (!url) return 'not_a_url';
  if (url.username !== '' || url.password !== '') return 'has_userinfo';
  if (url.protocol === 'https:') return undefined;
  if (url.protocol !== 'http:') return 'not_http';
  if (plainHttp === 'anywhere' || (plainHttp === 'loopback' && isLoopbackHost(url.hostname))) return undefined;
  return 'plain_http';
}

/**
 * Parses a URL; returns undefined for an invalid one.
 *
 * Does not use `URL.canParse`: once optimised, that of Node.js 20 rejects strings with letters beyond ASCII, which the
 * parser accepts.
 */
export function parseUrl(text: string, base?: string | URL): URL | undefined {
  try {
    return new URL(text, base);
  } catch {
    return undefined;
  }
}

/** Returns where plain http is allowed: loopback during development, and any host only if the options allow it. */
export function allowedPlainHttp(isAllowedAnywhere: boolean | undefined, production: boolean): PlainHttp {
  if (isAllowedAnywhere) return 'anywhere';
  return production ? 'never' : 'loopback';
}

/** Headers that HTTP itself sets, that are for a proxy, or that hold a proof of possession. */
const RESERVED = [
  'content-type',
  'content-length',
  'content-encoding',
  'host',
  'connection',
  'keep-alive',
  'transfer-encoding',
  'te',
  'trailer',
  'upgrade',
  'expect',
  'accept-encoding',
  'proxy-authorization',
  'proxy-connection',
  'dpop',
];

/** RFC 9110 §5.1: a name is a token (§5.6.2). Names of authentication schemes are as well (§11.1). */
export function isHeaderName(name: string): boolean {
  return /^[\w!#$%&'*+.^`|~-]{1,100}$/.test(name);
}

/** Whether an application must not set a header, however its name is spelt. */
export function isReservedHeader(name: string): boolean {
  return RESERVED.includes(name.toLowerCase());
}

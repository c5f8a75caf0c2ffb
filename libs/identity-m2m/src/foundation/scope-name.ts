/** Whether a text is one scope (RFC 6749 §3.3): printable ASCII without blank, quote and backslash. */
export function isScopeName(name: unknown): name is string {
  return typeof name === 'string' && /^[\x21\x23-\x5b\x5d-\x7e]+$/.test(name);
}

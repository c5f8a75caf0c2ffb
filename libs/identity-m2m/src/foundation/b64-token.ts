/**
 * What an opaque access token may consist of: the visible characters of RFC 6749 app. A.12 that a header field takes as they
 * are, but for the comma, which may come of two fields that were joined (RFC 9110 §5.3).
 */
export function isOpaqueToken(text: string): boolean {
  return text !== '' && !/[^\x21-\x2b\x2d-\x7e]/.test(text);
}

/** `b64token` of RFC 6750 §2.1. One search through the text: a pattern of the whole would remember a way back at each step. */
export function isB64Token(text: string): boolean {
  if (text === '' || /[^A-Za-z0-9\-._~+/=]/.test(text)) return false;
  const padding = text.indexOf('=');
  return padding < 0 || (padding > 0 && /^=+$/.test(text.slice(padding)));
}

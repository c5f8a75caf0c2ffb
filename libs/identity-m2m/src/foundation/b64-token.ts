/** `b64token` of RFC 6750 §2.1. One search through the text: a pattern of the whole would remember a way back at each step. */
export function isB64Token(text: string): boolean {
  if (text === '' || /[^A-Za-z0-9\-._~+/=]/.test(text)) return false;
  const padding = text.indexOf('=');
  return padding < 0 || (padding > 0 && /^=+$/.test(text.slice(padding)));
}

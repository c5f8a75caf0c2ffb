/** Encoding of the client id and the secret in Basic credentials. */
export type BasicEncoding =
  /** Form-encoded, as RFC 6749 §2.3.1 requires. */
  | 'form'
  /** Unencoded (RFC 7617). */
  | 'raw';

/** Returns the value of an `Authorization` header with the client's id and secret. */
export function basicAuthorization(clientId: string, secret: string, encoding: BasicEncoding): string {
  const [user, password] = [clientId, secret].map(encoding === 'form' ? formEncoded : String);
  return `Basic ${Buffer.from(`${user}:${password}`, 'utf8').toString('base64')}`;
}

/**
 * Form-encodes an id or a secret (RFC 6749 appendix B), except for the unreserved characters of RFC 3986 §2.3 and the
 * star. Many servers decode nothing, and then only unencoded characters work.
 */
function formEncoded(text: string): string {
  return new URLSearchParams([['', text]]).toString().slice(1).replaceAll('%7E', '~');
}

/** How the halves of Basic credentials are written. */
export type BasicEncoding =
  /** Form-encoded first, as RFC 6749 §2.3.1 demands. */
  | 'form'
  /** As they are, as RFC 7617 has it. */
  | 'raw';

/** The value of an `Authorization` header by which a client shows its secret. */
export function basicAuthorization(clientId: string, secret: string, encoding: BasicEncoding): string {
  const [user, password] = [clientId, secret].map(encoding === 'form' ? formEncoded : String);
  return `Basic ${Buffer.from(`${user}:${password}`, 'utf8').toString('base64')}`;
}

/**
 * Encodes a half of Basic credentials (RFC 6749 appendix B), and leaves alone what need not be encoded: the unreserved
 * characters of RFC 3986 §2.3 and the star. Many servers decode nothing, so that this is the only form of an ordinary id
 * or secret that all of them understand.
 */
function formEncoded(text: string): string {
  return new URLSearchParams([['', text]]).toString().slice(1).replaceAll('%7E', '~');
}

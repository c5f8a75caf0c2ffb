/**
 * The forms in which a secret can be written down: as it is, encoded for forms, addresses, Basic and JSON, and its last
 * characters, which are as good as the whole where somebody cuts a line at its beginning.
 */
export function secretSpellings(secret: string): string[] {
  const form = new URLSearchParams([['', secret]]).toString().slice(1);
  const spellings = [
    secret,
    form,
    encodeURIComponent(secret),
    JSON.stringify(secret).slice(1, -1),
    Buffer.from(secret).toString('base64'),
    Buffer.from(secret).toString('base64url'),
    Buffer.from(secret).toString('hex'),
    // As `util.inspect` shows bytes.
    [...Buffer.from(secret)].map((byte) => byte.toString(16).padStart(2, '0')).join(' '),
    [...Buffer.from(secret)].join(', '),
  ];
  return [...new Set(spellings.flatMap((text) => [text, text.slice(0, 20), text.slice(-20)]))];
}

/** The `Authorization` values by which a client shows its secret (RFC 6749 §2.3.1), without the word Basic. */
export function basicCredentials(clientId: string, secret: string): string[] {
  const form = (text: string) => new URLSearchParams([['', text]]).toString().slice(1);
  const pairs = [`${clientId}:${secret}`, `${form(clientId)}:${form(secret)}`];
  return pairs.map((pair) => Buffer.from(pair).toString('base64'));
}

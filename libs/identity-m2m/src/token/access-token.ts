import { SensitiveValue, tokenFingerprint } from '../foundation/sensitive-value.js';

/** Type of an access token (RFC 6750, RFC 9449), as written in the `Authorization` header. */
export type AccessTokenType = 'Bearer' | 'DPoP';

/** Maximum length of an access token, in characters. Common servers accept headers of at most 8 to 16 KiB. */
export const MAX_ACCESS_TOKEN_LENGTH = 32_768;

/**
 * An access token (RFC 6749 §1.4), which is opaque to the client.
 *
 * Printing, logging or serialising it shows only its fingerprint; see {@link SensitiveValue}.
 */
export class AccessToken extends SensitiveValue {
  readonly #authorizationHeader: string;

  /**
   * @param scope The granted scope, if the authorization server returned it (RFC 6749 §5.1).
   * @throws TypeError for a string that cannot be a token, because it goes into headers unchanged.
   */
  constructor(
    text: string,
    readonly tokenType: AccessTokenType = 'Bearer',
    readonly scope?: string,
  ) {
    if (!isAccessTokenText(text)) throw new TypeError(NO_ACCESS_TOKEN);
    super(text, tokenFingerprint(text));
    this.#authorizationHeader = `${tokenType} ${text}`;
  }

  /** Returns the value for an `Authorization` header: the token type, a space and the token (RFC 6750 §2.1). */
  revealAuthorizationHeader(): string {
    return this.#authorizationHeader;
  }
}

const NO_ACCESS_TOKEN = `An access token is 1 to ${MAX_ACCESS_TOKEN_LENGTH} visible ASCII characters, without spaces.`;

/**
 * Returns whether a string may be an access token: visible ASCII without spaces (RFC 6749 appendix A.12), and not too
 * long.
 *
 * RFC 6750 §2.1 allows fewer characters, but tokens of large issuers contain a vertical bar or an exclamation mark. The
 * excluded characters can't be in a header unchanged. So a token endpoint can't inject line breaks into later calls.
 */
export function isAccessTokenText(text: string): boolean {
  return text.length <= MAX_ACCESS_TOKEN_LENGTH && /^[\x21-\x7e]+$/.test(text);
}

/** The header of outgoing HTTP calls that carries the token. */
export class TokenHeader {
  /** The name in lower case. */
  readonly key: string;

  /**
   * @param name The name as sent.
   * @param scheme Prefix of a bearer token; an empty string for none. Default: the token's type (RFC 6750 §2.1).
   */
  constructor(
    readonly name: string,
    private readonly scheme?: string | undefined,
  ) {
    this.key = name.toLowerCase();
  }

  /**
   * Returns the header's value. A DPoP token keeps its scheme, which makes the receiver expect a proof (RFC 9449 §7.1).
   */
  revealValue(token: AccessToken): string {
    if (this.scheme === undefined || token.tokenType !== 'Bearer') return token.revealAuthorizationHeader();
    return this.scheme === '' ? token.reveal() : `${this.scheme} ${token.reveal()}`;
  }
}

export const AUTHORIZATION_HEADER = new TokenHeader('Authorization');

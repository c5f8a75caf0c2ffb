import { SensitiveValue, tokenFingerprint } from '../foundation/sensitive-value.js';

/** How an access token is presented (RFC 6750, RFC 9449), in the spelling that goes into the header. */
export type AccessTokenType = 'Bearer' | 'DPoP';

/** Longest access token accepted, in characters. Common servers take no header longer than 8 to 16 KiB. */
export const MAX_ACCESS_TOKEN_LENGTH = 32_768;

/**
 * An access token: what a client shows to a resource server (RFC 6749 §1.4). Opaque to whoever holds it.
 *
 * Printing, logging or serialising it shows its fingerprint; see {@link SensitiveValue}.
 */
export class AccessToken extends SensitiveValue {
  readonly #authorizationHeader: string;

  /**
   * @throws TypeError for a string that can be no token: it goes into headers as it stands.
   * @param scope What the authorization server says it granted, where it says so (RFC 6749 §5.1).
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

  /** The value for an `Authorization` header: the token type, a space and the token (RFC 6750 §2.1). */
  revealAuthorizationHeader(): string {
    return this.#authorizationHeader;
  }
}

const NO_ACCESS_TOKEN = `An access token is 1 to ${MAX_ACCESS_TOKEN_LENGTH} visible ASCII characters, without blanks.`;

/**
 * Whether a string may be an access token: visible ASCII (RFC 6749 appendix A.12, without the blank), and not too long.
 *
 * RFC 6750 §2.1 is narrower, and tokens of large issuers have a bar or an exclamation mark in them. What is left out is
 * what a header value can't hold as it stands; it also keeps a token endpoint from writing line breaks into later calls.
 */
export function isAccessTokenText(text: string): boolean {
  return text.length <= MAX_ACCESS_TOKEN_LENGTH && /^[\x21-\x7e]+$/.test(text);
}

/** The header of outgoing HTTP calls that holds the token. */
export class TokenHeader {
  /** The name in lower case. */
  readonly key: string;

  /**
   * @param name As it is sent.
   * @param scheme What stands before a bearer token; an empty string for nothing. Default: the token's type (RFC 6750 §2.1).
   */
  constructor(
    readonly name: string,
    private readonly scheme?: string | undefined,
  ) {
    this.key = name.toLowerCase();
  }

  /** A token that is bound to a key keeps its scheme: it tells the receiver to ask for the proof (RFC 9449 §7.1). */
  revealValue(token: AccessToken): string {
    if (this.scheme === undefined || token.tokenType !== 'Bearer') return token.revealAuthorizationHeader();
    return this.scheme === '' ? token.reveal() : `${this.scheme} ${token.reveal()}`;
  }
}

export const AUTHORIZATION_HEADER = new TokenHeader('Authorization');

import type { AccessToken } from './access-token.js';

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

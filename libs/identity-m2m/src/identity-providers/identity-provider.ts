import type { AssertionAudience } from '../credentials/client-assertion.js';
import type { ClientSecretMethod } from '../credentials/client-secret-authentication.js';
import type { OptionFault } from '../foundation/option-fault.js';
import type { HttpAllowance } from '../foundation/secure-url.js';
import type { TokenResponseReader } from '../token/token-response-reader.js';
import type { AccessTokenProfile } from './access-token-profile.js';

/** A key set as RFC 7517 §5 writes it. */
export interface JsonWebKeySet {
  readonly keys: readonly Readonly<Record<string, unknown>>[];
}

/**
 * What the library knows about an identity provider: where it is, and what is peculiar to it.
 *
 * Made by a preset such as `cyberArkIdentity()` or `genericOAuth2()`.
 */
export interface IdentityProvider {
  /** Its product name, for messages. */
  readonly name: string;
  /** Issuer identifier, to the letter (RFC 8414 §2). */
  readonly issuer?: string | undefined;
  /** Token endpoint; where absent, it is found through the issuer's metadata. */
  readonly tokenEndpoint?: string | undefined;
  /** Revocation endpoint (RFC 7009), where it is known without metadata. */
  readonly revocationEndpoint?: string | undefined;
  /** How a client secret is sent where the client's options do not say. */
  readonly clientSecretMethod: ClientSecretMethod;
  /**
   * Whom assertions that the client signs are addressed to, as their only `aud` (RFC 7523 §3): the issuer, or the endpoint
   * that the request goes to, for servers that accept nothing else. Default: `issuer`.
   */
  readonly assertionAudience?: AssertionAudience | undefined;
  /** Headers that every token request should carry. */
  readonly tokenRequestHeaders: Readonly<Record<string, string>>;
  /** Values of `error` by which its token endpoint refuses the client's credential, besides the standard ones. */
  readonly credentialErrors?: readonly string[];
  /** Reads the answers of its token endpoint, where they have a form of their own. */
  readonly readTokenResponse?: TokenResponseReader | undefined;
  /** The provider's own API, which its tokens are bound to and relative URLs lead to. */
  readonly apiBaseUrl?: string | undefined;
  /** Headers that calls of that API should carry. */
  readonly apiHeaders?: Readonly<Record<string, string>>;
  /** Address of the key set; where absent, it is found through the issuer's metadata. */
  readonly jwksUri?: string | undefined;
  /** Address of the key set where the issuer has no metadata. */
  readonly fallbackJwksUri?: string | undefined;
  /**
   * Address of the key set inside the own network, where the issuer's own can't be reached; takes the place of
   * `jwksUri`. Plain http is allowed for it, in production too: whoever can answer in its place can sign tokens.
   */
  readonly internalJwksUri?: string | undefined;
  /** The key set itself, in place of an address. */
  readonly jwks?: JsonWebKeySet | undefined;
  /** Path of a file with the key set, in place of an address. */
  readonly jwksFile?: string | undefined;
  /** Introspection endpoint (RFC 7662); where absent, it is found through the issuer's metadata. */
  readonly introspectionEndpoint?: string | undefined;
  readonly accessToken: AccessTokenProfile;
  /** What a refusal of the token endpoint means in this product, and where to mend it. */
  readonly hint?: (detail: string) => string | undefined;
  /** What is wrong with the preset's own options; paths are relative to them. */
  readonly faults: (http: HttpAllowance) => readonly OptionFault[];
}

/** An identity provider whose issuer is known: `clients` can be named with it. */
export interface KnownIssuer extends IdentityProvider {
  readonly issuer: string;
}

/** Where keys come from, if they are not found through the issuer's metadata. */
export const KEY_PLACES = ['jwks', 'jwksFile', 'jwksUri', 'internalJwksUri'] as const;

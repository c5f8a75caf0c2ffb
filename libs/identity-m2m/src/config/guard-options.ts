import type { Agent } from 'node:http';
import type { CertificateAuthorities } from '../foundation/tls.js';
import type { CredentialExtractor } from './credential-extractor.js';
import type { StartMode } from '../foundation/start-mode.js';
import type { IdentityProvider } from '../identity-providers/identity-provider.js';
import type { IntrospectionAuthentication, IntrospectionSecret } from '../verification/introspection-authentication.js';
import type { RevocationStore } from '../verification/revocation.js';

/** A client that is let in. */
export interface NamedClient {
  readonly clientId: string;
  /**
   * Issuer of its tokens. Needed where the guard trusts several: a client identifier means something at its own issuer
   * only (RFC 6749 §2.2), and another one may have given it to a different client. A list where the client has the same
   * identifier at each of them because they are one server under several names: both token versions of an Entra ID
   * tenant, a custom domain beside the native one.
   */
  readonly issuer?: string | readonly string[];
  /** Scopes that count when its tokens bring them. Default: all that they bring. */
  readonly scopes?: readonly string[];
  /** When it stops being let in: a date, or a text such as `2027-01-01` or `2027-01-01T08:00:00Z`. Default: never. */
  readonly until?: Date | string;
}

/**
 * How the guard asks an issuer about its tokens (RFC 7662).
 *
 * The answer about an opaque token must have `exp` and `aud` with the guard's `audience`, although the RFC leaves both to
 * the issuer: without them the guard knows neither how long the token is valid nor whether it is meant for this API. Many
 * servers write no `aud` here; the option `hasNoAudience` of the issuer accepts that, from clients that the guard names.
 */
export type IntrospectionOptions = {
  /** Which issuer. Needed where the guard trusts several. */
  readonly issuer?: string;
  /**
   * Whether tokens that can't be read, because they are not signed JWTs, are this issuer's; for one issuer at most.
   * Default: true.
   */
  readonly opaqueTokens?: boolean;
  /** Whether answers must be signed for `clientId` (RFC 9701). Default: false. */
  readonly signedAnswers?: boolean;
} & (
  | {
      /** Client identifier of the guard itself, and its secret, which is sent in the way that the provider wants. */
      readonly clientId: string;
      readonly clientSecret: IntrospectionSecret;
      readonly authenticate?: undefined;
    }
  | {
      /** Any other way to prove the guard. */
      readonly authenticate: IntrospectionAuthentication;
      readonly clientId?: string;
      readonly clientSecret?: undefined;
    }
);

/** An issuer that the resolver accepts. */
export interface ResolvedIssuer {
  /** Its provider, whose `issuer` is the one that was asked about, to the letter. */
  readonly identityProvider: IdentityProvider;
  /**
   * Its clients that may call. Default: every machine that it vouches for; with `clients` in the guard's options none,
   * because these belong to the issuers of the options.
   */
  readonly clients?: readonly (string | Omit<NamedClient, 'issuer'>)[];
}

/**
 * Says at run time whether tokens of an issuer are accepted.
 *
 * Look the identifier up, and build the answer from what you have found: it comes from a token that has not been verified.
 * An answer that is made of the identifier alone trusts everybody.
 *
 * @param issuer `iss` of a token whose form and header are right.
 * @param signal Aborts after 5 s, and when the verifier is closed.
 * @returns The provider of that issuer, alone or with its clients; undefined or null denies it. If this throws, takes
 * longer than 5 s or returns anything else, callers get 503.
 */
export type IssuerResolver = (
  issuer: string,
  signal: AbortSignal,
) =>
  IdentityProvider | ResolvedIssuer | undefined | null | Promise<IdentityProvider | ResolvedIssuer | undefined | null>;

/** Whom the guard lets in. */
export interface GuardOptions {
  /** Whose tokens are accepted. Issuers are compared to the letter. May be empty with an `issuerResolver`. */
  readonly issuers: readonly IdentityProvider[];

  /**
   * Accepts further issuers at run time: where each tenant has one, say. Called once at a time for each issuer, and 16
   * times at once; overload and failures are answered with 503. Default: no issuers but those in `issuers`.
   */
  readonly issuerResolver?: IssuerResolver;

  /**
   * How many of the accepted issuers are kept, 100 by default: those whose tokens were not seen for longest make room for
   * others. And how long an acceptance holds, in seconds, 300 by default; it is renewed before its end while it is in use.
   */
  readonly resolvedIssuers?: { readonly maxIssuers?: number; readonly holdSeconds?: number };

  /** The name of this API in the tokens' `aud` (RFC 7519 §4.1.3): one of these, to the letter. */
  readonly audience: string | readonly string[];

  /**
   * Clients let in; any other is refused even with a good token. Needed where the tokens of an issuer do not tell
   * machines from people. Default: every machine that the issuers vouch for.
   */
  readonly clients?: readonly (string | NamedClient)[];

  /**
   * Issuers that are asked about tokens: about those that can't be read, and about those that come to a handler marked
   * `@Sensitive()`. Default: none; the first kind is refused, and such handlers can't be reached.
   */
  readonly introspection?: readonly IntrospectionOptions[];

  /** What has been taken back, such as `new InMemoryRevocations()`. Default: nothing. */
  readonly revocations?: RevocationStore;

  /**
   * Makes the connections to the issuers: an agent of `node:https`, for networks with an outbound proxy. Default: direct
   * connections, one for each request; proxy settings of the environment are ignored.
   */
  readonly agent?: Agent;

  /**
   * Certificates of the authorities that the issuers' servers are trusted by, in PEM; they take the place of those that
   * Node.js trusts. Used for key sets, discovery and introspection, with any `agent` or none; an `https.Agent` with a `ca`
   * of its own goes before it. Default: the authorities of Node.js and of `NODE_EXTRA_CA_CERTS`.
   */
  readonly ca?: CertificateAuthorities;

  /** How far the clocks of issuer and guard may differ, in seconds, at most 120. Default: 30. */
  readonly clockToleranceSeconds?: number;

  /** Longest life of a token, from `iat` to `exp`, in seconds. Default: any. */
  readonly maxTokenLifetimeSeconds?: number;

  /**
   * Longest access token read, in characters, from 1,024 to 65,536; longer ones are refused as `token_too_long`. Default:
   * 16,384.
   *
   * Tokens that list hundreds of groups may need more. Node.js reads at most 16 KiB of headers for each request
   * (`--max-http-header-size`, or `maxHeaderSize` of the server), so raise that as well.
   */
  readonly maxTokenLength?: number;

  /**
   * How many tokens are remembered whose signature was verified, and how many bytes they may take. Everything but the
   * signature is checked each time all the same. Default: 10,000 tokens, 67,108,864 bytes.
   */
  readonly verifiedTokens?: { readonly maxEntries?: number; readonly maxBytes?: number };

  /**
   * What happens at boot to the key sets of `issuers`, and to the metadata that they are found by. `warm`: they are
   * fetched, again and again until they are there, and the boot does not wait. `require`: the boot waits, and fails
   * without them. `lazy`: the first token has them fetched. Default: `warm`; with `createAccessTokenVerifier` `lazy`.
   */
  readonly start?: StartMode;

  /** How long the boot waits for keys with `start: 'require'`, in milliseconds. Default: 30,000. */
  readonly startTimeoutMs?: number;

  /** Name of the protection space in challenges (RFC 9110 §11.5). Default: none. */
  readonly realm?: string;

  /**
   * The one header of HTTP requests that carries the access token, for services behind a proxy that moves it, and the
   * scheme before the token; an empty scheme where the whole value is the token. The guard then ignores `Authorization`.
   * Messages keep theirs. Default: `{ name: 'authorization', scheme: 'Bearer' }`.
   */
  readonly tokenHeader?: { readonly name: string; readonly scheme?: string };

  /**
   * How calls carry credentials that come by a transport strategy of the application's own, or through
   * `ExternalContextCreator`. Default: such calls are refused.
   */
  readonly extractors?: readonly CredentialExtractor[];

  /** Allows key sets to be read over plain http from any host. Default: loopback outside production. */
  readonly unsafeAllowHttp?: boolean;
}

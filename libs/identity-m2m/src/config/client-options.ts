import type { Agent } from 'node:http';
import type { ClientAuthentication } from '../credentials/client-authentication.js';
import type { ClientSecretMethod } from '../credentials/client-secret-authentication.js';
import type { DpopAlgorithm } from '../credentials/dpop-prover.js';
import type { SecretInput } from '../credentials/secret-source.js';
import type { TokenGrant } from '../credentials/token-grant.js';
import type { CertificateAuthorities } from '../foundation/certificate-authorities.js';
import type { StartMode } from '../foundation/start-mode.js';
import type { IdentityProvider } from '../identity-providers/identity-provider.js';
import type { TokenRequestFormat } from '../token/token-endpoint.js';
import type { TokenParameters } from '../token/token-parameters.js';
import type { TokenRejection } from '../token/token-rejection.js';
import type { TokenResponseReader } from '../token/token-response-reader.js';

/** A client of an identity provider: whose tokens go onto outgoing calls, and onto which. */
export interface ClientOptions extends TokenParameters {
  /** Where tokens come from: `cyberArkIdentity(…)`, `genericOAuth2(…)`. */
  readonly identityProvider: IdentityProvider;

  /** Client identifier (RFC 6749 §2.2). At CyberArk Identity: the login name of the service user. */
  readonly clientId: string;

  /**
   * Client secret: a text, a function that fetches it, or a source such as `fromEnv('NAME')` or `fromFile('/path')`; read
   * for each token request. While it is being rotated: the `current` one and the `next`, which is tried when the first
   * is refused and need not be there yet. Needed where the client authentication uses a secret.
   */
  readonly clientSecret?: SecretInput | { readonly current: SecretInput; readonly next?: SecretInput };

  /**
   * How the client proves itself: the name of a way to use the secret, or `privateKeyJwt(…)`, `tlsClientAuth(…)`,
   * `selfSignedTlsClientAuth(…)`, `federatedAssertion(…)`, or `none`. Default: a secret, used as the identity provider
   * wants it. Never tried out: a guess costs a failed login.
   */
  readonly clientAuthentication?: ClientSecretMethod | 'none' | ClientAuthentication;

  /** What tokens are asked for with. Default: client credentials. For others: `jwtBearer(…)`. */
  readonly grant?: TokenGrant;

  /**
   * Binds tokens to a key that this process makes, so that a stolen one is of no use (RFC 9449). Default: false; true
   * means ES256.
   */
  readonly dpop?: boolean | { readonly algorithm: DpopAlgorithm };

  /**
   * The header of outgoing HTTP calls that holds the token, for APIs that read another one. `name` is the header's name,
   * default `Authorization`. `scheme` stands before the token; an empty string sends the bare token; default: the token's
   * type, `Bearer`. Not together with `dpop`, which has a scheme of its own. Messages have their token in `authorization`.
   *
   * @example
   * tokenHeader: { name: 'X-Access-Token', scheme: '' }
   */
  readonly tokenHeader?: { readonly name?: string; readonly scheme?: string };

  /**
   * Makes the connections to the identity provider: an agent of `node:https`, for networks with an outbound proxy
   * (`new HttpsProxyAgent('http://proxy.example:3128')` of the package https-proxy-agent). Calls of the `HttpService` have
   * theirs in `http`. Default: direct connections, one for each request; proxy settings of the environment are ignored.
   */
  readonly agent?: Agent;

  /**
   * Certificates of the authorities that the identity provider's servers are trusted by, in PEM; they take the place of
   * those that Node.js trusts. Used for the client's own requests, to the token endpoint, for discovery and revocation,
   * with any `agent` or none. An `https.Agent` with a `ca` of its own, and the `ca` of `tlsClientAuth`, go before it.
   * Calls of the `HttpService` have theirs in `http.httpsAgent`. Default: the authorities of Node.js and of
   * `NODE_EXTRA_CA_CERTS`.
   */
  readonly ca?: CertificateAuthorities;

  /**
   * Headers of token requests, besides those that the preset sends; where both have one, this counts. Those that the
   * protocol or HTTP sets are not allowed: `authorization`, `content-type`, `host` and so on. Default: none.
   */
  readonly tokenRequestHeaders?: Readonly<Record<string, string>>;

  /** How the body of token requests is written. Default: `form` (RFC 6749 §4.4.2). */
  readonly tokenRequestFormat?: TokenRequestFormat;

  /**
   * Places that the token may be sent to, besides the identity provider's own API: an origin, `https://billing.example`;
   * an origin with a path that everything bound is below, `https://apis.example/billing`; or, with a star in place of the
   * first label, the hosts of a domain, `https://*.billing.example`. Calls to any other place go out without it.
   */
  readonly origins?: readonly string[];

  /**
   * Defaults of the client's own HTTP instance. `baseURL` is that of the identity provider's API unless it is given
   * here, and then it must be one of the places that the token is bound to.
   */
  readonly http?: { readonly baseURL?: string };

  /** What happens at boot. Default: `lazy`. */
  readonly start?: StartMode;

  /** How long the boot waits for a token with `start: 'require'`, in milliseconds. Default: 30,000. */
  readonly startTimeoutMs?: number;

  /**
   * Time over which the processes of a fleet that boot at once spread their first token requests, in milliseconds.
   * Default: 0.
   */
  readonly startSpreadMs?: number;

  /**
   * How long a call waits for a token that has to be fetched first, in milliseconds. Default: 5,000. It waits over as many
   * attempts as are due by then, and fails earlier only where the next one is due later or waiting cannot help. After a
   * third of this time without an answer, a second token request is sent on another connection.
   */
  readonly acquireTimeoutMs?: number;

  /** How long one token request may take, in milliseconds. Default: 10,000. */
  readonly tokenRequestTimeoutMs?: number;

  readonly refresh?: {
    /**
     * In the last part of a token's life, this long at most, calls wait for a new one, in seconds. Covers clocks that
     * differ and calls that take long. Default: 30; never more than a tenth of the life.
     */
    readonly skewSeconds?: number;
    /**
     * Outage of the identity provider that should go unnoticed, in seconds. Default: 300. The refresh begins this long
     * before the end, within a quarter and a half of the token's life.
     */
    readonly outageBudgetSeconds?: number;
  };

  /**
   * Refreshes tokens also while no call uses them. Default: false: a token that was not used since its last two
   * refreshes is dormant, and not refreshed until the next call, which may have to wait for a new one. Set it for a client
   * whose calls are rare and must find a live token, such as a nightly job; it costs a token request for each token and
   * lifetime. Tokens that live for less than 10 s are refreshed by calls alone.
   */
  readonly keepWarm?: boolean;

  /** What is done about a credential that the identity provider refuses, so that the client does not get locked out. */
  readonly quarantine?: {
    /** Refusals in a row after which attempts are halted. Default: 5. */
    readonly maxRefusals?: number;
    /** Time between single attempts after that, in seconds; 0 for none. Default: 3,600. */
    readonly probeSeconds?: number;
  };

  /**
   * Reads the answers of a token endpoint that has a form of its own: returns a grant or an error by the names of RFC 6749,
   * a kind of failure, or undefined for what the standards say. Goes before a reader of the identity provider's preset.
   * It lifts no limit, and what it throws counts as no opinion. Default: none.
   *
   * @example
   * readTokenResponse: ({ json }) => (json as { tokenData?: TokenResponseGrant }).tokenData
   */
  readonly readTokenResponse?: TokenResponseReader;

  /** Most tokens, of different parameters, that are kept at once. The least used ones give way. Default: 100. */
  readonly maxTokens?: number;

  /** Longest body of a call that is sent again after a 401, in bytes. Default: 1,048,576. 0: no call is sent again. */
  readonly maxReplayBytes?: number;

  /**
   * What an answer looks like that rejects the token: a list of 401 and 403, or a predicate on the answer for APIs that
   * answer 400 or another status with a code in the body. A rejected token is renewed, and the call is sent again once where
   * its body allows that. An answer that says `insufficient_scope` never counts. Default: [401].
   *
   * A predicate takes the place of the list, so it has to accept 401 itself. Asked for answers from 400 on, with the
   * beginning of the body; one that throws counts as false.
   *
   * @example isTokenRejected: ({ status, body }) => status === 401 || body.includes('INVALID_SESSION_ID')
   */
  readonly isTokenRejected?: TokenRejection;

  /** Tells the identity provider at shutdown that the tokens are not needed any more (RFC 7009). Default: false. */
  readonly revokeOnShutdown?: boolean;

  /** Allows plain http to any host, where tokens and secrets can be read on the way. Default: loopback outside production. */
  readonly unsafeAllowHttp?: boolean;

  /** Sends a token for up to this long after its end while no other can be had, in seconds, at most 600. Default: 0. */
  readonly unsafeExpiredTokenGraceSeconds?: number;
}

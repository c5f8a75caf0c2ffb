export { M2M_CLOCK } from './identity-m2m-core.module.js';
export { IdentityM2MModule, type IdentityM2MModuleExtras } from './identity-m2m.module.js';
export type { HttpClientOptions, IdentityM2MOptions, IdentityM2MOptionsFactory } from './identity-m2m.options.js';

export type { ClientOptions } from './config/client-options.js';
export type { CredentialExtractor } from './config/credential-extractor.js';
export type {
  GuardOptions,
  IntrospectionOptions,
  IssuerResolver,
  NamedClient,
  ResolvedIssuer,
} from './config/guard-options.js';
export { IdentityM2MConfigurationError } from './config/configuration-error.js';
export type { TenantsOptions } from './config/tenants-configuration.js';
export type { CertificateAuthorities } from './foundation/certificate-authorities.js';
export type { Clock, Instant } from './foundation/clock.js';
export { EventStream } from './foundation/event-stream.js';
export { IdentityM2MError } from './foundation/identity-m2m-error.js';
export type { OptionFault } from './foundation/option-fault.js';
export type { StartMode } from './foundation/start-mode.js';

export type {
  AccessTokenProfile,
  ClaimCondition,
  Claims,
  ClaimsTest,
  SignatureAlgorithm,
} from './identity-providers/access-token-profile.js';
export { auth0, type Auth0Options } from './identity-providers/auth0.js';
export { cognito, type CognitoOptions } from './identity-providers/cognito.js';
export { cyberArkIdentity, type CyberArkIdentityOptions } from './identity-providers/cyberark-identity.js';
export { duende, type DuendeOptions } from './identity-providers/duende.js';
export { entraId, type EntraIdOptions } from './identity-providers/entra-id.js';
export { genericOAuth2, type GenericOAuth2Options } from './identity-providers/generic-oauth2.js';
export type { IdentityProvider, JsonWebKeySet, KnownIssuer } from './identity-providers/identity-provider.js';
export { keycloak, type KeycloakOptions } from './identity-providers/keycloak.js';
export {
  kubernetesServiceAccounts,
  type KubernetesServiceAccountsOptions,
} from './identity-providers/kubernetes-service-accounts.js';
export { okta, type OktaOptions } from './identity-providers/okta.js';

export { AccessToken, type AccessTokenType } from './token/access-token.js';
export type { AccessTokenStatus } from './token/access-token-manager.js';
export type { BindingDecision } from './token/origin-binding.js';
export type { AskedFor, ClientWarning, OutboundEvent } from './token/outbound-events.js';
export type { TokenFreshness } from './token/refresh-policy.js';
export type { TokenFailureKind } from './token/retry-schedule.js';
export type { TokenRequestFormat } from './token/token-endpoint.js';
export {
  ClientRejectedError,
  TokenNotBearerError,
  TokenParametersError,
  TokenRequestRejectedError,
  TokenUnavailableError,
  type TokenUnavailableDetails,
  type TokenUnavailableReason,
} from './token/token-errors.js';
export type { TokenParameters } from './token/token-parameters.js';
export { type GetTokenOptions, TokenProvider } from './token/token-provider.js';
export type { ResourceServerAnswer, TokenRejectedPredicate, TokenRejection } from './token/token-rejection.js';
export type {
  TokenEndpointAnswer,
  TokenResponse,
  TokenResponseError,
  TokenResponseGrant,
  TokenResponseReader,
  TokenResponseReading,
} from './token/token-response-reader.js';

export type { AssertionAudience } from './credentials/client-assertion.js';
export type { ClientAuthentication, ClientCredential } from './credentials/client-authentication.js';
export type { ClientSecretMethod } from './credentials/client-secret-authentication.js';
export { ClientSecret } from './credentials/client-secret.js';
export type { DpopAlgorithm } from './credentials/dpop-prover.js';
export { federatedAssertion } from './credentials/federated-assertion.js';
export { privateKeyJwt, type PrivateKeyJwtOptions, type RemoteSigner } from './credentials/private-key-jwt.js';
export { fromEnv, fromFile, type SecretInput, type SecretSource } from './credentials/secret-source.js';
export {
  selfSignedTlsClientAuth,
  tlsClientAuth,
  type TlsClientAuthentication,
  type TlsClientAuthOptions,
} from './credentials/tls-client-auth.js';
export { SignedAssertion } from './credentials/signed-assertion.js';
export { jwtBearer, type TokenGrant } from './credentials/token-grant.js';
export type { TlsIdentity } from './foundation/tls-identity.js';

export { bearerFetch, type BearerFetchOptions } from './carriers/bearer-fetch.js';
export { authorizationFor } from './carriers/authorization-for.js';
export { CallAddressError } from './carriers/call-address-error.js';
export { type M2MClient, M2MClients } from './carriers/m2m-clients.js';
export { type CallTokenOptions, withoutToken, withToken } from './carriers/axios-request-options.js';
export {
  InjectM2MHttp,
  InjectTokenProvider,
  m2mHttpToken,
  tokenProviderToken,
} from './carriers/inject-client.decorator.js';

export { AllowClients } from './guard/allow-clients.decorator.js';
export { Caller } from './guard/caller.decorator.js';
export { CurrentCaller } from './guard/current-caller.js';
export type { TransportCount } from './guard/inbound-counters.js';
export { InboundDecisions } from './guard/inbound-decisions.js';
export type { InboundEvent } from './guard/inbound-events.js';
export { M2MAuthGuard } from './guard/m2m-auth.guard.js';
export type { RpcAnswer, RpcCode } from './guard/rpc-answer.js';
export { UnguardedMessageHandlersError } from './guard/unguarded-message-handlers-error.js';
export { Public } from './guard/public.decorator.js';
export { RequireClaims } from './guard/require-claims.decorator.js';
export { RequireScopes } from './guard/require-scopes.decorator.js';
export { Sensitive } from './guard/sensitive.decorator.js';

export { createAccessTokenVerifier, type VerifierSurroundings } from './create-access-token-verifier.js';
export type { AccessTokenVerifier, Verdict } from './verification/access-token-verifier.js';
export type { ClaimRule, ClaimRules, ClaimValue } from './verification/claim-rule.js';
export { InMemoryRevocations, type Revocation, RevocationsFullError } from './verification/in-memory-revocations.js';
export type {
  IntrospectionAuthentication,
  IntrospectionProof,
  IntrospectionRequest,
  IntrospectionSecret,
} from './verification/introspection-authentication.js';
export type { MachineCaller } from './verification/machine-caller.js';
export { KeySetError } from './verification/key-source.js';
export type { Refusal, RefusalReason } from './verification/refusal.js';
export type { RefusalDetail } from './verification/refusal-detail.js';
export type { RevocableToken, RevocationStore } from './verification/revocation.js';
export type { RoutePolicy } from './verification/route-policy.js';
export type { VerificationEvent } from './verification/verification-events.js';
export type { UnusableKeyReason } from './verification/verification-key.js';

export { INBOUND_CHANNEL, OUTBOUND_CHANNEL } from './telemetry/diagnostics.js';

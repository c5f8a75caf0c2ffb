export { M2M_CLOCK } from './identity-m2m-core.module.js';
export { IdentityM2MModule } from './identity-m2m.module.js';
export type {
  IdentityM2MModuleExtras,
  IdentityM2MOptions,
  IdentityM2MOptionsFactory,
} from './config/module-options.js';

export type { ClientOptions } from './config/client-options.js';
export type { CredentialExtractor } from './config/credential-extractor.js';
export type { GuardOptions } from './config/guard-options.js';
export type { IntrospectionOptions } from './config/introspection-options.js';
export type { IssuerResolver, ResolvedIssuer } from './config/issuer-resolver.js';
export type { NamedClient } from './config/named-client.js';
export { IdentityM2MConfigurationError } from './config/configuration-error.js';
export type { TenantsOptions } from './config/tenants-options.js';
export type { CertificateAuthorities, TlsIdentity } from './foundation/tls.js';
export type { Clock, Instant } from './foundation/clock.js';
export { EventStream } from './foundation/event-stream.js';
export { IdentityM2MError } from './foundation/identity-m2m-error.js';
export type { OptionFault } from './foundation/option-check.js';
export type { StartMode } from './foundation/start-mode.js';

export type {
  AccessTokenProfile,
  ClaimCondition,
  Claims,
  ClaimsTest,
  SignatureAlgorithm,
  IdentityProvider,
  JsonWebKeySet,
  KnownIssuer,
} from './identity-providers/identity-provider.js';
export { auth0, type Auth0Options } from './identity-providers/auth0.js';
export { cognito, type CognitoOptions } from './identity-providers/cognito.js';
export { cyberArkIdentity, type CyberArkIdentityOptions } from './identity-providers/cyberark-identity.js';
export { duende, type DuendeOptions } from './identity-providers/duende.js';
export { entraId, type EntraIdOptions } from './identity-providers/entra-id.js';
export { genericOAuth2, type GenericOAuth2Options } from './identity-providers/generic-oauth2.js';
export { keycloak, type KeycloakOptions } from './identity-providers/keycloak.js';
export {
  kubernetesServiceAccounts,
  type KubernetesServiceAccountsOptions,
} from './identity-providers/kubernetes-service-accounts.js';
export { okta, type OktaOptions } from './identity-providers/okta.js';

export { AccessToken, type AccessTokenType } from './token/access-token.js';
export type { AccessTokenStatus } from './token/token-report.js';
export type { OriginDecision } from './token/allowed-origins.js';
export {
  OUTBOUND_CHANNEL,
  type RequestedAccess,
  type ClientWarning,
  type OutboundEvent,
} from './token/outbound-events.js';
export type { TokenFreshness } from './token/refresh-policy.js';
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
export type { ResourceServerResponse, TokenRejectedPredicate, TokenRejection } from './token/token-rejection.js';
export type {
  TokenEndpointResponse,
  TokenResponse,
  TokenResponseError,
  TokenResponseGrant,
  TokenResponseReader,
  TokenResponseReading,
} from './token/token-response-reader.js';

export type { AssertionAudience } from './credentials/client-assertion.js';
export { federatedAssertion, type SignedAssertion } from './credentials/signed-assertion.js';
export { jwtBearer, type TokenGrant } from './credentials/token-grant.js';
export type { ClientAuthentication, ClientCredential } from './credentials/client-authentication.js';
export type { ClientSecretMethod } from './credentials/client-secret-authentication.js';
export { ClientSecret, fromEnv, fromFile, type SecretInput, type SecretSource } from './foundation/secret-source.js';
export type { DpopAlgorithm } from './credentials/dpop-prover.js';
export { privateKeyJwt, type PrivateKeyJwtOptions, type RemoteSigner } from './credentials/private-key-jwt.js';
export {
  selfSignedTlsClientAuth,
  tlsClientAuth,
  type TlsClientAuthentication,
  type TlsClientAuthOptions,
} from './credentials/tls-client-auth.js';
export { bearerFetch, type BearerFetchOptions, authorizationFor } from './carriers/fetch/bearer-fetch.js';
export { CallAddressError } from './carriers/call-address-error.js';
export { type CallTokenOptions, withoutToken, withToken } from './carriers/axios/bearer-interceptor.js';
export { AllowClients, Public, RequireClaims, RequireScopes, Sensitive } from './guard/access-rules.js';
export { Caller, CurrentCaller } from './guard/caller.js';
export { type TransportCount, AccessDecisions } from './guard/access-decisions.js';
export { INBOUND_CHANNEL, type InboundEvent } from './guard/inbound-events.js';
export { M2MAuthGuard } from './guard/m2m-auth.guard.js';
export type { RpcAnswer, RpcCode } from './guard/refusal-answer.js';
export { UnguardedMessageHandlersError } from './guard/message-handler.js';
export { createAccessTokenVerifier, type VerifierDependencies } from './create-access-token-verifier.js';
export type { AccessTokenVerifier } from './verification/access-token-verifier.js';
export type {
  AllowedCall,
  ClaimRule,
  ClaimRules,
  ClaimValue,
  RoutePolicy,
  Verdict,
} from './verification/route-policy.js';
export {
  InMemoryRevocations,
  type Revocation,
  RevocationsFullError,
  type RevocableToken,
  type RevocationStore,
} from './verification/revocation.js';
export type {
  IntrospectionAuthentication,
  IntrospectionProof,
  IntrospectionRequest,
} from './verification/introspection-authentication.js';
export type { MachineCaller } from './verification/machine-caller.js';
export { KeySetError } from './verification/key-source.js';
export type { Refusal, RefusalReason, RefusalDetail } from './verification/refusal.js';
export type { VerificationEvent } from './verification/verification-events.js';
export type { UnusableKeyReason } from './verification/verification-key.js';

export type { TokenFailureKind } from './token/token-result.js';
export {
  InjectM2MHttp,
  InjectTokenProvider,
  type M2MClient,
  M2MClientRegistry,
  m2mHttpToken,
  tokenProviderToken,
} from './clients/m2m-client.js';

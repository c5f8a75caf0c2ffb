import { z } from 'zod';
import { type OptionFault, optionFaults, flag, shownField } from '../foundation/option-check.js';
import { type PlainHttp, parseUrl } from '../foundation/url.js';
import type { AccessTokenProfile, KnownIssuer } from './identity-provider.js';
import { addressFault, describeAddress, encodedSegment } from './preset-options.js';

/** Options of a CyberArk Identity tenant and one of its applications. */
export type CyberArkIdentityOptions = {
  /** Address of the tenant: `https://<tenant id>.id.cyberark.cloud`, or a vanity host. */
  readonly tenantUrl: string;
  /**
   * Accepts tokens and introspection responses without `aud` for this API. An `aud` that is present must match.
   * Default: false.
   */
  readonly hasNoAudience?: boolean;
} & (
  | {
      /** Application ID of the OAuth2 application, as the admin portal shows it. Not the client identifier. */
      readonly applicationId: string;
      readonly platformToken?: false;
    }
  | {
      /** Uses the tenant's platform token endpoint, which needs no application. */
      readonly platformToken: true;
      readonly applicationId?: undefined;
    }
);

/** Application of platform tokens, which every tenant has. */
const PLATFORM_APPLICATION_ID = '__idaptive_cybr_user_oidc';

/**
 * Tells the tenant that the caller is not a browser. It redirects browsers to its login page instead of responding with
 * 401.
 */
const NATIVE_CLIENT = { 'x-idap-native-client': 'true' };

/**
 * A CyberArk Identity tenant and one of its applications.
 *
 * Outbound: tokens of an application of type *OAuth2 Client* are for the tenant's own REST API, which is an allowed
 * origin. Inbound: tokens of an application of type *OAuth2 Server* are for your own API.
 */
export function cyberArkIdentity(options: CyberArkIdentityOptions): KnownIssuer {
  const tenantUrl = tenantAddress(options.tenantUrl);
  const applicationId = options.platformToken ? PLATFORM_APPLICATION_ID : options.applicationId;
  const application = encodedSegment(applicationId);
  return {
    name: 'CyberArk Identity',
    // The tenant's tokens have the trailing slash, and issuers are compared exactly.
    issuer: `${tenantUrl}/${application}/`,
    tokenEndpoint: options.platformToken
      ? `${tenantUrl}/oauth2/platformtoken`
      : `${tenantUrl}/oauth2/token/${application}`,
    revocationEndpoint: `${tenantUrl}/OAuth2/Revoke/${application}`,
    introspectionEndpoint: `${tenantUrl}/OAuth2/Introspect/${application}`,
    // The tenant does not form-decode Basic credentials: encoded ones fail like a wrong secret.
    clientSecretMethod: 'client_secret_basic_raw',
    tokenRequestHeaders: NATIVE_CLIENT,
    credentialErrors: ['access_denied'],
    apiBaseUrl: tenantUrl,
    apiHeaders: NATIVE_CLIENT,
    fallbackJwksUri: `${tenantUrl}/OAuth2/Keys/${application}`,
    accessToken: { ...ACCESS_TOKEN, hasNoAudience: options.hasNoAudience },
    hint,
    faults: (http) => faults(options, http),
  };
}

const ACCESS_TOKEN: AccessTokenProfile = {
  algorithms: ['RS256'],
  tokenTypes: ['jwt', 'at+jwt', undefined],
  // There is no client_id claim: the login name of the service user names the client.
  clientIdClaims: ['unique_name'],
  // ID tokens have the same issuer, audience and keys, but no scope.
  requiredClaims: ['scope'],
  // Its documentation shows `exp` and `iat` of introspection as strings.
  introspectsTimesAsText: true,
  // No isMachine: a machine is a service user, and its token looks like that of a person.
};

/** Returns where to correct the cause of a refusal in the admin portal. */
function hint(detail: string): string | undefined {
  const text = detail.toLowerCase();
  if (text.includes('not allowed access to app')) {
    return 'Give the service user, or a role it has, the Run permission on the application (Permissions tab).';
  }
  if (text.includes('auth mode not allowed')) {
    return 'Tick "Client Creds" among the auth methods on the application’s Tokens tab.';
  }
  if (text.includes('invalid client creds or client not allowed') || text.includes('wrong clientid')) {
    return 'Check the service user’s login name and password, that it is an OAuth confidential client, and that the application’s list of allowed clients has it.';
  }
  if (text.includes('unknown app')) {
    return 'Check the applicationId: it is the Application ID on the application’s Settings tab, not a client id.';
  }
  if (text.includes('unknown scope')) return 'Add the scope on the application’s Scope tab, or correct it here.';
  return undefined;
}

const schema = z.strictObject({
  tenantUrl: z.unknown(),
  // The admin portal allows no spaces.
  applicationId: shownField<string>(
    'an Application ID, without spaces and slashes',
    (value) => value === undefined || (typeof value === 'string' && /^[^\s/?#]+$/.test(value)),
  ).optional(),
  platformToken: flag.optional(),
  hasNoAudience: flag.optional(),
});

function faults(options: CyberArkIdentityOptions, plainHttp: PlainHttp): OptionFault[] {
  const { tenantUrl, applicationId, platformToken } = options;
  const found = [...optionFaults(schema, options), ...addressFault('tenantUrl', tenantUrl, plainHttp)];
  if (!platformToken && applicationId === undefined) {
    found.push({ path: 'applicationId', expected: 'an Application ID, or platformToken: true', found: 'nothing' });
  }
  const url = parseUrl(tenantUrl);
  if (url && !TENANT_PATHS.includes(url.pathname)) {
    const expected = 'the address of the tenant alone, without a path';
    found.push({ path: 'tenantUrl', expected, found: describeAddress(tenantUrl) });
  }
  return found;
}

/** A tenant is at the root of its host, or at one of these paths behind the platform's gateway. */
const TENANT_PATHS = ['/', '/api/idadmin', '/api/idadmin/'];

/**
 * Returns the address as it appears in tokens: host in lower case, no trailing slash. Leaves an invalid one to the
 * check of the options.
 */
function tenantAddress(tenantUrl: unknown): string {
  const text = String(tenantUrl);
  return (parseUrl(text)?.href ?? text).replace(/\/+$/, '');
}

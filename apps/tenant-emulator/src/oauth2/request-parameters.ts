import { bodyTextOf, type TenantRequest } from '../http/tenant-request.js';

/** The parameters of a request to an OAuth2 endpoint, by name. */
export type RequestParameters = ReadonlyMap<string, string>;

/**
 * Reads the parameters of a form body; any other body has none. So a JSON body fails like one without grant_type. The
 * vendor does not document whether the tenant accepts JSON.
 *
 * @param acceptJson Reads the strings of a JSON object as parameters.
 */
export function requestParametersOf(request: TenantRequest, { acceptJson = false } = {}): RequestParameters {
  const type = request.headers['content-type']?.split(';')[0]?.trim().toLowerCase();
  if (type === 'application/x-www-form-urlencoded') return new Map(new URLSearchParams(bodyTextOf(request)));
  if (type === 'application/json' && acceptJson) return new Map(textsOf(bodyTextOf(request)));
  return new Map();
}

function textsOf(json: string): [string, string][] {
  try {
    const entries = Object.entries(Object(JSON.parse(json)) as Record<string, unknown>);
    return entries.filter((entry): entry is [string, string] => typeof entry[1] === 'string');
  } catch {
    return [];
  }
}

/** The credentials in a request. */
export interface ClientCredentials {
  readonly clientId: string;
  readonly clientSecret: string;
}

/**
 * Reads the credentials from an Authorization header with the Basic scheme, or else from the parameters.
 *
 * The tenant reads Basic raw: base64 of id, ":" and secret in UTF-8. It does not decode the form encoding of both
 * halves that RFC 6749 (section 2.3.1) requires. So a client that follows the RFC sends an invalid secret if the secret
 * has a special character.
 *
 * @returns undefined if there is no client id.
 */
export function clientCredentialsOf(
  authorization: string | undefined,
  parameters: RequestParameters,
): ClientCredentials | undefined {
  const basic = /^Basic +([A-Za-z0-9+/]+=*)$/i.exec(authorization ?? '')?.[1];
  const credentials =
    basic === undefined
      ? { clientId: parameters.get('client_id') ?? '', clientSecret: parameters.get('client_secret') ?? '' }
      : splitAtFirstColon(Buffer.from(basic, 'base64').toString('utf8'));
  return credentials.clientId === '' ? undefined : credentials;
}

function splitAtFirstColon(text: string): ClientCredentials {
  const colon = text.indexOf(':');
  if (colon < 0) return { clientId: text, clientSecret: '' };
  return { clientId: text.slice(0, colon), clientSecret: text.slice(colon + 1) };
}

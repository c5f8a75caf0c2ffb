import { bodyTextOf, type TenantRequest } from '../requests/tenant-request.js';

/** The parameters of a request to an OAuth2 endpoint, by name. */
export type RequestParameters = ReadonlyMap<string, string>;

/**
 * Reads a form body. Anything else has no parameters, so that a JSON body fails as one without grant_type does; whether
 * the tenant takes JSON is not documented.
 *
 * @param acceptJson Takes the texts of a JSON object as parameters.
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

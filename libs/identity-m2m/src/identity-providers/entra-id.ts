import { z } from 'zod';
import { field, oneOf } from '../foundation/option-check.js';
import {
  type AccessTokenProfile,
  allOf,
  type ClaimCondition,
  type Claims,
  type KnownIssuer,
} from './identity-provider.js';
import { hostName, hostOf, inLowerCase, encodedSegment, presetFaults } from './preset-options.js';

export interface EntraIdOptions {
  /** Directory (tenant) ID. Not `common` or `organizations`, which stand for all tenants. */
  readonly tenantId: string;
  /** Token version of the API (`requestedAccessTokenVersion` in its app registration). Default: `v2`. */
  readonly tokenVersion?: 'v1' | 'v2';
  /** Host of the sign-in service in a national cloud. Default: `login.microsoftonline.com`. */
  readonly host?: string;
}

const schema = z.strictObject({
  tenantId: field<string>(
    'the ID of a directory',
    (value) => typeof value === 'string' && /^[\da-f]{8}(?:-[\da-f]{4}){3}-[\da-f]{12}$/i.test(value),
  ),
  tokenVersion: oneOf(['v1', 'v2']).optional(),
  host: hostName('a host name').optional(),
});

/**
 * A tenant of Microsoft Entra ID.
 *
 * A client requests a token with the scope `<API>/.default`. The guard treats app roles as scopes. The guard's options
 * must name the clients, because any application of the tenant can get a token for any API.
 */
export function entraId(options: EntraIdOptions): KnownIssuer {
  const { tokenVersion = 'v2', host = 'login.microsoftonline.com' } = options;
  const tenantId = inLowerCase(options.tenantId);
  const tenant = `https://${hostOf(host)}/${encodedSegment(tenantId)}`;
  const isV1 = tokenVersion === 'v1';
  return {
    name: 'Microsoft Entra ID',
    issuer: isV1 ? `https://${v1IssuerHost(host)}/${encodedSegment(tenantId)}/` : `${tenant}/v2.0`,
    tokenEndpoint: `${tenant}/oauth2/v2.0/token`,
    clientSecretMethod: 'client_secret_post',
    assertionAudience: 'endpoint',
    jwksUri: isV1 ? `${tenant}/discovery/keys` : `${tenant}/discovery/v2.0/keys`,
    accessToken: accessToken(tenantId, isV1),
    faults: (http) => presetFaults(options, schema, [], http),
  };
}

/** The China cloud has its own issuer; all other clouds share one. */
function v1IssuerHost(host: string): string {
  return hostOf(host).endsWith('.cn') ? 'sts.chinacloudapi.cn' : 'sts.windows.net';
}

function accessToken(tenantId: string, isV1: boolean): AccessTokenProfile {
  const version = isV1 ? '1.0' : '2.0';
  return {
    algorithms: ['RS256'],
    tokenTypes: ['jwt', 'at+jwt'],
    clientIdClaims: [isV1 ? 'appid' : 'azp'],
    scopeClaims: ['roles'],
    requiredClaims: ['tid', 'ver', 'iat'],
    isAccessToken: allOf(
      { claim: 'tid', expected: tenantId, holds: ({ tid }) => tid === tenantId },
      { claim: 'ver', expected: `${version} (see tokenVersion)`, holds: ({ ver }) => ver === version },
    ),
    isMachine: allOf(...isApplication(isV1 ? 'appidacr' : 'azpacr')),
    requiresNamedClients: true,
  };
}

/**
 * The optional claim `idtyp` marks tokens of applications. Without it, the token must be of a client that authenticated
 * (1: secret, 2: certificate) for itself (`sub` equals `oid`), without delegated scopes.
 */
function isApplication(method: 'appidacr' | 'azpacr'): ClaimCondition[] {
  const isSilent = ({ idtyp }: Claims) => idtyp === undefined;
  return [
    { claim: 'scp', expected: 'none', holds: ({ scp }) => scp === undefined },
    { claim: 'idtyp', expected: 'app, or none', holds: ({ idtyp }) => idtyp === undefined || idtyp === 'app' },
    {
      claim: method,
      expected: '1 or 2',
      holds: (claims) => !isSilent(claims) || claims[method] === '1' || claims[method] === '2',
    },
    {
      claim: 'sub',
      expected: 'equal to oid',
      holds: (claims) => !isSilent(claims) || (typeof claims.oid === 'string' && claims.oid === claims.sub),
    },
  ];
}

import type { Attacker } from './attacker.js';
import { clientNames, type ForgedToken, type Forgery, type ForgeryMaterial, named, segment } from './forged-token.js';
import { signatureOf } from './signing-key.js';
import type { TestTokenOptions } from './test-issuer.js';

/**
 * Forges tokens with valid signatures that are for another API or another time, or are not access tokens of machines.
 */
export function forgedClaims(material: ForgeryMaterial): ForgedToken[] {
  const { issuer, claims, accepted, header, attacker } = material;
  const now = Number(claims.iat);
  const withClaims = (changes: Readonly<Record<string, unknown>>) =>
    issuer.signText(JSON.stringify(header), JSON.stringify({ ...claims, ...changes }));
  const withType = (typ: unknown) => issuer.signText(JSON.stringify({ ...header, typ }), JSON.stringify(claims));
  const each = (claim: string, values: readonly unknown[]): Forgery[] =>
    values.map((value) => [`${claim} ${JSON.stringify(value) ?? 'missing'}`, withClaims({ [claim]: value })]);
  const iss = String(claims.iss);
  const namesOfClient = clientNames(material);
  const audience = Array.isArray(accepted.audience) ? String(accepted.audience[0]) : String(accepted.audience);
  return [
    ...named('C1', [
      ...each('exp', [undefined, null, String(now + 300), 'NaN', -1, 0, {}, [now + 300], true]),
      ['exp an hour ago', withClaims({ exp: now - 3600, iat: now - 7200 })],
      ['exp an hour and a fraction of a second ago', withClaims({ exp: now - 3600.25, iat: now - 7200.25 })],
      ['exp before iat', withClaims({ exp: now + 100, iat: now + 200, nbf: now + 200 })],
    ]),
    ...named('C2', [
      ['nbf in an hour', withClaims({ nbf: now + 3600 })],
      ['nbf in an hour and a fraction of a second', withClaims({ nbf: now + 3600.25 })],
      ['iat in an hour', withClaims({ iat: now + 3600, exp: now + 7200 })],
      ...each('nbf', [String(now), [now], {}]),
      ...each('iat', [String(now), [now], {}]),
    ]),
    ...named('C4', [
      ...each('iss', [undefined, null, [iss], [iss, 'https://another.example'], {}, 1, '']),
      ...each('iss', [
        `${iss}/`,
        `${iss}.attacker.example`,
        `${iss}#`,
        `${iss}/realms/another`,
        iss.replace('http:', 'HTTP:'),
        iss.replace('http://', 'http://attacker@'),
        iss.slice(0, -1),
        ` ${iss}`,
        'https://attacker.example',
      ]),
      ['an issuer of the attacker, with discoverable keys', ofAnotherIssuer(attacker, header, claims)],
    ]),
    ...named(
      'C6',
      each('aud', [
        undefined,
        null,
        '',
        [],
        [[audience]],
        { 0: audience },
        1,
        'another-api',
        `${audience}/`,
        `${audience}-2`,
        audience.slice(0, -1),
        audience.toUpperCase() === audience ? audience.toLowerCase() : audience.toUpperCase(),
        ` ${audience}`,
        `${audience} another-api`,
      ]),
    ),
    ...named('H6', withoutScopes(accepted, withClaims)),
    ...named('C7', each('scope', [1, {}, true, [{ scope: 'all' }], [1], [[]]])),
    ...named('C9', [
      ...namesOfClient.flatMap((name) =>
        each(name, [[accepted.clientId], {}, 1, '', `${accepted.clientId} `, `${accepted.clientId}\u200b`]),
      ),
      // If another claim names the client as well, null counts as absent.
      ...(namesOfClient.length === 1 ? each(namesOfClient[0]!, [null]) : []),
      [
        'another client',
        withClaims(Object.fromEntries([...namesOfClient, 'sub'].map((name) => [name, 'another-client']))),
      ],
      ...(namesOfClient.includes('client_id')
        ? [['client_id and azp of two clients', withClaims({ azp: 'another-client' })] as const]
        : []),
    ]),
    ...named('C11', [
      ...['logout+jwt', 'dpop+jwt', 'secevent+jwt', 'token-introspection+jwt', 'client-authentication+jwt', 'x'].map(
        (typ): Forgery => [`a token of type ${typ}`, withType(typ)],
      ),
      ['a type that is not a string', withType(['at+jwt'])],
      ['an ID token', withClaims({ nonce: 'n-1', at_hash: 'AAAA', auth_time: now })],
      ['a logout token', withClaims({ events: { 'http://schemas.openid.net/event/backchannel-logout': {} } })],
    ]),
    ...named('C12', [
      ['on behalf of a user', withClaims({ sub: 'a-user', act: { sub: accepted.clientId } })],
      // RFC 9068 §2.2. If another claim names the client, `sub` may be anything.
      ...(claims.sub === claims.client_id ? [['the token of a user', withClaims({ sub: 'a-user' })] as const] : []),
    ]),
    ...named(
      'C13',
      each('cnf', [
        'text',
        [],
        {},
        { unknown: 'x' },
        { jkt: null },
        { jkt: 'A'.repeat(43) },
        { 'x5t#S256': 'A'.repeat(43) },
      ]),
    ),
  ];
}

function ofAnotherIssuer({ key, url }: Attacker, header: object, claims: object): string {
  const input = `${segment(header)}.${segment({ ...claims, iss: url })}`;
  return `${input}.${signatureOf(input, key.algorithm, key.privateKey).toString('base64url')}`;
}

/** For routes that require scopes. */
function withoutScopes(
  { scopes = [] }: TestTokenOptions,
  withClaims: (changes: Readonly<Record<string, unknown>>) => string,
): Forgery[] {
  if (scopes.length === 0) return [];
  return [
    ['no scope', withClaims({ scope: undefined })],
    ['another scope', withClaims({ scope: 'another' })],
    ['a scope of only spaces', withClaims({ scope: '   ' })],
    ['scope null', withClaims({ scope: null })],
    ['the scopes with other whitespace', withClaims({ scope: scopes.map((scope) => `\t${scope}\u00a0`).join('\n') })],
    ['scopes that start with the required ones', withClaims({ scope: scopes.map((scope) => `${scope}.x`).join(' ') })],
  ];
}

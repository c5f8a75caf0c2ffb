import { AUDIENCE, CLIENT_ID } from './machine.mjs';

/** Debian's, which finds Debian's packages. */
const PYTHON = '/usr/bin/python3';

const node = (file) => [process.execPath, file];

/**
 * The servers, and the settings of each.
 *
 * - `program`: what runs it; `probe`: a command that succeeds if its packages, those of `apt`, are installed.
 * - `client`: options that every client needs.
 * - `post`: options of a client that sends its secret in the body.
 * - `hasKeys`: whether there is a client that signs assertions, and the `assertionAudience` that they need.
 * - `hasSecrets`: false if it accepts every client.
 * - `hasMetadata`: whether a client can find the token endpoint by the issuer.
 * - `jwt`: its JWT access tokens: options of the `client` that gets one, the `audience` they have, options of
 *   `genericOAuth2()` that `fit` them, the addresses of `introspection` and `revocation` where it takes them, and what a guard without these answers (`defaults`; undefined: accepts them).
 * - `opaque`: its opaque tokens, and the addresses of its `introspection` and `revocation`.
 */
export const makers = [
  {
    name: 'oidc-provider',
    program: node('oidc-provider.mjs'),
    tokenEndpoint: '/token',
    post: { clientId: `${CLIENT_ID}-post` },
    hasKeys: true,
    hasMetadata: true,
    jwt: { client: { resource: AUDIENCE }, audience: AUDIENCE },
    opaque: { introspection: '/token/introspection', revocation: '/token/revocation' },
  },
  {
    name: 'oauth2-mock-server',
    program: node('oauth2-mock-server.mjs'),
    host: 'localhost',
    tokenEndpoint: '/token',
    post: {},
    hasSecrets: false,
    hasMetadata: true,
    jwt: {
      client: { parameters: { aud: AUDIENCE } },
      audience: AUDIENCE,
      // It writes no `sub` for a client, and one for a person.
      fit: {
        accessToken: {
          tokenTypes: ['jwt'],
          requiredClaims: ['client_id'],
          isMachine: (claims) => !Object.hasOwn(claims, 'sub'),
        },
      },
      introspection: '/introspect',
      defaults: { reason: 'token_type_refused', claim: 'typ', found: '"JWT"' },
    },
  },
  {
    name: 'node-oauth',
    program: node('node-oauth.mjs'),
    tokenEndpoint: '/token',
    post: {},
  },
  {
    name: 'jmondi',
    program: node('jmondi.mjs'),
    tokenEndpoint: '/token',
    post: {},
  },
  {
    name: 'django-oauth-toolkit',
    apt: 'python3-django-oauth-toolkit',
    probe: [PYTHON, '-c', 'import oauth2_provider'],
    program: [PYTHON, 'django-oauth-toolkit.py'],
    tokenEndpoint: '/o/token/',
    post: {},
    opaque: { introspection: '/o/introspect/', revocation: '/o/revoke_token/' },
  },
  {
    name: 'doorkeeper',
    apt: 'ruby-doorkeeper ruby-activerecord ruby-sqlite3 puma',
    probe: ['ruby', '-e', 'gem "doorkeeper"; gem "puma"; gem "sqlite3"'],
    program: ['ruby', 'doorkeeper.rb'],
    tokenEndpoint: '/oauth/token',
    post: {},
    opaque: { introspection: '/oauth/introspect', revocation: '/oauth/revoke' },
  },
  {
    name: 'authlib',
    apt: 'python3-authlib python3-flask',
    probe: [PYTHON, '-c', 'import authlib, flask'],
    program: [PYTHON, 'flask-authlib.py'],
    tokenEndpoint: '/token',
    post: {},
    hasKeys: true,
    assertionAudience: 'endpoint',
    hasMetadata: true,
    jwt: {
      client: { scope: 'jwt' },
      audience: AUDIENCE,
      fit: { accessToken: { tokenTypes: ['jwt'] } },
      introspection: '/introspect',
      defaults: { reason: 'token_type_refused', claim: 'typ', found: '"JWT"' },
    },
    opaque: { introspection: '/introspect' },
  },
  {
    name: 'glewlwyd',
    apt: 'glewlwyd openssl',
    probe: ['glewlwyd', '--version'],
    program: [PYTHON, 'glewlwyd.py'],
    tokenEndpoint: '/api/oidc/token',
    issuer: (origin) => `${origin}/api/oidc`,
    client: { scope: 'notes' },
    post: {},
    hasKeys: true,
    assertionAudience: 'endpoint',
    hasMetadata: true,
    jwt: { audience: 'notes', introspection: '/api/oidc/introspect', revocation: '/api/oidc/revoke' },
  },
  {
    name: 'lemonldap-ng',
    apt: `lemonldap-ng openssl libplack-perl libio-string-perl libgd-securityimage-perl libgd-perl libimage-magick-perl libcrypt-openssl-rsa-perl libconvert-pem-perl libstring-random-perl`,
    probe: ['perl', '-MLemonldap::NG::Portal::Issuer::OpenIDConnect', '-MPlack::Loader', '-e1'],
    program: ['perl', 'lemonldap-ng.pl'],
    tokenEndpoint: '/oauth2/token',
    issuer: (origin) => `${origin}/`,
    client: { scope: 'notes' },
    post: {},
    hasMetadata: true,
    jwt: {
      client: { clientId: `${CLIENT_ID}-jwt` },
      audience: `${CLIENT_ID}-jwt`,
      fit: { accessToken: { tokenTypes: ['jwt'] } },
      introspection: '/oauth2/introspect',
      defaults: { reason: 'token_type_refused', claim: 'typ', found: '"JWT"' },
    },
    opaque: { introspection: '/oauth2/introspect' },
  },
];

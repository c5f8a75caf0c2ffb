import { beforeEach, describe, expect, it } from '@jest/globals';
import { basic, SECRETS } from '../testing/tenant-client.js';
import { failureOf, successOf } from '../testing/envelope.js';
import { startTestTenant } from '../testing/test-tenant.js';

const PROVISIONING = 'svc-provisioning@acme.example';
const READER = 'svc-directory-reader@acme.example';
const QUIET = { SendEmailInvite: false };

const { tenant, client, clock } = await startTestTenant();

let token: string;
beforeEach(async () => {
  token = await client.token('provisioning', PROVISIONING);
});

describe('a REST call is allowed', () => {
  it('with a token of an OAuth2 Client application', async () => {
    expect(successOf(await client.call('/Security/whoami', token))).toEqual({
      User: PROVISIONING,
      UserUuid: tenant.users.byName(PROVISIONING)?.uuid,
    });
  });

  it('with a platform token, and with an opaque one', async () => {
    const { json } = await client.postForm(
      '/oauth2/platformtoken',
      { grant_type: 'client_credentials' },
      basic(PROVISIONING, SECRETS[PROVISIONING]),
    );
    tenant.switches.change({ opaqueTokens: true });
    const opaque = await client.token('provisioning', PROVISIONING);
    for (const bearer of [String(json?.access_token), opaque]) {
      expect(successOf(await client.call('/security/WhoAmI', bearer))).toMatchObject({ User: PROVISIONING });
    }
  });

  it.each([
    ['no token', () => Promise.resolve(undefined)],
    ['a forged token', () => Promise.resolve('eyJhbGciOiJub25lIn0.e30.')],
    ['a token for another API', () => client.token('internal-api', 'svc-cli@acme.example')],
    [
      'an expired token',
      async () => {
        const expired = await client.token('provisioning', PROVISIONING);
        clock.advance({ seconds: 18_000 });
        return expired;
      },
    ],
    [
      'a revoked token',
      async () => {
        const revoked = await client.token('provisioning', PROVISIONING);
        await client.postForm(
          '/OAuth2/Revoke/provisioning',
          { token: revoked },
          basic(PROVISIONING, SECRETS[PROVISIONING]),
        );
        return revoked;
      },
    ],
  ])('but not with %s: that is a 401', async (_, getToken) => {
    const answer = await client.call('/Security/whoami', await getToken());
    expect(failureOf(answer)).toMatchObject({ status: 401, id: null });
  });

  it('until the last second of the token', async () => {
    clock.advance({ seconds: 17_999 });
    expect((await client.call('/Security/whoami', token)).status).toBe(200);
    clock.advance({ seconds: 1 });
    expect((await client.call('/Security/whoami', token)).status).toBe(401);
  });

  it('with POST only', async () => {
    expect((await client.send('/Security/whoami')).status).toBe(404);
  });
});

describe('the scopes of the token', () => {
  const create = async () =>
    client.call('/CDirectoryService/CreateUser', await client.token('provisioning', READER), { Name: 'x', ...QUIET });

  it('must cover the path, otherwise the envelope has the failure', async () => {
    expect(failureOf(await create())).toEqual({
      status: 200,
      id: '_I18N_System.UnauthorizedAccessException',
      text: 'You are not authorized to perform this operation. Please contact your IT helpdesk.',
    });
  });

  it.each([401, 403] as const)('must cover the path, otherwise the status is %s by a switch', async (status) => {
    tenant.switches.change({ scopeViolation: status });
    expect(failureOf(await create()).status).toBe(status);
  });

  it('allow read-only clients to read', async () => {
    const reader = await client.token('provisioning', READER);
    const results = [
      await client.call('/CDirectoryService/GetUserByName', reader, { username: PROVISIONING }),
      await client.call('/CDirectoryService/GetUsers', reader),
      await client.call('/redrock/QUERY', reader, { Script: 'select * from User' }),
    ].map(successOf);
    expect(results).toEqual([expect.anything(), expect.anything(), expect.anything()]);
  });

  it('apply, even where the client could have requested more', async () => {
    const narrow = await client.token('provisioning', PROVISIONING, { scope: 'read-only' });
    expect(failureOf(await client.call('/CDirectoryService/DeleteUser', narrow, { ID: 'x' })).id).toBe(
      '_I18N_System.UnauthorizedAccessException',
    );
  });
});

import { beforeEach, describe, expect, it } from '@jest/globals';
import { readTenantConfiguration, SAMPLE_CONFIGURATION_FILE } from '../config/tenant-configuration.js';
import { startTenant } from '../start-tenant.js';
import { basic, SECRETS, TenantClient } from '../testing/tenant-client.js';
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

const call = (name: string, body?: unknown) => client.call(`/CDirectoryService/${name}`, token, body);

const rowsOf = (result: unknown) =>
  (result as { Results: { Row: Record<string, unknown> }[] }).Results.map((r) => r.Row);

describe('CreateUser', () => {
  it('returns the UUID, and stores the name in lower case with its suffix', async () => {
    const uuid = successOf(await call('CreateUser', { Name: 'John', ...QUIET }));
    expect(uuid).toMatch(/^[0-9a-f-]{36}$/);
    expect(tenant.users.byName('JOHN@acme.example')).toMatchObject({ uuid, name: 'john@acme.example' });
  });

  it('applies the defaults of the server', async () => {
    successOf(await call('CreateUser', { Name: 'defaults', Mail: 'd@example.com' }));
    expect(tenant.users.byName('defaults')).toMatchObject({
      mail: 'd@example.com',
      displayName: null,
      inEverybodyRole: true,
      inSysAdminRole: false,
      forcePasswordChangeNext: true,
      passwordNeverExpire: false,
      serviceUser: false,
      oauthClient: false,
      state: 'None',
      passwordDigest: undefined,
      version: 1,
      mailInvitations: 1,
      smsInvitations: 0,
    });
  });

  it('sends no invitation, or one by text message, on demand', async () => {
    successOf(await call('CreateUser', { Name: 'quiet', ...QUIET }));
    expect(tenant.users.byName('quiet')).toMatchObject({ mailInvitations: 0, smsInvitations: 0 });
    successOf(await call('CreateUser', { Name: 'sms', ...QUIET, SendSmsInvite: true, MobileNumber: '+41' }));
    expect(tenant.users.byName('sms')).toMatchObject({ mailInvitations: 0, smsInvitations: 1, mobileNumber: '+41' });
  });

  it('accepts field names in any case, booleans as strings, and unknown fields', async () => {
    const body = { NAME: 'texts', sendemailinvite: 'False', ForcePasswordChangeNext: 'false', Nonsense: [1] };
    successOf(await call('createuser', body));
    expect(tenant.users.byName('texts')).toMatchObject({ forcePasswordChangeNext: false, mailInvitations: 0 });
  });

  it('keeps a service user out of the Everybody role, and makes an OAuth client a service user', async () => {
    successOf(await call('CreateUser', { Name: 'service', ...QUIET, ServiceUser: true, InEverybodyRole: true }));
    expect(tenant.users.byName('service')).toMatchObject({ serviceUser: true, inEverybodyRole: false });
    successOf(await call('CreateUser', { Name: 'oauth', ...QUIET, OauthClient: 'true' }));
    expect(tenant.users.byName('oauth')).toMatchObject({
      oauthClient: true,
      serviceUser: true,
      inEverybodyRole: false,
      passwordNeverExpire: true,
    });
  });

  it('rejects a name in use, ignoring case', async () => {
    successOf(await call('CreateUser', { Name: 'twice', ...QUIET }));
    expect(failureOf(await call('CreateUser', { Name: 'TWICE@Acme.Example', ...QUIET })).text).toBe(
      'User name twice@acme.example is already in use.',
    );
  });

  it.each([
    ['Name', {}],
    ['Name', { Name: '  ', ...QUIET }],
    ['Mail', { Name: 'a' }],
    ['Mail', { Name: 'a', ...QUIET, VerifyEmail: true }],
    ['MobileNumber', { Name: 'a', ...QUIET, SendSmsInvite: true }],
  ])('asks for %s in %j', async (name, body) => {
    expect(failureOf(await call('CreateUser', body))).toEqual({
      status: 200,
      id: '_I18N_RequiredParameter',
      text: `Missing required parameter: ${name}`,
    });
  });

  it.each(['Sh0rt', 'nouppercase1', 'NOLOWERCASE1', 'NoDigitsHere', 'Aa1'.repeat(22)])(
    'finds the password %s not complex',
    async (Password) => {
      const { id, text } = failureOf(await call('CreateUser', { Name: 'weak', ...QUIET, Password }));
      expect(id).toBe('_I18N_SetPasswordFailedNotComplex');
      expect(text).toMatch(/at least 8 .* 64 .* digit, .* upper and one lower case letter/);
      expect(tenant.users.byName('weak')).toBeUndefined();
    },
  );

  it.each(['{"Name": ', '[]', '"text"', 'null', '{"Name": {"a": 1}}', '{"Name": "a", "SendEmailInvite": "maybe"}'])(
    'cannot read %s',
    async (body) => {
      const { status, id } = failureOf(await call('CreateUser', body));
      expect({ status, id }).toEqual({ status: 200, id: '_I18N_Newtonsoft.Json.JsonReaderException' });
    },
  );

  it('needs the right to manage users', async () => {
    const { applications, serviceUsers, ...rest } = await readTenantConfiguration(SAMPLE_CONFIGURATION_FILE);
    const powerless = serviceUsers.map((user) => ({ ...user, rights: [] }));
    const other = await startTenant({ config: { ...rest, applications, serviceUsers: powerless } });
    try {
      const otherClient = new TenantClient(other.url);
      const otherToken = await otherClient.token('provisioning', PROVISIONING);
      const callOther = (name: string, body: object) =>
        otherClient.call(`/CDirectoryService/${name}`, otherToken, body);
      const refused = [
        callOther('CreateUser', { Name: 'a', ...QUIET }),
        callOther('CreateUsers', [{ Name: 'a', ...QUIET }]),
        callOther('ChangeUser', { ID: READER }),
        callOther('DeleteUser', { ID: READER }),
        callOther('SetUserState', { ID: READER, state: 'Locked' }),
        callOther('GetUser', { ID: 'x' }),
        callOther('GetUserByName', { username: READER }),
        callOther('GetUsers', {}),
      ];
      for (const answer of await Promise.all(refused)) {
        expect(failureOf(answer).id).toBe('_I18N_System.UnauthorizedAccessException');
      }
      // Everybody may look at itself.
      successOf(await callOther('GetUserByName', {}));
      successOf(await callOther('GetUser', { ID: other.users.byName(PROVISIONING)?.uuid }));
    } finally {
      await other.close();
    }
  });
});

describe('CreateUsers', () => {
  it('returns the UUID and the name of each', async () => {
    const users = [
      { Name: 'many-1', ...QUIET },
      { Name: 'many-2', ...QUIET },
    ];
    expect(successOf(await call('CreateUsers', users))).toEqual([
      { Uuid: expect.any(String), Name: 'many-1@acme.example' },
      { Uuid: expect.any(String), Name: 'many-2@acme.example' },
    ]);
    expect(successOf(await call('CreateUsers', { Users: [{ Name: 'many-3', ...QUIET }] }))).toHaveLength(1);
  });

  it('creates all or none', async () => {
    const twice = [
      { Name: 'none-1', ...QUIET },
      { Name: 'None-1', ...QUIET },
    ];
    expect(failureOf(await call('CreateUsers', twice)).text).toBe('User name none-1@acme.example is already in use.');
    const weak = [
      { Name: 'none-1', ...QUIET },
      { Name: 'none-2', ...QUIET, Password: 'weak' },
    ];
    expect(failureOf(await call('CreateUsers', weak)).id).toBe('_I18N_SetPasswordFailedNotComplex');
    expect(tenant.users.byName('none-1')).toBeUndefined();
  });

  it('requires a list', async () => {
    expect(failureOf(await call('CreateUsers', {})).id).toBe('_I18N_RequiredParameter');
    expect(failureOf(await call('CreateUsers', { Users: 1 })).id).toBe('_I18N_Newtonsoft.Json.JsonReaderException');
  });

  it('needs the flag of the tenant', async () => {
    const configuration = await readTenantConfiguration(SAMPLE_CONFIGURATION_FILE);
    const limits = { users: configuration.serviceUsers.length + 2 };
    const other = await startTenant({ config: { ...configuration, tenantFlags: {}, limits } });
    try {
      const otherClient = new TenantClient(other.url);
      const otherToken = await otherClient.token('provisioning', PROVISIONING);
      const create = (name: string, body: unknown) => otherClient.call(`/CDirectoryService/${name}`, otherToken, body);
      expect(failureOf(await create('CreateUsers', [])).id).toBe('_I18N_System.UnauthorizedAccessException');

      // The service users leave room for two.
      successOf(await create('CreateUser', { Name: 'a', ...QUIET }));
      successOf(await create('CreateUser', { Name: 'b', ...QUIET }));
      expect(failureOf(await create('CreateUser', { Name: 'c', ...QUIET })).text).toMatch(/keeps at most/);
    } finally {
      await other.close();
    }
  });
});

describe('GetUser and GetUserByName', () => {
  it('return the documented fields of a user, and no others', async () => {
    const created = clock.now();
    const ID = successOf(await call('CreateUser', { Name: 'Known', Mail: 'k@example.com', DisplayName: 'K' }));
    const details = {
      Uuid: ID,
      Name: 'known@acme.example',
      Mail: 'k@example.com',
      DisplayName: 'K',
      Alias: 'acme.example',
      State: 'None',
      InEverybodyRole: true,
      OauthClient: false,
      ReportsTo: 'Unassigned',
      MobileNumber: null,
      CreateDate: `/Date(${created})/`,
      LastModifiedDate: `/Date(${created})/`,
      LastPasswordChangeDate: `/Date(${created})/`,
      Version: '1',
    };
    expect(successOf(await call('GetUser', { ID }))).toEqual(details);
    expect(successOf(await call('GetUserByName', { username: 'KNOWN' }))).toEqual(details);
  });

  it('report unknown users and missing fields', async () => {
    expect(failureOf(await call('GetUser', { ID: 'nobody' })).id).toBe('_I18N_UserIDNotFound');
    expect(failureOf(await call('GetUser', {})).id).toBe('_I18N_RequiredParameter');
    expect(failureOf(await call('GetUserByName', { username: 'nobody' })).id).toBe('_I18N_UserNotFound');
  });

  it('return the caller if no name is given', async () => {
    expect(successOf(await call('GetUserByName'))).toMatchObject({ Name: PROVISIONING, OauthClient: true });
  });
});

describe('GetUsers', () => {
  it('lists all users, also without a body', async () => {
    const { status, json } = await client.send('/CDirectoryService/GetUsers', {
      method: 'POST',
      headers: { authorization: `Bearer ${token}` },
    });
    expect(status).toBe(200);
    const rows = rowsOf(json?.Result);
    expect(rows).toHaveLength(tenant.users.size);
    expect(rows[0]).toMatchObject({ Name: PROVISIONING, Uuid: tenant.users.byName(PROVISIONING)?.uuid });
  });
});

describe('ChangeUser', () => {
  it('changes the fields in the call only', async () => {
    const ID = successOf(await call('CreateUser', { Name: 'before', ...QUIET, DisplayName: 'Before' }));
    clock.advance({ seconds: 5 });
    expect(successOf(await call('ChangeUser', { ID, Name: 'After', Mail: 'after@example.com' }))).toBeNull();
    expect(successOf(await call('GetUser', { ID }))).toMatchObject({
      Name: 'after@acme.example',
      Mail: 'after@example.com',
      DisplayName: 'Before',
      Version: '2',
      LastModifiedDate: `/Date(${clock.now()})/`,
    });
    expect(tenant.users.byName('before')).toBeUndefined();
  });

  it('rejects names in use, weak passwords and the old password, and then changes nothing', async () => {
    const ID = successOf(await call('CreateUser', { Name: 'steady', ...QUIET, Password: 'Passw0rd-1' }));
    const refused = (fields: object) => call('ChangeUser', { ID, DisplayName: 'changed', ...fields });
    expect(failureOf(await refused({ Name: READER })).text).toBe(`User name ${READER} is already in use.`);
    expect(failureOf(await refused({ Password: 'weak' })).id).toBe('_I18N_SetPasswordFailedNotComplex');
    expect(failureOf(await refused({ Password: 'Passw0rd-1' })).id).toBe('_I18N_SetPasswordFailedNewSameAsOld');
    expect(successOf(await call('GetUser', { ID }))).toMatchObject({ DisplayName: null, Version: '1' });
  });

  it('of a password changes the secret of a client, and ends its sessions', async () => {
    const reader = await client.token('provisioning', READER);
    clock.advance({ seconds: 1 });
    successOf(await call('ChangeUser', { ID: READER, Password: 'New-Secret-1' }));
    expect((await client.call('/Security/whoami', reader)).status).toBe(401);
    expect((await client.requestToken('provisioning', READER)).status).toBe(400);
    const grant = { grant_type: 'client_credentials' };
    const renewed = await client.postForm('/OAuth2/Token/provisioning', grant, basic(READER, 'New-Secret-1'));
    expect(renewed.status).toBe(200);
    tenant.users.setPassword(READER, SECRETS[READER]);
  });

  it('reports unknown users', async () => {
    expect(failureOf(await call('ChangeUser', { ID: 'nobody' })).id).toBe('_I18N_UserIDNotFound');
    expect(failureOf(await call('ChangeUser', { ID: 'nobody@acme.example' })).id).toBe('_I18N_UserNotFound');
    expect(failureOf(await call('ChangeUser', {})).id).toBe('_I18N_RequiredParameter');
  });
});

describe('SetUserState', () => {
  it.each([
    ['Locked', 'Locked'],
    ['disabled, Locked', 'Locked,Disabled'],
    ['EXPIRED', 'Expired'],
    ['none', 'None'],
  ])('sets %s', async (state, stored) => {
    successOf(await call('SetUserState', { ID: READER, state }));
    expect(tenant.users.byName(READER)?.state).toBe(stored);
  });

  it('ends the sessions of a client, which gets no token until the state is None again', async () => {
    const reader = await client.token('provisioning', READER);
    successOf(await call('SetUserState', { ID: READER, state: 'Locked' }));
    expect((await client.call('/Security/whoami', reader)).status).toBe(401);
    expect((await client.requestToken('provisioning', READER)).status).toBe(400);
    successOf(await call('SetUserState', { ID: READER, state: 'None' }));
    expect((await client.requestToken('provisioning', READER)).status).toBe(200);
  });

  it('rejects other states and unknown users', async () => {
    expect(failureOf(await call('SetUserState', { ID: READER, state: 'Asleep' })).text).toMatch(/None, or one or more/);
    expect(failureOf(await call('SetUserState', { ID: READER })).id).toBe('_I18N_RequiredParameter');
    expect(failureOf(await call('SetUserState', { ID: 'nobody', state: 'None' })).id).toBe('_I18N_UserIDNotFound');
  });
});

describe('DeleteUser', () => {
  it('accepts a UUID or a name', async () => {
    const ID = successOf(await call('CreateUser', { Name: 'gone-1', ...QUIET }));
    successOf(await call('CreateUser', { Name: 'gone-2', ...QUIET }));
    expect(successOf(await call('DeleteUser', { ID }))).toBeNull();
    expect(successOf(await call('DeleteUser', { ID: 'GONE-2@acme.example' }))).toBeNull();
    expect(failureOf(await call('GetUser', { ID })).id).toBe('_I18N_UserIDNotFound');
    expect(failureOf(await call('DeleteUser', { ID: 'gone-2@acme.example' })).id).toBe('_I18N_UserNotFound');
    // The name is free again.
    successOf(await call('CreateUser', { Name: 'gone-1', ...QUIET }));
  });
});

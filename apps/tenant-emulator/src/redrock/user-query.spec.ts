import { beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { ApiFailure } from '../rest-api/api-failure.js';
import { failureOf, successOf } from '../testing/envelope.js';
import { startTestTenant } from '../testing/test-tenant.js';
import { isLike, parseUserQuery } from './user-query.js';

const PROVISIONING = 'svc-provisioning@acme.example';
const QUIET = { SendEmailInvite: false };

const { tenant, client } = await startTestTenant();

let token: string;
beforeEach(async () => {
  token = await client.token('provisioning', PROVISIONING);
});

const call = (name: string, body?: unknown) => client.call(`/CDirectoryService/${name}`, token, body);

const query = (Script: string, Args?: object) => client.call('/Redrock/query', token, { Script, Args });

const rowsOf = (result: unknown) =>
  (result as { Results: { Row: Record<string, unknown> }[] }).Results.map((r) => r.Row);

describe('a Redrock query', () => {
  beforeAll(async () => {
    token = await client.token('provisioning', PROVISIONING);
    for (const name of ['ada', 'alan', "o'hara"]) {
      await call('CreateUser', { Name: `query-${name}`, ...QUIET, DisplayName: name.toUpperCase() });
    }
  });

  it('finds a user by name, as the official client does', async () => {
    const script =
      'Select ID, Username, DisplayName, Email, MobileNumber, LastLogin, DirectoryServiceUuid from User ' +
      "WHERE Username='query-ada@acme.example'";
    expect(rowsOf(successOf(await query(script)))).toEqual([
      {
        ID: tenant.users.byName('query-ada')?.uuid,
        Username: 'query-ada@acme.example',
        DisplayName: 'ADA',
        Email: null,
        MobileNumber: null,
        LastLogin: null,
        DirectoryServiceUuid: expect.any(String),
      },
    ]);
  });

  it('compares with = case-sensitively, and with LIKE ignoring case', async () => {
    const count = async (where: string) => rowsOf(successOf(await query(`SELECT ID FROM User WHERE ${where}`))).length;
    expect(await count("Username = 'QUERY-ada@acme.example'")).toBe(0);
    expect(await count("Username LIKE 'QUERY-%'")).toBe(3);
    expect(await count("Username LIKE 'query-a__@%'")).toBe(1);
    expect(await count("Username = 'query-o''hara@acme.example'")).toBe(1);
    expect(await count("Username LIKE '%.*'")).toBe(0);
    expect(await count("Username LIKE '%query-ada%' OR DisplayName LIKE '%alan%' OR Email LIKE '%ala%'")).toBe(2);
  });

  it('with a pattern of many percent signs takes no longer than others', async () => {
    const displayName = 'a'.repeat(200);
    successOf(await call('CreateUser', { Name: 'long-name', ...QUIET, DisplayName: displayName }));
    const count = async (where: string) => rowsOf(successOf(await query(`SELECT ID FROM User WHERE ${where}`))).length;
    expect(await count(`DisplayName LIKE '${'%a'.repeat(40)}%b'`)).toBe(0);
    expect(await count(`DisplayName LIKE '${'%a_'.repeat(40)}%'`)).toBe(1);
  });

  it('with a pattern finds what a regular expression of the same meaning finds', () => {
    const text = fc.string({ unit: fc.constantFrom('a', 'B', '.', '💡'), maxLength: 8 });
    const pattern = fc.array(fc.constantFrom('a', 'b', '.', '%', '_', '💡'), { maxLength: 6 });
    const meanings = new Map([
      ['%', '.*'],
      ['_', '.'],
      ['.', '\\.'],
    ]);
    fc.assert(
      fc.property(text, pattern, (text, pattern) => {
        const source = pattern.map((part) => meanings.get(part) ?? part).join('');
        expect(isLike(text, pattern.join(''))).toBe(new RegExp(`^${source}$`, 'isu').test(text));
      }),
    );
  });

  it('with a long run of blanks is rejected as fast as any other', async () => {
    const script = `SELECT${' '.repeat(9000)}x`;
    expect(failureOf(await query(script)).text).toMatch(/^The emulator cannot run this script\./);
  });

  it('returns pages, and the number of all rows', async () => {
    const page = async (args: object) => {
      const result = successOf(await query("select Username from User where Username like 'query-%'", args));
      return { names: rowsOf(result).map((row) => row.Username), result };
    };
    const first = await page({ PageNumber: 1, PageSize: 2, Caching: -1 });
    expect(first.names).toEqual(['query-ada@acme.example', 'query-alan@acme.example']);
    expect(first.result).toMatchObject({ Count: 2, FullCount: 3, IsAggregate: false });
    expect((await page({ PageNumber: '2', PageSize: '2' })).names).toEqual(["query-o'hara@acme.example"]);
    expect((await page({ Limit: 1 })).names).toHaveLength(1);
  });

  it.each([
    'DROP TABLE User',
    'SELECT * FROM Role',
    'SELECT Password FROM User',
    "SELECT * FROM User WHERE Username = 'a' AND Email = 'b'",
    "SELECT * FROM User WHERE Nonsense = 'a'",
    'SELECT * FROM User WHERE Username = "a"',
    `SELECT ${' '.repeat(20_000)} * FROM User`,
  ])('that the emulator cannot run fails with an error: %.60s', async (script) => {
    expect(failureOf(await query(script)).text).toMatch(/^The emulator cannot run this script\./);
  });

  it('with unsupported arguments fails', async () => {
    expect(failureOf(await query('SELECT * FROM User', { SortBy: 'Username' })).text).toMatch(/cannot sort/);
    expect(failureOf(await query('SELECT * FROM User', { PageNumber: 0 })).id).toBe(
      '_I18N_Newtonsoft.Json.JsonReaderException',
    );
    expect(failureOf(await client.call('/Redrock/query', token, {})).id).toBe('_I18N_RequiredParameter');
  });

  it('parses or rejects any script', () => {
    const words = fc.constantFrom('select', 'from', 'user', 'where', 'or', 'like', '=', ',', "'", '*', 'id', ' ', '%');
    fc.assert(
      fc.property(fc.array(fc.oneof(words, fc.string()), { maxLength: 30 }), (script) => {
        try {
          expect(parseUserQuery(script.join(' ')).columns.length).toBeGreaterThan(0);
        } catch (error) {
          expect(error).toBeInstanceOf(ApiFailure);
        }
      }),
    );
  });
});

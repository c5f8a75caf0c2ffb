import { describe, expect, it, test } from '@jest/globals';
import fc from 'fast-check';
import { newUser } from '../../../user-provisioning/src/users/user.schema.js';
import { InputError } from '../errors.js';
import { type InputRecord, isBad } from './input-record.js';
import { inputRecords } from './input-records.js';
import type { InputFormat } from './input-source.js';
import { MAX_LINE_BYTES } from './lines.js';
import { checkUser } from './user-fields.js';

async function* chunksOf(content: Buffer, size: number): AsyncGenerator<Buffer> {
  for (let at = 0; at < content.length; at += size) yield content.subarray(at, at + size);
}

async function read(content: string | Buffer, format?: InputFormat, chunkSize = 7): Promise<InputRecord[]> {
  const records: InputRecord[] = [];
  const bytes = Buffer.from(content as string);
  for await (const group of inputRecords(chunksOf(bytes, chunkSize), format)) records.push(...group);
  return records;
}

/** Each record in short: its line and its user, or its fault. */
async function inShort(content: string | Buffer, format?: InputFormat): Promise<unknown[]> {
  return (await read(content, format)).map((record) => [record.line, isBad(record) ? record.fault : record.user]);
}

const mary = { name: 'mary', mail: 'mary@example.org' };

describe('CSV', () => {
  test.each<[string, string, unknown[]]>([
    ['the simplest', 'name,mail\nmary,mary@example.org\n', [[2, mary]]],
    ['no line break at the end', 'name,mail\nmary,mary@example.org', [[2, mary]]],
    ['Windows', '\ufeffname,mail\r\nmary,mary@example.org\r\n', [[2, mary]]],
    ['semicolons, as some spreadsheets write it', 'Mail;Name\nmary@example.org;mary\n', [[2, mary]]],
    ['tabs', 'mail\tname\nmary@example.org\tmary\n', [[2, mary]]],
    ['a header in quotes', '"name","mail"\nmary,mary@example.org\n', [[2, mary]]],
    ['blank lines', '\n\r\nname,mail\n\nmary,mary@example.org\n\n', [[5, mary]]],
    ['empty cells, which are not there', 'name,mail,displayName\nmary,mary@example.org,\n', [[2, mary]]],
    [
      'flags in any letter case',
      'name,mail,sendInvitation,mustChangePassword\nmary,mary@example.org,TRUE,False\n',
      [[2, { ...mary, sendInvitation: true, mustChangePassword: false }]],
    ],
    [
      'flags that are none',
      'name,mail,sendInvitation\nmary,mary@example.org,yes\n',
      [[2, 'sendInvitation: must be true or false']],
    ],
    [
      'quotes, delimiters and line breaks in quotes',
      'name,mail,description\nmary,mary@example.org,"a ""b"",\r\nc"\njohn,mary@example.org,x\n',
      [
        [2, { ...mary, description: 'a "b",\r\nc' }],
        [4, { ...mary, name: 'john', description: 'x' }],
      ],
    ],
    [
      'a quote in the middle of a cell, which takes no other line with it',
      'name,mail\nma"ry,x\nmary,mary@example.org\n',
      [
        [2, 'has a misplaced quote'],
        [3, mary],
      ],
    ],
    [
      'text behind a closing quote',
      'name,mail\n"mary"x,y\nmary,mary@example.org\n',
      [
        [2, 'has a misplaced quote'],
        [3, mary],
      ],
    ],
    [
      'a quote that is not closed',
      'name,mail\nmary,mary@example.org\n"john,john@example.org\nevil,evil@example.org\n',
      [
        [2, mary],
        [3, 'has an unclosed quote; line 4, after the quote, may be valid'],
      ],
    ],
    ['too few columns', 'name,mail\nmary\n', [[2, 'has 1 column; the header has 2']]],
    ['too many columns', 'name,mail\nmary,mary@example.org,x\n', [[2, 'has 3 columns; the header has 2']]],
    ['a header alone', 'name,mail\n', []],
  ])('%s', async (_name, content, expected) => {
    expect(await inShort(content)).toEqual(expected);
  });

  test('a line that is too long, with the lines around it', async () => {
    const content = `name,mail\nmary,mary@example.org\n${'x'.repeat(MAX_LINE_BYTES)},x\nmary,mary@example.org\n`;
    expect(await inShort(content)).toEqual([
      [2, mary],
      [3, 'is longer than 65536 bytes'],
      [4, mary],
    ]);
  });

  test('an unclosed quote affects at most one row of the maximum length', async () => {
    const line = 'mary,mary@example.org\n';
    const records = await read(`name,mail\n"${line.repeat(10_000)}`, 'csv', 65_536);
    expect(records[0]).toMatchObject({ line: 2, lastLine: 2 + Math.floor(MAX_LINE_BYTES / line.length) });
    expect(records[0]).toMatchObject({
      fault: expect.stringContaining('has a quote that is not closed within 65536 bytes'),
    });
    expect(records.slice(1).every((record) => !isBad(record))).toBe(true);
    expect(records.at(-1)?.line).toBe(10_001);
  });

  test('a line that is not UTF-8, among others that are', async () => {
    const latin1 = Buffer.from('name,mail\nmary,mary@example.org\nJ\xfcrgen,j@example.org\n', 'latin1');
    expect(await inShort(latin1)).toEqual([
      [2, mary],
      [3, 'is not UTF-8 text; save the file as UTF-8'],
    ]);
  });

  test.each([
    ['no name', 'mail,displayName\n', 'there is no column name'],
    ['a column that is not known', 'name,mail,passwort\n', 'column 3 is not a field of a user'],
    ['a column twice', 'name,mail,Name\n', 'column 3 has the same name as column 1'],
    ['a line without an end', 'x'.repeat(100_000), 'UTF-8'],
  ])('a header with %s cannot be imported', async (_name, content, words) => {
    await expect(read(content)).rejects.toThrow(words);
    await expect(read(content)).rejects.toThrow(InputError);
  });

  it('reads back any content, in any chunks', async () => {
    const cell = fc.string({
      unit: fc.constantFrom('a', ',', '"', '\n', '\r\n', ';', 'é', '😀', ' x'),
      minLength: 1,
      maxLength: 12,
    });
    const texts = fc.array(
      cell.map((text) => `.${text}.`),
      { maxLength: 20 },
    );
    await fc.assert(
      fc.asyncProperty(texts, fc.integer({ min: 1, max: 50 }), async (descriptions, chunkSize) => {
        const rows = descriptions.map((text) => `mary,mary@example.org,"${text.replaceAll('"', '""')}"`);
        const records = await read(['name,mail,description', ...rows].join('\n'), 'csv', chunkSize);
        expect(records.map((record) => (isBad(record) ? record : record.user.description))).toEqual(descriptions);
        const bytes = records.reduce((sum, record) => sum + record.bytes, 0);
        expect(bytes).toBe(Buffer.byteLength(rows.join('\n')));
      }),
    );
  });

  it('loses no valid row because of an invalid one', async () => {
    const good = (i: number) => `user-${i},user-${i}@example.org,"a ""b"" c"`;
    const bad = fc.constantFrom('x"y,z', '"x"y,z,a', 'x', 'a,b,c,d', 'user,no mail,');
    const lines = fc.array(fc.option(bad, { nil: undefined }), { maxLength: 40 });
    const lineBreak = fc.constantFrom('\n', '\r', '\r\n', '\r\r\n', '\n\n', '\n,,\n');
    await fc.assert(
      fc.asyncProperty(lines, lineBreak, fc.integer({ min: 1, max: 9 }), async (faults, end, chunkSize) => {
        const rows = faults.map((fault, i) => fault ?? good(i));
        const records = await read(['name,mail,description', ...rows].join(end), 'csv', chunkSize);
        const step = end.startsWith('\n') ? end.split('\n').length - 1 : 1;
        expect(records.map(({ line }) => line)).toEqual(rows.map((_, i) => (i + 1) * step + 1));
        expect(records.map((record) => isBad(record))).toEqual(faults.map((fault) => fault !== undefined));
      }),
    );
  });
});

describe('a line break of another kind than the header has', () => {
  const lineBreak = fc.constantFrom('\n', '\r', '\r\n', '\r\r\n');
  const row = fc.record({
    password: fc.stringMatching(/^[a-z]{2,6}$/),
    isQuoted: fc.boolean(),
    end: lineBreak,
    /** Where in the password a stray one stands. */
    strayAt: fc.option(fc.integer({ min: 1, max: 5 }), { nil: undefined, freq: 3 }),
  });
  const file = fc.tuple(lineBreak, fc.array(row, { minLength: 1, maxLength: 8 }));

  it('ends rows, and never leaves a user with part of a password', async () => {
    await fc.assert(
      fc.asyncProperty(file, fc.integer({ min: 1, max: 20 }), async ([own, rows], chunkSize) => {
        const stray = own === '\r' ? '\n' : '\r';
        const names = new Map<string, string>();
        const good: string[] = [];
        const lines = rows.map(({ password, isQuoted, end, strayAt = 9 }, i) => {
          names.set(`user${i}`, password);
          const isTorn = strayAt < password.length && !isQuoted;
          if (!isTorn) good.push(`user${i}`);
          const text = isTorn ? password.slice(0, strayAt) + stray + password.slice(strayAt) : password;
          return `user${i},u@example.org,${isQuoted ? `"${text}"` : text}${end}`;
        });
        const records = await read(`name,mail,password${own}${lines.join('')}`, 'csv', chunkSize);
        const users = records.flatMap((record) => (isBad(record) ? [] : record.user));
        for (const { name, password } of users) expect(password).toBe(names.get(name));
        if (good.length === rows.length) expect(users.map(({ name }) => name)).toEqual(good);
        expect(good).toEqual(expect.arrayContaining(users.map(({ name }) => name)));
      }),
      { numRuns: 500 },
    );
  });
});

describe('NDJSON', () => {
  test.each<[string, string, unknown[]]>([
    [
      'lines',
      `${JSON.stringify(mary)}\n\r\n${JSON.stringify(mary)}`,
      [
        [1, mary],
        [3, mary],
      ],
    ],
    ['a byte order mark and Windows', `\ufeff${JSON.stringify(mary)}\r\n`, [[1, mary]]],
    [
      'no JSON',
      `{"name"\n{"password":"S3cret"\n${JSON.stringify(mary)}\n`,
      [
        [1, 'is not JSON'],
        [2, 'is not JSON'],
        [3, mary],
      ],
    ],
    [
      'JSON that is no object',
      '{}\n[]\n1\nnull\n',
      [[1, expect.stringContaining('name')], ...[2, 3, 4].map((line) => [line, 'is not a JSON object'])],
    ],
    [
      'a member that is not known',
      '{"name":"mary","mail":"mary@example.org","isAdmin":true}',
      [[1, 'has a member that is not a field of a user']],
    ],
  ])('%s', async (_name, content, expected) => {
    expect(await inShort(content)).toEqual(expected);
  });

  it('is detected by the file name, whatever the file starts with', async () => {
    expect(await inShort('oops\n', 'ndjson')).toEqual([[1, 'is not JSON']]);
  });
});

describe('a user', () => {
  it('is valid here exactly if the service accepts it', () => {
    const text = fc.oneof(
      fc.string({ maxLength: 12 }),
      fc.constantFrom('', ' ', 'mary', 'mary@x', 'a/b', '+49 30 1234', 'm@example.org', 'x'.repeat(1025)),
    );
    const value = fc.oneof(text, fc.boolean(), fc.constant(null), fc.integer());
    const user = fc.record(
      {
        name: fc.oneof(fc.constant('mary'), value),
        mail: fc.oneof(fc.constant('m@example.org'), value),
        displayName: value,
        description: value,
        mobileNumber: value,
        officeNumber: value,
        password: value,
        mustChangePassword: value,
        sendInvitation: value,
        unknown: value,
      },
      { requiredKeys: [] },
    );
    fc.assert(
      fc.property(user, (fields) => {
        expect('user' in checkUser(fields)).toBe(newUser.safeParse(fields).success);
      }),
      { numRuns: 500, examples: [[{ name: 'mary', mail: 'm@example.org' }]] },
    );
  });

  it('has one fault per invalid member, without values or unknown names', () => {
    const user = { mail: 's3cret one', displayName: { text: 's3cret' }, 's3cret!': 1, Password: 's3cret\r' };
    expect(checkUser({ ...user, password: 's3cret\r', sendInvitation: 's3cret' })).toEqual({
      fault: [
        'name is missing',
        'mail: must be a mail address',
        'displayName: must be text',
        'password: must not have a line break or control character in it',
        'sendInvitation: must be true or false',
        'has 2 members that are not fields of a user (did you mean password?)',
      ].join('; '),
    });
  });
});

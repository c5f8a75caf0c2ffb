import { join } from 'node:path';
import { describe, expect, it, jest, test } from '@jest/globals';
import { ANN, ann, BOB, bob, HEADER, Lab } from '../testing/lab.js';

// Files as spreadsheets, other systems and people make them.

// Most of it is waiting, but processes take their time to begin on a machine that is busy.
jest.setTimeout(120_000);

const lab = Lab.use();

/** Checks an input that is refused as a whole, and returns the message. */
async function refusal(content: string | Buffer, name = 'users.csv'): Promise<string> {
  const { exitCode, stdout, stderr } = await lab.checked(content, name);
  expect([exitCode, stdout]).toEqual([2, '']);
  return stderr;
}

describe('line ends', () => {
  it('in-G5: a file with carriage returns as line ends is read', async () => {
    const { asked, exitCode } = await lab.imported(`${HEADER}\r${ANN}\r`);
    expect([exitCode, asked]).toEqual([0, [ann]]);
  });

  it('in-G9: a doubled carriage return never becomes part of a password', async () => {
    const { asked, exitCode } = await lab.imported(`${HEADER}\r\r\n${ANN}\r\r\n`);
    expect([exitCode, asked]).toEqual([0, [ann]]);
  });

  test.each([
    ['line feeds', `${HEADER}\n${ANN}\n${BOB}`],
    ['Windows', `${HEADER}\r\n${ANN}\r\n${BOB}\r\n`],
    ['old Macintosh, without one at the end', `${HEADER}\r${ANN}\r${BOB}`],
    ['line feed first', `${HEADER}\n\r${ANN}\n\r${BOB}\n\r`],
    ['Windows, edited on Linux', `${HEADER}\r\n${ANN}\n${BOB}\r\n`],
    ['Linux, edited on Windows', `${HEADER}\n${ANN}\r\n${BOB}\n`],
    ['two files in one', `${HEADER}\n${ANN}\r${BOB}\r`],
    ['the other way round', `${HEADER}\r${ANN}\n${BOB}\n`],
    ['Windows, whose last line has lost its line feed', `${HEADER}\r\n${ANN}\r\n${BOB}\r`],
    ['doubled, in quotes', `${HEADER}\r\r\n"ann",ann@x.example,"S3cret!one"\r\r\n${BOB}\r\r\n`],
  ])('of any kind are understood: %s', async (_name, content) => {
    const { asked, exitCode } = await lab.imported(content);
    expect([exitCode, asked.toSorted((a, b) => (a.name < b.name ? -1 : 1))]).toEqual([0, [ann, bob]]);
  });

  test.each([
    ['a carriage return in a file of line feeds', '\n', '\r'],
    ['a carriage return in a file of Windows', '\r\n', '\r'],
    ['a line feed in a file of Windows', '\r\n', '\n'],
    ['a line feed in a file of carriage returns', '\r', '\n'],
    ['a Windows line end in a file of line feeds', '\n', '\r\n'],
    ['a Windows line end in a file of carriage returns', '\r', '\r\n'],
    ['two carriage returns in a file of line feeds', '\n', '\r\r'],
    ['two line feeds and a space in a Windows file', '\r\n', '\n \n'],
  ])('never split a password: %s', async (_name, end, stray) => {
    const { asked, exitCode, stderr } = await lab.imported([HEADER, ANN, `${BOB}${stray}rest`, ''].join(end));
    expect([exitCode, asked]).toEqual([1, [ann]]);
    expect(stderr).toContain('Line 3: rejected (invalid): is incomplete, or the row beside it is');
  });

  test.each(['\r', '\n', '\u0085', '\u2028', '\u2029', '\v', '\u0000', '\ufeff'])(
    'that are not CSV line ends, or are in quotes, are rejected in a password: %j',
    async (character) => {
      const row = `bob,bob@x.example,"S3cret!two${character}"`;
      const { asked, exitCode, stderr } = await lab.imported(`${HEADER}\n${ANN}\n${row}\n`);
      expect([exitCode, asked]).toEqual([1, [ann]]);
      expect(stderr).toContain('password: must not have a line break or control character in it');
    },
  );

  test.each(['password', 'displayName', 'description', 'name'])(
    'and characters that an earlier conversion lost are rejected: %s',
    async (member) => {
      const rows = ['S3cret\ufffdtwo', 'S3cret\ud800two'].map((text) => JSON.stringify({ ...bob, [member]: text }));
      const { asked, path } = await lab.imported([JSON.stringify(ann), ...rows, ''].join('\n'), 'users.ndjson');
      expect(asked).toEqual([ann]);
      const [first, second] = await lab.rejects(path);
      expect(first).toMatchObject({
        line: 2,
        reason: expect.stringContaining(`${member}: has a character that was lost`),
      });
      expect(second).toMatchObject({ line: 3, code: 'invalid' });
    },
  );

  test.each(['\u0085', '\u2028', '\u2029', '\v', '\f', '\u001e'])(
    'that CSV does not have are named, without content of the file: %j',
    async (end) => {
      const message = await refusal([HEADER, ANN, BOB, ''].join(end));
      expect(message).toContain('end lines with a line feed (LF), or CR LF');
      expect(message).not.toMatch(/ann|S3cret/);
    },
  );

  it('may be carriage returns in NDJSON too', async () => {
    const { asked } = await lab.imported(`${JSON.stringify(ann)}\r${JSON.stringify(bob)}\r`, 'users.ndjson');
    expect(asked.length).toBe(2);
  });

  it('and a byte order mark never become part of a password from standard input', async () => {
    const options = ['--name', 'ann', '--mail', 'ann@x.example', '--password-stdin'];
    for (const stdin of ['S3cret!one', 'S3cret!one\r\r\n', 'S3cret!one\r', '\ufeffS3cret!one\r\nmore']) {
      lab.service.asked = [];
      expect(await lab.command(['create', ...options], { stdin })).toMatchObject({ exitCode: 0 });
      expect(lab.service.asked).toMatchObject([{ password: 'S3cret!one' }]);
    }
  });
});

describe('cells and rows', () => {
  it('in-G2: words of spreadsheets for true and false are understood, and no other word is guessed', async () => {
    const words = ['FALSCH', 'FAUX', 'FALSO', 'falso', '0', 'WAHR', 'vrai', '1', 'yes', 'nein', '2', 'FALSCHE'];
    const rows = words.map((word, i) => `semi${i};semi${i}@x.example;${word}`);
    const { asked, path } = await lab.imported(['name;mail;sendInvitation', ...rows, ''].join('\n'));
    const sent = new Map(asked.map(({ name, sendInvitation }) => [name, sendInvitation]));
    expect(words.map((_, i) => sent.get(`semi${i}`))).toEqual([
      ...Array<boolean>(5).fill(false),
      ...Array<boolean>(3).fill(true),
      ...Array<undefined>(4).fill(undefined),
    ]);
    expect(await lab.rejects(path)).toEqual(
      [10, 11, 12, 13].map((line) => ({ line, code: 'invalid', reason: 'sendInvitation: must be true or false' })),
    );
  });

  it('in-G8: sep= before the header is understood', async () => {
    for (const [i, first] of ['sep=;', '\ufeffSEP=;', '"sep=;"'].entries()) {
      const { asked, exitCode } = await lab.imported(
        `${first}\r\n${HEADER}\n${ANN}\n`.replaceAll(',', ';'),
        `${i}.csv`,
      );
      expect([exitCode, asked]).toEqual([0, [ann]]);
    }
    expect(await refusal(`sep=#\nname#mail\n`)).toContain('names an unsupported delimiter');
    // It counts, even against what the header looks like.
    expect(await refusal(`sep=;\n${HEADER}\n${ANN}\n`)).toContain('there is no column name');
  });

  it('in-G12: a row of blank cells is skipped, and a missing value is called missing', async () => {
    const rows = [ANN, ',,', ' , ,\t', '"",,', '   ', ',bob@x.example,', 'bob,,', 'bob,bob,'];
    const { exitCode, stdout } = await lab.checked([HEADER, ...rows, ',,', ''].join('\n'));
    expect([exitCode, stdout]).toEqual([
      1,
      'Line 7: rejected (invalid): name is missing\n' +
        'Line 8: rejected (invalid): mail is missing\n' +
        'Line 9: rejected (invalid): mail: must be a mail address\n' +
        '1 line valid, 3 lines invalid. Nothing was sent.\n',
    ]);
  });

  it('in-G17: a name in another Unicode form is sent in NFC, and a second form of it names the line of the first', async () => {
    const [nfc, nfd] = ['jörg1'.normalize('NFC'), 'jörg1'.normalize('NFD')];
    const alone = await lab.imported(`name,mail\n${nfd},j@x.example\n`, 'alone.csv');
    expect(alone.asked).toMatchObject([{ name: nfc }]);
    const { asked, path } = await lab.imported(`name,mail\n${nfc},j@x.example\nann,a@x.example\n${nfd},j@x.example\n`);
    expect(asked.map(({ name }) => name).toSorted()).toEqual(['ann', nfc]);
    expect(await lab.rejects(path)).toEqual([
      {
        line: 4,
        code: 'invalid',
        reason: 'name is that of line 2 in another Unicode form (NFC, NFD): it is the same user',
      },
    ]);
  });

  it('in-G22: the summary counts lines, including those that may be valid', async () => {
    const rows = Array.from({ length: 52 }, (_, i) => `user${i},user${i}@x.example,${i === 1 ? '"A' : 'S3cret!one'}`);
    const { asked, exitCode, stdout, stderr } = await lab.imported([HEADER, ...rows, ''].join('\n'));
    expect([exitCode, asked.length]).toEqual([1, 1]);
    expect(stderr).toContain(
      'Lines 3 to 53: rejected (invalid): has an unclosed quote; lines 4 to 53, after the quote, may be valid',
    );
    expect(stdout).toContain(
      '1 user created, 51 lines rejected.\nOf these, 50 lines after an unclosed quote may be valid.\n',
    );
    // A later quote ends it, and neither row is one: the lines between may be good as well.
    const closed = rows.with(29, 'user29,user29@x.example,"B"');
    const between = await lab.checked([HEADER, ...closed, ''].join('\n'), 'closed.csv');
    expect(between.stdout).toContain('Lines 3 to 31: rejected (invalid): has a misplaced quote; lines 4 to 31');
    expect(between.stdout).toContain('23 lines valid, 29 lines invalid.');
    const again = await lab.command(['import', join(lab.folder, 'users.csv'), '--json']);
    expect(again.events().at(-1)).toMatchObject({ created: 1, rejected: 51, maybeGood: 50 });
    const dry = await lab.command(['import', join(lab.folder, 'users.csv'), '--dry-run', '--json']);
    expect(dry.events().at(-1)).toEqual({ event: 'checked', right: 1, wrong: 51, maybeGood: 50 });
  });

  it('in-G29: a member that is null counts as missing', async () => {
    const { asked, exitCode } = await lab.imported(
      '{"name":"a","mail":"a@x.example","displayName":null,"password":null}\n',
      'u.ndjson',
    );
    expect([exitCode, asked]).toEqual([0, [{ name: 'a', mail: 'a@x.example' }]]);
    expect((await lab.checked('{"name":null,"mail":"a@x.example"}\n', 'u.ndjson')).stdout).toContain('name is missing');
  });

  it('in-G42: a mail domain in its own script is sent in ASCII, as the service takes it', async () => {
    const { asked, path } = await lab.imported('name,mail\num3,um3@münchen.example\num4,jörg@x.example\num5,u@\n');
    expect(asked).toEqual([{ name: 'um3', mail: 'um3@xn--mnchen-3ya.example' }]);
    expect(await lab.rejects(path)).toEqual([
      { line: 3, code: 'invalid', reason: 'mail: must be a mail address with ASCII characters before the @' },
      { line: 4, code: 'invalid', reason: 'mail: must be a mail address' },
    ]);
  });

  test.each([
    ['a pipe as the delimiter', `${HEADER}\n${ANN}\n`.replaceAll(',', '|')],
    ['columns without a name at the end', `${HEADER},,\n${ANN},,\n`],
    ['a header in capitals, in quotes, with spaces', `"NAME" ,Mail, PASSWORD\n${ANN}\n`.replace('" ', '"')],
    ['a byte order mark', `\ufeff${HEADER}\n${ANN}\n`],
  ])('are understood with %s', async (_name, content) => {
    const { asked, exitCode } = await lab.imported(content);
    expect([exitCode, asked]).toEqual([0, [ann]]);
  });
});

describe('an input in another format', () => {
  it('in-G20: an empty file ends with exit code 2: there is no header', async () => {
    for (const content of ['', '\ufeff', '\n\r\n', 'sep=;\n']) {
      const path = await lab.file('e.csv', content);
      for (const args of [
        ['import', path],
        ['import', path, '--dry-run'],
      ]) {
        const { exitCode, stderr } = await lab.command(args);
        expect([exitCode, stderr]).toEqual([2, 'provision-cli: The input is empty: there is no header.\n']);
      }
      const fromStdin = await lab.command(['import', '-', '--journal', join(lab.folder, 'j')], { stdin: content });
      expect([fromStdin.exitCode, fromStdin.stderr]).toEqual([2, expect.stringContaining('there is no header')]);
    }
    // NDJSON has no header: no line is no user.
    expect((await lab.checked('', 'e.ndjson')).exitCode).toBe(0);
  });

  it('in-G24: a JSON array is rejected with a message that explains how to convert it to NDJSON', async () => {
    const array = JSON.stringify([ann]);
    for (const [content, name] of [
      [array, 'users.json'],
      [array, 'users.ndjson'],
      [array, 'users.csv'],
      [`\n\n  [\n${JSON.stringify(ann)}\n]`, 'users.json'],
    ] as const) {
      const message = await refusal(content, name);
      expect(message).toContain('JSON array; expected NDJSON, one JSON object per line. Convert it: jq -c ".[]"');
      expect(message).not.toContain('S3cret');
    }
    expect(await refusal(JSON.stringify(ann, undefined, 2), 'users.json')).toContain('jq -c .');
  });

  test.each<[string, Buffer, string]>([
    ['UTF-16, little end first', Buffer.from(`\ufeff${HEADER}\n${ANN}\n`, 'utf16le'), 'UTF-16'],
    ['UTF-16, big end first', Buffer.from(`\ufeff${HEADER}\n${ANN}\n`, 'utf16le').swap16(), 'UTF-16'],
    ['UTF-16 without a mark', Buffer.from(`${HEADER}\n${ANN}\n`, 'utf16le'), 'UTF-16'],
    ['a spreadsheet', Buffer.from('PK\x03\x04S3cret!one'), 'is a spreadsheet or an archive'],
    ['gzip', Buffer.from([0x1f, 0x8b, 8, 0]), 'zcat'],
  ])('is detected by its first bytes: %s', async (_name, content, words) => {
    for (const name of ['users.csv', 'users.ndjson', 'users']) {
      const message = await refusal(content, name);
      expect(message).toContain(words);
      expect(message).not.toContain('S3cret');
    }
  });
});

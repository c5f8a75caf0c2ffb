import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it, jest, test } from '@jest/globals';
import fc from 'fast-check';
import { type CommandResult, Lab, users } from './testing/lab.js';

// Files as spreadsheets, other systems and people make them.

jest.setTimeout(120_000);

const lab = Lab.use();

/** Imports a file; the users whom the service was asked for come with the result. */
async function imported(content: string | Buffer, name = 'users.csv') {
  const path = await lab.file(name, content);
  lab.service.asked = [];
  const result = await lab.command(['import', path]);
  return { path, asked: lab.service.asked, ...result };
}

const checkedOnly = async (content: string | Buffer, name = 'users.csv'): Promise<CommandResult> =>
  lab.command(['import', await lab.file(name, content), '--dry-run']);

/** Runs a dry run of what must not be read, and gives the message. */
async function refusal(content: string | Buffer, name = 'users.csv'): Promise<string> {
  const { exitCode, stdout, stderr } = await checkedOnly(content, name);
  expect([exitCode, stdout]).toEqual([2, '']);
  return stderr;
}

const ann = { name: 'ann', mail: 'ann@x.example', password: 'S3cret!one' };
const bob = { name: 'bob', mail: 'bob@x.example', password: 'S3cret!two' };
const HEADER = 'name,mail,password';
const ANN = 'ann,ann@x.example,S3cret!one';
const BOB = 'bob,bob@x.example,S3cret!two';

describe('line ends', () => {
  it('in-G5: a file whose lines end in a carriage return alone is read', async () => {
    const { asked, exitCode } = await imported(`${HEADER}\r${ANN}\r`);
    expect([exitCode, asked]).toEqual([0, [ann]]);
  });

  it('in-G9: a carriage return that is doubled gets into no password', async () => {
    const { asked, exitCode } = await imported(`${HEADER}\r\r\n${ANN}\r\r\n`);
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
    const { asked, exitCode } = await imported(content);
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
    ['two line feeds and a blank in a file of Windows', '\r\n', '\n \n'],
  ])('never cut a password in two: %s', async (_name, end, stray) => {
    const { asked, exitCode, stderr } = await imported([HEADER, ANN, `${BOB}${stray}rest`, ''].join(end));
    expect([exitCode, asked]).toEqual([1, [ann]]);
    expect(stderr).toContain('Line 3: rejected (invalid): is incomplete, or the row beside it is');
  });

  test.each(['\r', '\n', '\u0085', '\u2028', '\u2029', '\v', '\u0000', '\ufeff'])(
    'that are none of CSV, or in quotes, are refused in a password: %j',
    async (character) => {
      const row = `bob,bob@x.example,"S3cret!two${character}"`;
      const { asked, exitCode, stderr } = await imported(`${HEADER}\n${ANN}\n${row}\n`);
      expect([exitCode, asked]).toEqual([1, [ann]]);
      expect(stderr).toContain('password: must not have a line break or control character in it');
    },
  );

  test.each(['password', 'displayName', 'description', 'name'])(
    'and characters that were lost before are refused: %s',
    async (member) => {
      const rows = ['S3cret\ufffdtwo', 'S3cret\ud800two'].map((text) => JSON.stringify({ ...bob, [member]: text }));
      const { asked, path } = await imported([JSON.stringify(ann), ...rows, ''].join('\n'), 'users.ndjson');
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
    'that CSV does not have are named, with nothing of the file: %j',
    async (end) => {
      const message = await refusal([HEADER, ANN, BOB, ''].join(end));
      expect(message).toContain('end lines with a line feed (LF), or CR LF');
      expect(message).not.toMatch(/ann|S3cret/);
    },
  );

  it('may be carriage returns in NDJSON too', async () => {
    const { asked } = await imported(`${JSON.stringify(ann)}\r${JSON.stringify(bob)}\r`, 'users.ndjson');
    expect(asked.length).toBe(2);
  });

  it('and a byte order mark get into no password from standard input', async () => {
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
    const { asked, path } = await imported(['name;mail;sendInvitation', ...rows, ''].join('\n'));
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
      const { asked, exitCode } = await imported(`${first}\r\n${HEADER}\n${ANN}\n`.replaceAll(',', ';'), `${i}.csv`);
      expect([exitCode, asked]).toEqual([0, [ann]]);
    }
    expect(await refusal(`sep=#\nname#mail\n`)).toContain('names an unsupported delimiter');
    // It counts, even against what the header looks like.
    expect(await refusal(`sep=;\n${HEADER}\n${ANN}\n`)).toContain('there is no column name');
  });

  it('in-G12: a row of blank cells is passed over, and a missing value is called missing', async () => {
    const rows = [ANN, ',,', ' , ,\t', '"",,', '   ', ',bob@x.example,', 'bob,,', 'bob,bob,'];
    const { exitCode, stdout } = await checkedOnly([HEADER, ...rows, ',,', ''].join('\n'));
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
    const alone = await imported(`name,mail\n${nfd},j@x.example\n`, 'alone.csv');
    expect(alone.asked).toMatchObject([{ name: nfc }]);
    const { asked, path } = await imported(`name,mail\n${nfc},j@x.example\nann,a@x.example\n${nfd},j@x.example\n`);
    expect(asked.map(({ name }) => name).toSorted()).toEqual(['ann', nfc]);
    expect(await lab.rejects(path)).toEqual([
      {
        line: 4,
        code: 'invalid',
        reason: 'name is that of line 2 in another Unicode form (NFC, NFD): it is the same user',
      },
    ]);
  });

  it('in-G22: the summary counts lines, and says which may be good', async () => {
    const rows = Array.from({ length: 52 }, (_, i) => `user${i},user${i}@x.example,${i === 1 ? '"A' : 'S3cret!one'}`);
    const { asked, exitCode, stdout, stderr } = await imported([HEADER, ...rows, ''].join('\n'));
    expect([exitCode, asked.length]).toEqual([1, 1]);
    expect(stderr).toContain(
      'Lines 3 to 53: rejected (invalid): has an unclosed quote; lines 4 to 53, after the quote, may be valid',
    );
    expect(stdout).toContain(
      '1 user created, 51 lines rejected.\nOf these, 50 lines after an unclosed quote may be valid.\n',
    );
    // A later quote ends it, and neither row is one: the lines between may be good as well.
    const closed = rows.with(29, 'user29,user29@x.example,"B"');
    const between = await checkedOnly([HEADER, ...closed, ''].join('\n'), 'closed.csv');
    expect(between.stdout).toContain('Lines 3 to 31: rejected (invalid): has a misplaced quote; lines 4 to 31');
    expect(between.stdout).toContain('23 lines valid, 29 lines invalid.');
    const again = await lab.command(['import', join(lab.folder, 'users.csv'), '--json']);
    expect(again.events().at(-1)).toMatchObject({ created: 1, rejected: 51, maybeGood: 50 });
    const dry = await lab.command(['import', join(lab.folder, 'users.csv'), '--dry-run', '--json']);
    expect(dry.events().at(-1)).toEqual({ event: 'checked', right: 1, wrong: 51, maybeGood: 50 });
  });

  it('in-G29: a member that is null is as if it were not there', async () => {
    const { asked, exitCode } = await imported(
      '{"name":"a","mail":"a@x.example","displayName":null,"password":null}\n',
      'u.ndjson',
    );
    expect([exitCode, asked]).toEqual([0, [{ name: 'a', mail: 'a@x.example' }]]);
    expect((await checkedOnly('{"name":null,"mail":"a@x.example"}\n', 'u.ndjson')).stdout).toContain('name is missing');
  });

  it('in-G42: a mail domain in its own script is sent in ASCII, as the service takes it', async () => {
    const { asked, path } = await imported('name,mail\num3,um3@münchen.example\num4,jörg@x.example\num5,u@\n');
    expect(asked).toEqual([{ name: 'um3', mail: 'um3@xn--mnchen-3ya.example' }]);
    expect(await lab.rejects(path)).toEqual([
      { line: 3, code: 'invalid', reason: 'mail: must be a mail address with ASCII characters before the @' },
      { line: 4, code: 'invalid', reason: 'mail: must be a mail address' },
    ]);
  });

  test.each([
    ['a pipe as the delimiter', `${HEADER}\n${ANN}\n`.replaceAll(',', '|')],
    ['columns without a name at the end', `${HEADER},,\n${ANN},,\n`],
    ['a header in capitals, in quotes, with blanks', `"NAME" ,Mail, PASSWORD\n${ANN}\n`.replace('" ', '"')],
    ['a byte order mark', `\ufeff${HEADER}\n${ANN}\n`],
  ])('are understood with %s', async (_name, content) => {
    const { asked, exitCode } = await imported(content);
    expect([exitCode, asked]).toEqual([0, [ann]]);
  });
});

describe('an input that is something else', () => {
  it('in-G20: an empty file ends with 2: there is no header', async () => {
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
    expect((await checkedOnly('', 'e.ndjson')).exitCode).toBe(0);
  });

  it('in-G24: a JSON array is refused by a message that names NDJSON and the way there', async () => {
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
  ])('is told by its first bytes: %s', async (_name, content, words) => {
    for (const name of ['users.csv', 'users.ndjson', 'users']) {
      const message = await refusal(content, name);
      expect(message).toContain(words);
      expect(message).not.toContain('S3cret');
    }
  });
});

describe('mended rows', () => {
  const bad = 'bad,not-a-mail,S3cret!bad';
  const mended = 'bad,bad@x.example,S3cret!bad';

  it('in-G39: are sent by --retry-rejected, and no others', async () => {
    const { path, exitCode, stdout } = await imported([HEADER, ANN, bad, BOB].join('\n'));
    expect([exitCode, stdout]).toEqual([
      1,
      expect.stringContaining('run the same command again with --retry-rejected'),
    ]);
    await writeFile(path, [HEADER, ANN, mended, BOB].join('\n'));
    const without = await lab.command(['import', path]);
    expect([without.exitCode, without.stderr]).toEqual([2, expect.stringContaining('add --retry-rejected')]);
    lab.service.asked = [];
    const retried = await lab.command(['import', path, '--retry-rejected']);
    expect(retried).toMatchObject({ exitCode: 0, stdout: '3 users created, 0 lines rejected.\n' });
    expect(lab.service.asked).toEqual([{ name: 'bad', mail: 'bad@x.example', password: 'S3cret!bad' }]);
    expect([...(await lab.written(path)).keys()]).toEqual(['users.csv.journal']);
    const { batches } = lab.service;
    expect(await lab.command(['import', path, '--retry-rejected'])).toMatchObject({ exitCode: 0 });
    // The mended file is another one for good.
    const later = await lab.command(['import', path]);
    expect([later.exitCode, later.stderr]).toEqual([2, expect.stringContaining('add --retry-rejected')]);
    expect([lab.service.batches, lab.service.doubled]).toEqual([batches, []]);
  });

  it('that are still wrong stay rejected, once each, for their new reason', async () => {
    const { path } = await imported([HEADER, bad, 'b d,bd@x.example,', 'late,late,'].join('\n'));
    await writeFile(path, [HEADER, mended, 'bd,bd,', 'late,late,'].join('\n'));
    const { exitCode, stdout } = await lab.command(['import', path, '--retry-rejected']);
    expect([exitCode, stdout]).toEqual([1, expect.stringContaining('1 user created, 2 lines rejected.')]);
    const reason = 'mail: must be a mail address';
    expect(await lab.rejects(path)).toEqual([3, 4].map((line) => ({ line, code: 'invalid', reason })));
  });

  it('may be those behind a quote that was not closed, and may come from standard input', async () => {
    const broken = [HEADER, ANN, 'bad,bad@x.example,"S3cret!bad', BOB].join('\n');
    const journal = ['--journal', join(lab.folder, 'j')];
    const first = await lab.command(['import', '-', ...journal], { stdin: broken });
    expect([first.exitCode, [...lab.service.made.keys()]]).toEqual([1, ['ann']]);
    const retry = ['import', '-', ...journal, '--retry-rejected'];
    const retried = await lab.command(retry, { stdin: broken.replace('"', '') });
    expect(retried).toMatchObject({ exitCode: 0, stdout: '3 users created, 0 lines rejected.\n' });
    expect([lab.service.made.size, lab.service.doubled]).toEqual([3, []]);
  });

  it('are made once, though the answer to them is lost and the run given up', async () => {
    const { path } = await imported([HEADER, ANN, bad, BOB].join('\n'));
    await writeFile(path, [HEADER, ANN, mended, BOB].join('\n'));
    lab.service.faults = { withoutAnswers: () => true };
    const lost = await lab.command(['import', path, '--retry-rejected', '--give-up-after', '0']);
    expect([lost.exitCode, lab.service.made.get('bad')]).toEqual([4, 1]);
    lab.service.faults = {};
    expect(await lab.command(['import', path, '--retry-rejected'])).toMatchObject({ exitCode: 0 });
    expect([lab.service.made.size, lab.service.doubled, lab.service.replays > 0]).toEqual([3, [], true]);
  });

  it('may be those of an import that is not done: what was under way goes on under its old keys', async () => {
    const content = users(150) + '{"name":"bad","mail":"bad"}\n' + users(150, 'late');
    lab.service.faults.withoutAnswers = (batch) => batch > 1;
    const path = await lab.file('users.ndjson', content);
    expect(await lab.command(['import', path, '--give-up-after', '0'])).toMatchObject({ exitCode: 4 });
    expect(lab.service.made.size).toBeGreaterThan(150);
    lab.service.faults = {};
    await writeFile(path, content.replace('"mail":"bad"', '"mail":"bad@x.example"'));
    const retried = await lab.command(['import', path, '--retry-rejected', '--json']);
    expect([retried.exitCode, retried.events().at(-1)]).toMatchObject([0, { rejected: 0, complete: true }]);
    expect([lab.service.made.size, lab.service.doubled, lab.service.replays > 0]).toEqual([301, [], true]);
  });

  it('are not looked for where lines have moved: nothing is sent', async () => {
    const { path } = await imported([HEADER, ANN, bad, BOB].join('\n'));
    await writeFile(path, [HEADER, ANN, BOB, mended].join('\n'));
    const { batches } = lab.service;
    const retried = await lab.command(['import', path, '--retry-rejected']);
    expect([retried.exitCode, lab.service.batches]).toEqual([2, batches]);
    expect(retried.stderr).toContain('Line 4 is done, and has changed since');
    expect(retried.stderr).toContain('Correct rejected lines where they stand');
    await writeFile(join(lab.folder, 'new.csv'), `${HEADER}\n`);
    const never = await lab.command(['import', join(lab.folder, 'new.csv'), '--retry-rejected']);
    expect([never.exitCode, never.stderr]).toEqual([2, expect.stringContaining('There is no journal')]);
  });
});

describe('a password', () => {
  /** A part of each password that stands nowhere else, so that pieces of it are found as well. */
  const MARK = /Zq7[a-z0-9]{5}/i;
  const core = fc.stringMatching(/^[a-z0-9]{5}$/);
  const affix = fc.string({
    unit: fc.constantFrom('a', 'Z', '9', '!', '#', '-', '_', '@', ' ', '"', ',', ';', '|', "'", '\t', '\\', 'é'),
    maxLength: 3,
  });
  const password = fc.tuple(affix, core, affix).map(([before, mark, after]) => `${before}Zq7${mark}${after}`);
  /** One confusion among things that are as they should be; several of them are still frequent enough. */
  const mostly = <Value>(usual: Value, ...odd: fc.Arbitrary<Value>[]) =>
    fc.oneof({ weight: 6, arbitrary: fc.constant(usual) }, ...odd.map((arbitrary) => ({ weight: 2, arbitrary })));
  const lineEnd = mostly('\n', fc.constantFrom('\r\n', '\r', '\r\r\n', '\n\r', '\u0085', '\u2028', '\v', '', ' '));
  const delimiter = mostly(',', fc.constantFrom(';', '\t', '|', ':', ' ', '::'));
  const row = fc.record({
    password,
    quote: mostly('where needed', fc.constantFrom('never', 'always', 'open', 'whole row')),
    extra: mostly('', fc.constant('x'), password),
    order: mostly(0, fc.nat(5)),
    mail: mostly(true, fc.constant(false)),
  });
  const header = mostly(
    ['name', 'mail', 'password'],
    fc.constantFrom(
      ['NAME', 'E-mail', 'Passwort'],
      ['password', 'mail', 'name'],
      ['name', 'mail', 'displayName'],
      ['displayName', 'description', 'mail'],
      [],
    ),
  );
  const csv = fc
    .record({
      header,
      headerEnd: lineEnd,
      headerQuoted: fc.boolean(),
      headerDelimiter: delimiter,
      delimiter,
      rows: fc.array(row, { minLength: 1, maxLength: 4 }),
      ends: fc.array(lineEnd, { minLength: 1, maxLength: 4 }),
      first: mostly('', fc.constantFrom('\ufeff', 'sep=;\n', 'sep=Zq7abcde\n', '\n\n')),
      isSame: mostly(true, fc.constant(false)),
    })
    .map(({ header, headerEnd, headerQuoted, headerDelimiter, delimiter, rows, ends, first, isSame }) => {
      const separator = isSame ? headerDelimiter : delimiter;
      const endOf = (i: number) => (isSame ? headerEnd : ends[i % ends.length]!);
      const names = headerQuoted ? header.map((name) => `"${name}"`) : header;
      const head = header.length > 0 ? names.join(headerDelimiter) + headerEnd : '';
      return first + head + rows.map((fields, i) => rowText(fields, i, separator) + endOf(i)).join('');
    });

  type Row = typeof row extends fc.Arbitrary<infer Value> ? Value : never;

  function rowText({ password, quote, extra, order, mail }: Row, i: number, separator: string): string {
    const cells = [`user${i}`, mail ? `user${i}@x.example` : 'no mail', password, ...(extra === '' ? [] : [extra])];
    for (let n = 0; n < order; n++) cells.splice(n % 2, 0, ...cells.splice(1, 1));
    if (quote === 'open') return `"${cells.join(separator)}`;
    const quoted = (text: string) => `"${text.replaceAll('"', '""')}"`;
    if (quote === 'whole row') return quoted(cells.join(separator));
    const isQuoted = (cell: string) => quote === 'always' || (quote === 'where needed' && /["\s,;|:]/.test(cell));
    return cells.map((cell) => (isQuoted(cell) ? quoted(cell) : cell)).join(separator);
  }

  const json = fc
    .array(
      fc.oneof(
        fc.record({ name: password, mail: fc.constant('a@x.example'), password }, { requiredKeys: [] }),
        password.map((text) => ({ name: 'a', mail: 'a@x.example', [text]: text })),
        password.map((text) => ({ name: { text }, mail: [text], password: { text }, sendInvitation: text })),
        fc.tuple(password, password).map((texts) => texts),
      ),
      { minLength: 1, maxLength: 3 },
    )
    .chain((values) =>
      fc.constantFrom(
        values.map((value) => JSON.stringify(value)).join('\n'),
        values.map((value) => JSON.stringify(value)).join('\r'),
        values.map((value) => JSON.stringify(value).slice(0, -1)).join('\n'),
        values.map((value) => JSON.stringify(value)).join(','),
        JSON.stringify(values),
        JSON.stringify(values, undefined, 2),
        JSON.stringify({ users: values }),
      ),
    );
  const encoding = mostly<BufferEncoding>('utf8', fc.constantFrom('latin1', 'utf16le'));
  const content = fc.tuple(fc.oneof(csv, csv, json), encoding).map(([text, as]) => Buffer.from(text, as));
  const name = mostly('users', fc.constantFrom('users.csv', 'users.ndjson', 'users.json'));

  function requireNone(where: string, text: string): void {
    expect(`${where}: ${MARK.exec(text)?.[0] ?? 'none'}`).toBe(`${where}: none`);
  }

  it('is repeated by no message of a dry run, whatever a file confuses', async () => {
    await fc.assert(
      fc.asyncProperty(content, name, fc.boolean(), async (bytes, name, isJson) => {
        const path = await lab.file(name, bytes);
        const result = await lab.command(['import', path, '--dry-run', ...(isJson ? ['--json'] : [])]);
        expect([0, 1, 2]).toContain(result.exitCode);
        requireNone('stdout', result.stdout);
        requireNone('stderr', result.stderr);
      }),
      { numRuns: 250 },
    );
  });

  it('is repeated by no message, journal or rejects file of an import, and reaches the service whole or not at all', async () => {
    let i = 0;
    await fc.assert(
      fc.asyncProperty(content, name, fc.boolean(), async (bytes, name, isJson) => {
        const path = await lab.file(`${++i}-${name}`, bytes);
        lab.service.asked = [];
        lab.service.faults.reject = (user) => ({
          code: JSON.stringify(user.password ?? user.name),
          message: `${JSON.stringify(user)} ${Object.values(user).join(' ')} is refused`,
        });
        const result = await lab.command(['import', path, ...(isJson ? ['--json'] : [])]);
        expect([0, 1, 2]).toContain(result.exitCode);
        requireNone('stdout', result.stdout);
        requireNone('stderr', result.stderr);
        for (const [file, text] of await lab.written(path))
          if (!/^\d+-[^.]+(\.\w+)?$/.test(file)) requireNone(file, text);
        const sent = lab.service.asked.flatMap((user) => Object.values(user).map(String));
        expect(sent.filter((text) => /[\r\n\u0085\u2028\v\ufeff]/.test(text))).toEqual([]);
      }),
      { numRuns: 40 },
    );
  });

  it('is repeated by no message of the service that is about a whole batch, nor about one user', async () => {
    const message = `cannot read ${JSON.stringify(ann)}`;
    const answers = [
      { status: 400, message },
      { status: 503, message, retryAfter: '0' },
      { status: 403, message },
    ];
    for (const answer of answers) {
      lab.service.faults.status = () => answer;
      const path = await lab.file(`${answer.status}.csv`, `${HEADER}\n${ANN}\n`);
      const results = [
        await lab.command(['import', path, '--give-up-after', '0']),
        await lab.command(['create', '--name', 'ann', '--mail', 'ann@x.example', '--password-stdin'], {
          stdin: 'S3cret!one',
        }),
      ];
      for (const { exitCode, stdout, stderr } of results) {
        expect(exitCode).toBeGreaterThan(0);
        expect(stderr).toContain('cannot read {');
        expect(stdout + stderr).not.toContain('S3cret');
      }
    }
  });

  it('is repeated by no message about the command line that it was put on by mistake', async () => {
    const create = ['create', '--name', 'ann', '--mail', 'ann@x.example'];
    for (const mistake of [
      '--password=S3cret!one',
      '-pS3cret!one',
      'S3cret!one',
      '--S3cret!one',
      '--password-stdin=S3cret!one',
    ]) {
      const { exitCode, stdout, stderr } = await lab.command([...create, mistake]);
      expect(exitCode).toBe(2);
      expect(stdout + stderr).not.toMatch(/S3cret!/);
    }
  });
});

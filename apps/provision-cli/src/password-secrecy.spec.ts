import { describe, expect, it, jest } from '@jest/globals';
import fc from 'fast-check';
import { ANN, ann, HEADER, Lab } from './testing/lab.js';

// Most of it is waiting, but processes take their time to begin on a machine that is busy.
jest.setTimeout(120_000);

const lab = Lab.use();

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

  it('is never repeated by a message of a dry run, whatever the file mixes up', async () => {
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

  it('is never repeated by a message, the journal or the rejects file of an import, and reaches the service whole or not at all', async () => {
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

  it('is never repeated in a message of the service about a batch or a user', async () => {
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

  it('is never repeated in a message about a command line that contains it by mistake', async () => {
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

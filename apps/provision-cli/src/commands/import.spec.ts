import { appendFile, readdir, readFile, stat, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it, jest, test } from '@jest/globals';
import { Lab, users } from '../testing/lab.js';

// Most of it is waiting, but processes take their time to begin on a machine that is busy.
jest.setTimeout(120_000);

const lab = Lab.use();

describe('an import', () => {
  it('creates a user from each line, with a token of the client, and reports it', async () => {
    const path = await lab.file('users.csv', '\ufeffName;MAIL\r\nmary;mary@example.org\r\njohn;john@example.org\r\n');
    const result = await lab.command(['import', path]);
    expect(result).toMatchObject({ exitCode: 0, stdout: '2 users created, 0 lines rejected.\n' });
    expect([...lab.service.made.keys()].toSorted()).toEqual(['john', 'mary']);
    expect([...lab.service.authorizations]).toEqual([expect.stringMatching(/^Bearer eyJ/)]);
    expect((await readdir(lab.folder)).toSorted()).toEqual(['users.csv', 'users.csv.journal']);
    expect((await stat(`${path}.journal`)).mode & 0o777).toBe(0o600);
  });

  it('sends nothing if it is already done', async () => {
    const path = await lab.file('users.ndjson', users(300));
    await lab.command(['import', path]);
    const { batches } = lab.service;
    const again = await lab.command(['import', path]);
    expect(again).toMatchObject({ exitCode: 0, stdout: '300 users created, 0 lines rejected.\n' });
    expect(again.stderr).toContain('Already done: 300 lines.');
    expect(lab.service.batches).toBe(batches);
  });

  it('continues after bad lines, and reports their numbers and reasons without passwords', async () => {
    const path = await lab.file(
      'users.csv',
      [
        'name,mail,password,description',
        'good,good@example.org,S3cret-1,',
        'b d,bad@example.org,S3cret-2,',
        'bad,not-a-mail,S3cret-3,"two\nlines"',
        'columns,columns@example.org,S3cret-4',
        'taken,taken@example.org,S3cret-5,',
        'talkative,talkative@example.org,S3cret-6,',
        'other,other@example.org,S3cret-7,',
      ].join('\n'),
    );
    lab.service.faults.reject = ({ name, password }) =>
      name === 'taken'
        ? { code: 'duplicate', message: 'There is \u001B[31ma user named taken' }
        : name === 'talkative'
          ? { code: 'weak_password', message: `the password ${String(password)} is weak` }
          : undefined;
    const result = await lab.command(['import', path]);
    expect(result.exitCode).toBe(1);
    expect([...lab.service.made.keys()].toSorted()).toEqual(['good', 'other']);
    expect(await lab.rejects(path)).toEqual([
      { line: 3, code: 'invalid', reason: 'name: must be a login name: user or user@suffix' },
      { line: 4, lastLine: 5, code: 'invalid', reason: 'mail: must be a mail address' },
      { line: 6, code: 'invalid', reason: 'has 3 columns; the header has 4' },
      { line: 7, code: 'duplicate', reason: 'There is ?[31ma user named <name>' },
      { line: 8, code: 'weak_password', reason: 'the password <password> is weak' },
    ]);
    const seen = [result.stdout, result.stderr, ...(await lab.written(path)).values()].join('\n');
    expect(seen).not.toMatch(/S3cret|two|bad@|taken@/);
    expect(seen).not.toContain('\u001B');
    expect((await stat(`${path}.rejects.ndjson`)).mode & 0o777).toBe(0o600);
  });

  it('has each reject in its file once after an interruption', async () => {
    const path = await lab.file('users.ndjson', users(20) + 'no json\n' + users(20, 'late'));
    lab.service.faults.reject = ({ name }) =>
      name.endsWith('7') ? { code: 'duplicate', message: 'taken' } : undefined;
    await lab.command(['import', path]);
    const journal = await readFile(`${path}.journal`);
    expect(await lab.rejects(path)).toHaveLength(5);
    // The journal has lost its last lines, and the rejects file has half a line more than it should.
    await truncate(`${path}.journal`, journal.length - 1);
    await appendFile(`${path}.rejects.ndjson`, '{"line":3');
    expect((await lab.command(['import', path])).exitCode).toBe(1);
    expect((await lab.rejects(path)).map(({ line }) => line)).toEqual([7, 17, 21, 28, 38]);
  });

  it('reads standard input, with a named journal', async () => {
    const stdin = users(150);
    const journal = join(lab.folder, 'my.journal');
    const withoutName = await lab.command(['import', '-'], { stdin });
    expect(withoutName).toMatchObject({ exitCode: 2 });
    expect(withoutName.stderr).toContain('--journal');
    expect(await lab.command(['import', '-', '--journal', journal], { stdin })).toMatchObject({ exitCode: 0 });
    expect(lab.service.made.size).toBe(150);
    // What was done of it is known by each line, because it cannot be read twice.
    const grown = await lab.command(['import', '-', '--journal', journal], { stdin: stdin + users(1, 'more') });
    expect(grown).toMatchObject({ exitCode: 0, stdout: '151 users created, 0 lines rejected.\n' });
    const swapped = await lab.command(['import', '-', '--journal', journal], {
      stdin: stdin.replace('user-70"', 'x"'),
    });
    expect(swapped).toMatchObject({ exitCode: 2 });
    expect(swapped.stderr).toContain('Line 70 is done, and has changed since');
    expect(lab.service.doubled).toEqual([]);
  });

  it('writes all events as JSON for programs', async () => {
    const path = await lab.file('users.ndjson', `${users(2)}{"name":"\u009b31m","mail":1}\n`);
    const result = await lab.command(['import', path, '--json']);
    expect(result.exitCode).toBe(1);
    expect(result.stderr).toBe('');
    expect(result.events().filter(({ event }) => event !== 'created')).toEqual([
      {
        event: 'started',
        input: path,
        service: lab.service.url,
        tenant: lab.tenant.url,
        client: 'svc-cli@acme.example',
        sample: false,
        journal: `${path}.journal`,
        doneBefore: 0,
      },
      { event: 'rejected', line: 3, code: 'invalid', reason: expect.stringContaining('mail') },
      {
        event: 'summary',
        created: 2,
        replayed: 0,
        rejected: 1,
        failed: 0,
        maybeGood: 0,
        complete: true,
        rejectsFile: `${path}.rejects.ndjson`,
      },
    ]);
    expect(result.events().filter(({ event }) => event === 'created')).toEqual(
      expect.arrayContaining([{ event: 'created', line: 1, id: expect.stringMatching(/^id-\d$/), replayed: false }]),
    );
    expect(result.stdout + (await readFile(`${path}.rejects.ndjson`, 'utf8'))).not.toContain('\u009b');
  });

  it('shows a bar at a terminal, with colours unless NO_COLOR is set', async () => {
    const path = await lab.file('users.ndjson', users(100));
    lab.service.faults.delayMs = 3;
    const colored = await lab.command(['import', path], { columns: 80 });
    expect(colored.stderr).toContain('\r\u001B[K\u001B[32m');
    const plain = await lab.command(['import', path, '--journal', join(lab.folder, 'plain')], {
      columns: 80,
      env: { NO_COLOR: '1' },
    });
    expect(plain.stderr).toMatch(/[█░]{40} {2}/);
    expect(plain.stderr).not.toContain('\u001B[3');
    expect(plain.stdout).toBe('100 users created, 0 lines rejected.\n');
  });

  it('in-G34: writes plain lines instead of a bar: a terminal of no or few columns, a dumb one, a CI build', async () => {
    lab.service.faults.delayMs = 3;
    const terminals: [number, Record<string, string>][] = [
      [0, {}],
      [1, {}],
      [19, {}],
      [80, { TERM: 'dumb' }],
      [80, { CI: 'true' }],
    ];
    const results = await Promise.all(
      terminals.map(async ([columns, env], i) =>
        lab.command(['import', await lab.file(`${i}.ndjson`, users(100, `t${i}`))], { columns, env }),
      ),
    );
    for (const { exitCode, stdout, stderr } of results) {
      expect([exitCode, stdout]).toEqual([0, '100 users created, 0 lines rejected.\n']);
      expect(stderr).toMatch(/^Importing .+\.\n$/);
      expect(stderr).not.toMatch(/[\r\p{Cc}](?<!\n)/u);
    }
    // CI is also what programs set that are no build at all.
    const bar = ['import', await lab.file('no.ndjson', users(100, 'no'))];
    expect((await lab.command(bar, { columns: 20, env: { CI: 'false' } })).stderr).toContain('\r\u001B[K');
  });

  it('in-G38: starts a new journal in an empty file, as mktemp creates it', async () => {
    const journal = await lab.file('tmp.x7Ej2k', '');
    const command = ['import', '-', '--journal', journal];
    const options = { stdin: users(3) };
    expect(await lab.command(command, options)).toMatchObject({
      exitCode: 0,
      stdout: '3 users created, 0 lines rejected.\n',
    });
    expect(await lab.command(command, options)).toMatchObject({
      exitCode: 0,
      stdout: '3 users created, 0 lines rejected.\n',
    });
    expect(lab.service.batches).toBe(1);
    // Rejects beside it show that it was a journal once.
    await writeFile(journal, '');
    await writeFile(`${journal}.rejects.ndjson`, '{"line":1}\n');
    expect((await lab.command(command, options)).exitCode).toBe(2);
  });
});

describe('a dry run', () => {
  it('checks all lines, sends nothing, writes nothing and needs no settings', async () => {
    const path = await lab.file('users.csv', 'name,mail\nmary,mary@example.org\nmary major,m@example.org\nx,y\n');
    const result = await lab.command(['import', path, '--dry-run'], { env: { PROVISION_CLIENT_ID: '' } });
    expect(result).toMatchObject({ exitCode: 1, stderr: '' });
    expect(result.stdout).toBe(
      'Line 3: rejected (invalid): name: must be a login name: user or user@suffix\n' +
        'Line 4: rejected (invalid): mail: must be a mail address\n' +
        '1 line valid, 2 lines invalid. Nothing was sent.\n',
    );
    expect(lab.service.batches).toBe(0);
    expect(await readdir(lab.folder)).toEqual(['users.csv']);
  });
});

describe('a client that is not authorised ends with exit code 3', () => {
  test.each<[string, Record<string, string>, (() => void) | undefined]>([
    ['by the tenant', { PROVISION_CLIENT_SECRET: 'wrong' }, undefined],
    ['by the service', {}, () => (lab.service.faults.status = () => ({ status: 403 }))],
    ['although its token was renewed', {}, () => (lab.service.faults.status = () => ({ status: 401 }))],
  ])('%s', async (_name, env, prepare) => {
    prepare?.();
    const path = await lab.file('users.ndjson', users(1000));
    const result = await lab.command(['import', path], { env });
    expect(result.exitCode).toBe(3);
    expect(result.stdout).toContain('Run the same command again');
    expect(result.stdout + result.stderr).not.toMatch(/wrong-?secret|eyJ/);
    expect(lab.service.batches).toBeLessThanOrEqual(2);
    expect((await lab.command(['get', 'mary'], { env })).exitCode).toBe(3);
    expect((await lab.command(['whoami'], { env })).exitCode).toBe(3);
  });
});

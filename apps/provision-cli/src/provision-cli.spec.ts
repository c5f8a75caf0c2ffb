import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { createWriteStream, existsSync } from 'node:fs';
import { appendFile, open, readdir, readFile, stat, truncate, writeFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it, jest, test } from '@jest/globals';
import fc from 'fast-check';
import { decodeJournalLine, encodeJournalLine } from './journal/journal.js';
import { run } from './program.js';
import { CommandProcess } from './testing/command-process.js';
import { importWithKills, writeUsers } from './testing/import-scenarios.js';
import { HASTE, hastyClock, Lab, Terminal, users } from './testing/lab.js';

// Most of it is waiting, but processes take their time to begin on a machine that is busy.
jest.setTimeout(120_000);

const lab = Lab.use();

describe('an import', () => {
  it('makes a user of each line, with a token of the client, and says so', async () => {
    const path = await lab.file('users.csv', '\ufeffName;MAIL\r\nmary;mary@example.org\r\njohn;john@example.org\r\n');
    const result = await lab.command(['import', path]);
    expect(result).toMatchObject({ exitCode: 0, stdout: '2 users created, 0 lines rejected.\n' });
    expect([...lab.service.made.keys()].toSorted()).toEqual(['john', 'mary']);
    expect([...lab.service.authorizations]).toEqual([expect.stringMatching(/^Bearer eyJ/)]);
    expect((await readdir(lab.folder)).toSorted()).toEqual(['users.csv', 'users.csv.journal']);
    expect((await stat(`${path}.journal`)).mode & 0o777).toBe(0o600);
  });

  it('that is done already sends nothing', async () => {
    const path = await lab.file('users.ndjson', users(300));
    await lab.command(['import', path]);
    const { batches } = lab.service;
    const again = await lab.command(['import', path]);
    expect(again).toMatchObject({ exitCode: 0, stdout: '300 users created, 0 lines rejected.\n' });
    expect(again.stderr).toContain('Already done: 300 lines.');
    expect(lab.service.batches).toBe(batches);
  });

  it('goes on past bad lines, which are reported with number, reason and without their password', async () => {
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

  it('that is interrupted between rejects has each of them in its file once', async () => {
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

  it('reads standard input, with a journal that has a name', async () => {
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

  it('tells all events as JSON for machines', async () => {
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

  it('shows a bar at a terminal, with colours unless they are not wanted', async () => {
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

  it('in-G34: writes plain lines where a bar cannot stand: a terminal of no or few columns, a dumb one, a build', async () => {
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

  it('in-G38: begins anew with a journal file that is empty, as mktemp makes it', async () => {
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

describe('what is wrong before anything is sent ends with 2', () => {
  test.each<[string, string[], Record<string, string>, string[]]>([
    ['a command that is none', ['imprt', 'x'], {}, ['unknown command', 'Did you mean import']],
    ['no command', [], {}, ['Usage: provision-cli']],
    ['a file that is not there', ['import', '/nowhere/users.csv'], {}, ['ENOENT']],
    ['a folder', ['import', '/'], {}, ['is not a file']],
    [
      'every wrong setting at once',
      ['import', '-', '--concurrency', 'many', '--give-up-after', '-1'],
      { PROVISION_SERVICE_URL: 'users.example', PROVISION_CLIENT_ID: '', PROVISION_CLIENT_SECRET: '' },
      [
        'PROVISION_SERVICE_URL: must be',
        'PROVISION_CLIENT_ID: login name of the service user is not set',
        'PROVISION_CLIENT_SECRET: secret of the service user is not set',
        '--concurrency: must be a number',
        '--give-up-after: must be at least 0',
        '--journal:',
      ],
    ],
    [
      'plain http to another machine',
      ['whoami'],
      { PROVISION_SERVICE_URL: 'http://users.example' },
      ['IdentityM2MModule is not configured right', 'http://users.example'],
    ],
    ['a secret on the command line', ['whoami', '--client-secret', 'hunter2'], {}, ['unknown option']],
    ['a user that is none', ['create', '--name', 'a b', '--mail', 'x'], {}, ['name: must be', 'mail: must be']],
    ['an unlikely name', ['get', '../x'], {}, ['name: must be']],
    ['a name that is the folder above in a path', ['delete', '..'], {}, ['name: must be']],
    ['a name that is the folder itself in a path', ['get', '.'], {}, ['name: must be']],
    ['a name that would act on the terminal', ['get', 'a\u001b[2J\u202e'], {}, ['name: must be']],
  ])('%s', async (_name, args, env, words) => {
    const result = await lab.command(args, { env });
    expect(result.exitCode).toBe(2);
    for (const word of words) expect(result.stderr).toContain(word);
    expect(result.stderr).not.toContain('hunter2');
    expect(lab.service.batches).toBe(0);
  });

  test.each<[string, () => Promise<[Record<string, string>, string[]]>, string]>([
    [
      'a secret file that cannot be read, with its path',
      async () => [{ PROVISION_CLIENT_SECRET: '', PROVISION_CLIENT_SECRET_FILE: join(lab.folder, 'nowhere') }, []],
      'nowhere cannot be read (ENOENT)',
    ],
    [
      'a folder in the place of the secret file',
      async () => [{ PROVISION_CLIENT_SECRET: '', PROVISION_CLIENT_SECRET_FILE: lab.folder }, []],
      'is a folder; name the file',
    ],
    [
      'a folder for the journal that is not there, with its path',
      async () => [{}, ['--journal', join(lab.folder, 'nowhere', 'journal')]],
      '(ENOENT). Name a journal in an existing folder',
    ],
    [
      'a folder for the journal that is a file, with its path',
      async () => [{}, ['--journal', join(await lab.file('not-a-folder', ''), 'journal')]],
      '(ENOTDIR). Name a journal in an existing folder',
    ],
    [
      'a folder in the place of the journal',
      async () => [{}, ['--journal', lab.folder]],
      '(EISDIR). Name a journal in an existing folder',
    ],
  ])('%s, and without a stack', async (_name, given, words) => {
    const path = await lab.file('users.ndjson', users(1));
    const [env, args] = await given();
    const result = await lab.command(['import', path, ...args], { env });
    expect(result.exitCode).toBe(2);
    expect(result.stderr).toContain(words);
    expect(result.stderr).toContain(lab.folder);
    expect(result.stderr).not.toMatch(/\n +at /);
    expect(lab.service.batches).toBe(0);
  });

  test('a pipe that has a name, without waiting for somebody to write to it', async () => {
    const path = join(lab.folder, 'users.fifo');
    execFileSync('mkfifo', [path]);
    const result = await lab.command(['import', path]);
    expect(result.exitCode).toBe(2);
    expect(result.stderr).toContain(`import - --journal users.journal < ${path}`);
  });

  test('a word that would act on the terminal is not repeated as it is', async () => {
    const result = await lab.command(['import', 'a', '--\u001b[31m']);
    expect(result.exitCode).toBe(2);
    expect(result.stderr).not.toContain('\u001b');
  });

  test('rejects of another import in the place of its own, which are left as they are', async () => {
    const path = await lab.file('users.ndjson', users(1));
    await writeFile(`${path}.rejects.ndjson`, '{"line":7}\n');
    const result = await lab.command(['import', path]);
    expect(result.exitCode).toBe(2);
    expect(result.stderr).toContain('Move it away, or name another journal');
    expect(await readFile(`${path}.rejects.ndjson`, 'utf8')).toBe('{"line":7}\n');
    expect(existsSync(`${path}.journal`)).toBe(false);
    expect(lab.service.batches).toBe(0);
  });

  test.each([
    ['of another machine', `${process.pid} elsewhere pid:[4026531836]`, 'of elsewhere'],
    ['of another container', `999999999 ${hostname()} pid:[1]`, `of ${hostname()} pid:[1]`],
    ['that does not say whose it is', '', 'an unknown process'],
  ])('a lock %s, which is left alone', async (_name, lock, words) => {
    const path = await lab.file('users.ndjson', users(1));
    const lockPath = await lab.file('users.ndjson.journal.lock', lock);
    const result = await lab.command(['import', path]);
    expect(result.exitCode).toBe(2);
    expect(result.stderr).toContain(words);
    expect(result.stderr).toContain(`delete ${lockPath}`);
    expect(await readFile(lockPath, 'utf8')).toBe(lock);
    expect(lab.service.batches).toBe(0);
  });

  test('a header with a wrong column, whose number is told; mended, the import begins', async () => {
    const path = await lab.file('users.csv', 'name,e-mail\nmary,mary@example.org\n');
    const result = await lab.command(['import', path]);
    expect(result.exitCode).toBe(2);
    expect(result.stderr).toContain('there is no column mail; column 2 is not a field of a user (did you mean mail?).');
    expect(result.stderr).toContain('name, mail, displayName');
    await writeFile(path, 'name,mail\nmary,mary@example.org\n');
    expect(await lab.command(['import', path])).toMatchObject({ exitCode: 0 });
  });

  test('an input that was edited since', async () => {
    const path = await lab.file('users.ndjson', users(10));
    await lab.command(['import', path]);
    await writeFile(path, users(11));
    const result = await lab.command(['import', path]);
    expect(result).toMatchObject({ exitCode: 2 });
    expect(result.stderr).toContain('the input has changed');
    expect(lab.service.made.size).toBe(10);
  });

  test('a journal of an import into another service', async () => {
    const path = await lab.file('users.ndjson', users(10));
    await lab.command(['import', path]);
    const result = await lab.command(['import', path], { env: { PROVISION_SERVICE_URL: 'http://127.0.0.1:9' } });
    expect(result).toMatchObject({ exitCode: 2 });
    expect(result.stderr).toContain(`of an import into ${lab.service.url}`);
  });

  test('a file in the place of the journal that is none, which is left as it is', async () => {
    const path = await lab.file('users.ndjson', users(10));
    await writeFile(`${path}.journal`, 'my diary\n');
    const result = await lab.command(['import', path]);
    expect(result).toMatchObject({ exitCode: 2 });
    expect(await readFile(`${path}.journal`, 'utf8')).toBe('my diary\n');
    expect(existsSync(`${path}.journal.lock`)).toBe(false);
  });

  test('a header that is missing, and none of its words are shown', async () => {
    const path = await lab.file('users.csv', 'mary,mary@example.org,S3cret\n');
    const result = await lab.command(['import', path]);
    expect(result).toMatchObject({ exitCode: 2 });
    expect(result.stderr).toContain('column 3 is not a field of a user');
    expect(result.stderr).not.toMatch(/S3cret/);
  });
});

describe('settings', () => {
  test.each<[string, Record<string, string>, string[]]>([
    [
      'misspelt at the end',
      { PROVISION_TENANT_ULR: 'https://x.example' },
      ['PROVISION_TENANT_ULR: unknown variable; did you mean PROVISION_TENANT_URL?'],
    ],
    ['misspelt at the beginning', { PROVISON_CLIENT_ID: 'x' }, ['did you mean PROVISION_CLIENT_ID?']],
    ['named after the service', { PROVISIONING_CLIENT_ID: 'x' }, ['did you mean PROVISION_CLIENT_ID?']],
    ['in small letters', { provision_scope: 'x' }, ['did you mean PROVISION_SCOPE?']],
    [
      'that do not exist',
      { PROVISION_PASSWORD: 'hunter2' },
      ['PROVISION_PASSWORD: unknown variable; known are PROVISION_'],
    ],
    [
      'of which two are wrong, and another has no good value',
      { PROVISION_TIMEOUT: '1', PROVISION_CLIENT_SECERT: 'hunter2', PROVISION_SERVICE_URL: 'x' },
      ['did you mean PROVISION_TIMEOUT_MS?', 'did you mean PROVISION_CLIENT_SECRET?', 'PROVISION_SERVICE_URL: must be'],
    ],
  ])('app-9: variables %s are refused', async (_name, env, words) => {
    const path = await lab.file('users.ndjson', users(1));
    for (const args of [['whoami'], ['import', path], ['get', 'ann']]) {
      const { exitCode, stdout, stderr } = await lab.command(args, { env });
      expect([exitCode, stdout]).toEqual([2, '']);
      for (const word of words) expect(stderr).toContain(word);
      expect(stderr).not.toContain('hunter2');
    }
    expect(lab.service.authorizations.size).toBe(0);
  });

  it('app-9: every command says whom it calls, and as whom', async () => {
    const parties = `${lab.service.url}, as svc-cli@acme.example of ${lab.tenant.url}`;
    const create = ['create', '--name', 'ann', '--mail', 'ann@x.example'];
    for (const args of [create, ['get', 'ann'], ['delete', 'ann'], ['whoami', '--json']]) {
      expect((await lab.command(args)).stderr).toBe(`Calling ${parties}.\n`);
    }
    const path = await lab.file('users.ndjson', users(1));
    expect((await lab.command(['import', path])).stderr).toBe(`Importing ${path} into ${parties}.\n`);
    const sample = await lab.command(['whoami'], { env: { PROVISION_TENANT_URL: '' } });
    expect(sample.stderr).toContain(' (the sample system on this machine, because no tenant is set).\n');
  });

  it('app-9: what others set is none of them: an empty variable, a service of Kubernetes, other programs', async () => {
    const env = {
      PROVISION_TENANT_ULR: '',
      PROVISION_SERVICE_HOST: '10.0.0.1',
      PROVISION_CLI_SERVICE_PORT_HTTP: '80',
      PROVISION_PORT: 'tcp://10.0.0.1:80',
      PROVISION_PORT_80_TCP_ADDR: '10.0.0.1',
      PROVISIONER: 'terraform',
    };
    expect((await lab.command(['whoami'], { env })).exitCode).toBe(0);
  });
});

describe('a client that is not authorised ends with 3', () => {
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

describe('trouble on the way', () => {
  const importedExactly = (count: number) => {
    expect(lab.service.made.size).toBe(count);
    expect(lab.service.doubled).toEqual([]);
  };

  it('ends with 4 where nothing answers for longer than patience lasts', async () => {
    const path = await lab.file('users.ndjson', users(10));
    await lab.service.down();
    const result = await lab.command(['import', path, '--give-up-after', '2']);
    expect(result.exitCode).toBe(4);
    expect(result.stderr).toContain('ECONNREFUSED');
    expect(result.stderr).toContain('Gave up');
    expect((await lab.command(['get', 'mary'])).exitCode).toBe(4);
    await lab.service.up();
    expect(await lab.command(['import', path])).toMatchObject({ exitCode: 0 });
    importedExactly(10);
  });

  it('ends with 4 where what answers is something else', async () => {
    const path = await lab.file('users.ndjson', users(10));
    const result = await lab.command(['import', path], { env: { PROVISION_SERVICE_URL: lab.tenant.url } });
    expect(result.exitCode).toBe(4);
    expect(result.stderr).toContain('Check its address');
  });

  it('ends with 4 at once where the service asks for more patience than there is', async () => {
    const path = await lab.file('users.ndjson', users(10));
    lab.service.faults.status = () => ({ status: 503, retryAfter: '3600' });
    const begun = performance.now();
    expect((await lab.command(['import', path])).exitCode).toBe(4);
    expect(performance.now() - begun).toBeLessThan(5000);
    expect(lab.service.batches).toBe(1);
  });

  it('survives an outage of the service in the middle', async () => {
    const path = await lab.file('users.ndjson', users(1000));
    lab.service.faults.delayMs = 1;
    const running = lab.command(['import', path]);
    while (lab.service.made.size < 300) await sleep(5);
    await lab.service.down();
    await sleep(150);
    await lab.service.up();
    expect(await running).toMatchObject({ exitCode: 0 });
    importedExactly(1000);
  });

  it('survives an outage of the tenant, which first makes no token and then makes all lines fail', async () => {
    const path = await lab.file('users.ndjson', users(500));
    lab.tenant.switches.change({ faults: { token: { outage: '500' } } });
    let failing = true;
    lab.service.faults.fail = () =>
      failing ? { code: 'tenant_unreachable', message: 'The tenant is away.', retryAfterSeconds: 1 } : undefined;
    const running = lab.command(['import', path, '--json']);
    await sleep(300);
    lab.tenant.switches.reset();
    while (lab.service.batches === 0) await sleep(10);
    await sleep(50);
    failing = false;
    const result = await running;
    expect(result).toMatchObject({ exitCode: 0 });
    const reasons = result.events().flatMap(({ event, reason }) => (event === 'paused' ? [reason] : []));
    expect(reasons).toEqual(expect.arrayContaining(['most users of a batch could not be created']));
    importedExactly(500);
  });

  it('comes through a storm of 429, and obeys Retry-After', async () => {
    const path = await lab.file('users.ndjson', users(1500));
    const refusedAt: number[] = [];
    lab.service.faults.status = (batch) => {
      if (batch % 5 !== 0 || refusedAt.length >= 3) return undefined;
      refusedAt.push(lab.service.arrivals.at(-1)!);
      return { status: 429, retryAfter: '1' };
    };
    // One at a time: of several, some may have been on their way already.
    expect(await lab.command(['import', path, '--concurrency', '1'])).toMatchObject({ exitCode: 0 });
    expect(refusedAt).toHaveLength(3);
    const tooEarly = lab.service.arrivals.filter((at) =>
      refusedAt.some((refused) => at > refused && at < refused + 1000 / HASTE),
    );
    expect(tooEarly).toEqual([]);
    importedExactly(1500);
  });

  it('widens up to the limit of concurrency and no further', async () => {
    const path = await lab.file('users.ndjson', users(1500));
    lab.service.faults.delayMs = 1;
    expect(await lab.command(['import', path, '--concurrency', '2'])).toMatchObject({ exitCode: 0 });
    expect(lab.service.mostAtOnce).toBe(2);
  });

  it('loses nothing by answers that are cut, end too early, or end in good order', async () => {
    const path = await lab.file('users.ndjson', users(1200));
    lab.service.faults.cutAfter = (batch) => (batch === 2 ? 37 : batch === 5 ? 0 : undefined);
    lab.service.faults.withoutSummary = (batch) => batch === 3;
    lab.service.faults.stopAfter = (batch) => (batch === 4 ? 10 : undefined);
    expect(await lab.command(['import', path])).toMatchObject({ exitCode: 0 });
    importedExactly(1200);
  });

  it('halves batches that are too large for the service', async () => {
    const path = await lab.file('users.ndjson', users(250));
    lab.service.faults.maxLines = 30;
    expect(await lab.command(['import', path])).toMatchObject({ exitCode: 0 });
    importedExactly(250);
  });

  it('leaves a line that fails again and again to the next run, and makes all others', async () => {
    const path = await lab.file('users.ndjson', users(100));
    lab.service.faults.crashOn = ({ name }) => name === 'user-50';
    const result = await lab.command(['import', path, '--json']);
    expect(result.exitCode).toBe(4);
    expect(result.events()).toContainEqual(expect.objectContaining({ event: 'failed', line: 50, code: 'no_answer' }));
    importedExactly(99);
    lab.service.faults = {};
    expect(await lab.command(['import', path])).toMatchObject({ exitCode: 0 });
    importedExactly(100);
  });

  it('gives up a service that says nothing', async () => {
    const path = await lab.file('users.ndjson', users(10));
    lab.service.faults.hang = true;
    const env = { PROVISION_TIMEOUT_MS: '200' };
    const result = await lab.command(['import', path, '--give-up-after', '1'], { env });
    expect(result.exitCode).toBe(4);
    expect(result.stderr).toContain('was silent for 200 ms');
  });

  it('does not read the input faster than it is sent', async () => {
    lab.service.faults.hang = true;
    const stdin = new PassThrough();
    let written = 0;
    const feeding = (async () => {
      for (let i = 0; i < 200 && !stdin.destroyed; i++) {
        const chunk = users(1000, `chunk-${i}`);
        written += chunk.length;
        if (!stdin.write(chunk)) {
          const go = await Promise.race([once(stdin, 'drain'), once(stdin, 'close').then(() => undefined)]);
          if (!go) return;
        }
      }
    })();
    const running = run(['import', '-', '--journal', join(lab.folder, 'j')], {
      stdin,
      stdout: new Terminal(),
      stderr: new Terminal(),
      environment: lab.environment(),
      clock: hastyClock,
    });
    while (lab.service.authorizations.size === 0) await sleep(20);
    await sleep(500);
    expect(written).toBeLessThan(400_000);
    process.emit('SIGINT');
    await lab.service.down();
    expect(await running).toBe(130);
    await feeding;
    await lab.service.up();
  });
});

describe('a journal that was cut', () => {
  it('anywhere: no user is made twice, none is lost, and without its header nothing is sent', async () => {
    const path = await lab.file('users.ndjson', users(130) + 'no json\n' + users(50, 'late'));
    await lab.command(['import', path]);
    const journal = await readFile(`${path}.journal`);
    const headerLength = journal.indexOf('\n') + 1;
    await fc.assert(
      fc.asyncProperty(fc.nat(journal.length - 1), fc.boolean(), async (cut, isGarbled) => {
        // A power cut may leave the length of what was written without its content.
        const rest = Buffer.alloc(isGarbled ? journal.length - cut : 0);
        await writeFile(`${path}.journal`, Buffer.concat([journal.subarray(0, cut), rest]));
        const { batches } = lab.service;
        const { exitCode } = await lab.command(['import', path]);
        if (cut < headerLength) {
          expect(exitCode).toBe(2);
          expect(lab.service.batches).toBe(batches);
        } else expect(exitCode).toBe(1);
        expect(lab.service.made.size).toBe(180);
        expect(lab.service.doubled).toEqual([]);
        expect(await lab.rejects(path)).toHaveLength(1);
      }),
      {
        numRuns: 15,
        examples: [
          [0, false],
          [headerLength, false],
          [headerLength - 1, false],
        ],
      },
    );
  });
});

describe('a line of a journal', () => {
  it('is none any more when a single character of it has changed', () => {
    const line = encodeJournalLine({ created: [[12, 34]], rejected: [[5, 6]] });
    expect(decodeJournalLine(line)).toEqual({ created: [[12, 34]], rejected: [[5, 6]] });
    fc.assert(
      fc.property(fc.nat(line.length - 1), fc.string({ minLength: 1, maxLength: 1 }), (at, character) => {
        fc.pre(character !== line[at]);
        expect(decodeJournalLine(line.slice(0, at) + character + line.slice(at + 1))).toBeUndefined();
      }),
      { examples: [[line.indexOf('12'), '9']] },
    );
  });
});

describe('single commands', () => {
  it('make, show and delete a user', async () => {
    const created = await lab.command(['create', '--name', 'mary', '--mail', 'mary@example.org', '--password-stdin'], {
      stdin: 'S3cret\n',
    });
    expect(created).toMatchObject({
      exitCode: 0,
      stderr: `Calling ${lab.service.url}, as svc-cli@acme.example of ${lab.tenant.url}.\n`,
    });
    expect(created.stdout).toMatch(/^id {5}id-\d$/m);
    const shown = await lab.command(['get', 'mary', '--json']);
    expect(shown.events()).toMatchObject([{ name: 'mary', id: expect.stringMatching(/^id-\d$/) }]);
    expect((await lab.command(['delete', 'mary'])).exitCode).toBe(0);
    const gone = await lab.command(['get', 'mary']);
    expect(gone).toMatchObject({ exitCode: 1, stdout: '' });
    expect(gone.stderr).toContain('There is no user named mary.');
  });

  it('make a user once, although the answer of the first attempt was lost', async () => {
    let asked = 0;
    lab.service.faults.status = () => (asked++ === 0 ? { status: 503, retryAfter: '1' } : undefined);
    expect((await lab.command(['create', '--name', 'mary', '--mail', 'm@example.org'])).exitCode).toBe(0);
    expect(lab.service.made.get('mary')).toBe(1);
  });

  it('tell who is calling, for whom and until when, and end with 4 where nobody answers', async () => {
    const { stdout } = await lab.command(['whoami']);
    expect(stdout).toMatch(/client +svc-cli@acme\.example\n/);
    expect(stdout).toMatch(/application +internal-api\ntoken +[\da-f]{12}\n/);
    expect(stdout).toMatch(/until +\d{4}-\d\d-\d\dT[^]*service +http:/);
    await lab.service.down();
    const alone = await lab.command(['whoami']);
    expect(alone).toMatchObject({ exitCode: 4, stdout: '' });
    expect(alone.stderr).toContain('does not respond');
    expect((await lab.command(['whoami'], { env: { PROVISION_TENANT_URL: 'http://127.0.0.1:9' } })).exitCode).toBe(4);
  });

  it('tell who is calling, by the fingerprint of the token and not by the token', async () => {
    const result = await lab.command(['whoami', '--json']);
    expect(result.exitCode).toBe(0);
    expect(result.events()).toMatchObject([
      { client: 'svc-cli@acme.example', token: expect.stringMatching(/^[\da-f]{12}$/), letIn: true },
    ]);
    expect(result.stdout).not.toContain('eyJ');
  });
});

describe('a process', () => {
  it('that is killed three times at random is resumed: none lost, none doubled', async () => {
    const path = join(lab.folder, 'users.csv');
    const names = await writeUsers(path, 'killed', 1200);
    lab.service.faults.delayMs = 1;
    const result = await importWithKills(lab.target, path, names, 3, [0, 150]);
    expect(result).toMatchObject({ exitCode: 0, lost: [], doubled: [], total: 1200, kills: 3 });
    expect(result.stdout).toContain('1,200 users created, 0 lines rejected.');
  });

  it('finishes what is under way at the first Ctrl-C, and goes on where it was', async () => {
    const path = join(lab.folder, 'users.csv');
    const names = await writeUsers(path, 'interrupted', 1000);
    lab.service.faults.delayMs = 2;
    const first = new CommandProcess(['import', path], lab.environment());
    while (lab.service.made.size < 150) await sleep(10);
    first.kill('SIGINT');
    expect(await first.ended).toBe(130);
    expect(first.stderr).toContain('Finishing the batches under way');
    expect(first.stdout).toContain('Run the same command again to resume.');
    expect(existsSync(`${path}.journal.lock`)).toBe(false);
    const made = lab.service.made.size;
    expect(first.stdout).toContain(`${made} users created`);
    lab.service.faults = {};
    expect((await lab.command(['import', path])).exitCode).toBe(0);
    expect(lab.service.replays).toBe(0);
    expect([lab.service.made.size, lab.service.doubled]).toEqual([names.length, []]);
  });

  it('has its journal to itself, and ends at once at the second Ctrl-C', async () => {
    const path = join(lab.folder, 'users.csv');
    await writeUsers(path, 'hanging', 100);
    lab.service.faults.hang = true;
    const child = new CommandProcess(['import', path], lab.environment());
    while (lab.service.authorizations.size === 0) await sleep(10);
    const second = await lab.command(['import', path]);
    expect([second.exitCode, second.stderr]).toEqual([2, expect.stringContaining(`process ${child.process.pid}`)]);
    child.kill('SIGINT');
    while (!child.stderr.includes('again to end at once')) await sleep(10);
    child.kill('SIGINT');
    expect(await child.ended).toBe(130);
    // The lock of a process that has ended is taken over.
    lab.service.faults = {};
    expect((await lab.command(['import', path])).exitCode).toBe(0);
  });

  it('whose reader has gone stops in good order', async () => {
    const path = join(lab.folder, 'users.csv');
    await writeUsers(path, 'piped', 3000);
    const child = new CommandProcess(['import', path, '--json'], lab.environment());
    child.process.stdout!.once('data', () => child.process.stdout!.destroy());
    expect(await child.ended).toBe(141);
    expect(child.stderr).toBe('');
    expect(lab.service.made.size).toBeLessThan(3000);
    expect((await lab.command(['import', path])).exitCode).toBe(0);
    expect([lab.service.made.size, lab.service.doubled]).toEqual([3000, []]);
  });
});

(existsSync('/dev/full') ? describe : describe.skip)('an output that cannot be written', () => {
  it('is no reason to end with 0', async () => {
    const path = await lab.file('users.csv', 'name,mail\nmary,mary@example.org\n');
    await lab.command(['import', path]);
    const full = await open('/dev/full', 'w');
    const child = new CommandProcess(['import', path], lab.environment(), full.fd);
    const results = [{ args: 'a process', exitCode: await child.ended, stderr: child.stderr }];
    await full.close();
    for (const args of [['import', path, '--dry-run'], ['import', path, '--json'], ['get', 'mary'], ['whoami']]) {
      results.push({ args: args.join(' '), ...(await lab.command(args, { stdout: createWriteStream('/dev/full') })) });
    }
    for (const { args, exitCode, stderr } of results) {
      expect([args, exitCode]).toEqual([args, 5]);
      expect(stderr).toContain('The output cannot be written: ENOSPC');
      expect(stderr).not.toMatch(/\n +at /);
    }
  });
});

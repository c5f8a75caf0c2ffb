import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { readFile, writeFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { describe, expect, jest, test } from '@jest/globals';
import { Lab, users } from '../testing/lab.js';

// Most of it is waiting, but processes take their time to begin on a machine that is busy.
jest.setTimeout(120_000);

const lab = Lab.use();

describe('a usage error ends with exit code 2 before anything is sent', () => {
  test.each<[string, string[], Record<string, string>, string[]]>([
    ['an unknown command', ['imprt', 'x'], {}, ['unknown command', 'Did you mean import']],
    ['no command', [], {}, ['Usage: provision-cli']],
    ['a missing file', ['import', '/nowhere/users.csv'], {}, ['ENOENT']],
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
      ['Invalid options for IdentityM2MModule', 'http://users.example'],
    ],
    ['a secret on the command line', ['whoami', '--client-secret', 'hunter2'], {}, ['unknown option']],
    ['an invalid user', ['create', '--name', 'a b', '--mail', 'x'], {}, ['name: must be', 'mail: must be']],
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

  test('a named pipe, without waiting for its writer', async () => {
    const path = join(lab.folder, 'users.fifo');
    execFileSync('mkfifo', [path]);
    const result = await lab.command(['import', path]);
    expect(result.exitCode).toBe(2);
    expect(result.stderr).toContain(`import - --journal users.journal < ${path}`);
  });

  test('a word that would act on the terminal is not repeated unescaped', async () => {
    const result = await lab.command(['import', 'a', '--\u001b[31m']);
    expect(result.exitCode).toBe(2);
    expect(result.stderr).not.toContain('\u001b');
  });

  test('rejects of another import, which are left unchanged', async () => {
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
  ])('a lock %s, which is left unchanged', async (_name, lock, words) => {
    const path = await lab.file('users.ndjson', users(1));
    const lockPath = await lab.file('users.ndjson.journal.lock', lock);
    const result = await lab.command(['import', path]);
    expect(result.exitCode).toBe(2);
    expect(result.stderr).toContain(words);
    expect(result.stderr).toContain(`delete ${lockPath}`);
    expect(await readFile(lockPath, 'utf8')).toBe(lock);
    expect(lab.service.batches).toBe(0);
  });

  test('a header with a wrong column, whose number is named; once corrected, the import starts', async () => {
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

  test('a journal path with another file, which is left unchanged', async () => {
    const path = await lab.file('users.ndjson', users(10));
    await writeFile(`${path}.journal`, 'my diary\n');
    const result = await lab.command(['import', path]);
    expect(result).toMatchObject({ exitCode: 2 });
    expect(await readFile(`${path}.journal`, 'utf8')).toBe('my diary\n');
    expect(existsSync(`${path}.journal.lock`)).toBe(false);
  });

  test('a missing header, without a word of the first line', async () => {
    const path = await lab.file('users.csv', 'mary,mary@example.org,S3cret\n');
    const result = await lab.command(['import', path]);
    expect(result).toMatchObject({ exitCode: 2 });
    expect(result.stderr).toContain('column 3 is not a field of a user');
    expect(result.stderr).not.toMatch(/S3cret/);
  });
});

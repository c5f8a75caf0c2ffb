import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it, jest } from '@jest/globals';
import { ANN, BOB, HEADER, Lab, users } from '../testing/lab.js';

// Most of it is waiting, but processes take their time to begin on a machine that is busy.
jest.setTimeout(120_000);

const lab = Lab.use();

describe('corrected rows', () => {
  const bad = 'bad,not-a-mail,S3cret!bad';
  const corrected = 'bad,bad@x.example,S3cret!bad';

  it('in-G39: are sent by --retry-rejected, and no others', async () => {
    const { path, exitCode, stdout } = await lab.imported([HEADER, ANN, bad, BOB].join('\n'));
    expect([exitCode, stdout]).toEqual([
      1,
      expect.stringContaining('run the same command again with --retry-rejected'),
    ]);
    await writeFile(path, [HEADER, ANN, corrected, BOB].join('\n'));
    const without = await lab.command(['import', path]);
    expect([without.exitCode, without.stderr]).toEqual([2, expect.stringContaining('add --retry-rejected')]);
    lab.service.asked = [];
    const retried = await lab.command(['import', path, '--retry-rejected']);
    expect(retried).toMatchObject({ exitCode: 0, stdout: '3 users created, 0 lines rejected.\n' });
    expect(lab.service.asked).toEqual([{ name: 'bad', mail: 'bad@x.example', password: 'S3cret!bad' }]);
    expect([...(await lab.written(path)).keys()]).toEqual(['users.csv.journal']);
    const { batches } = lab.service;
    expect(await lab.command(['import', path, '--retry-rejected'])).toMatchObject({ exitCode: 0 });
    // From then on the corrected file differs from the one that the import began with.
    const later = await lab.command(['import', path]);
    expect([later.exitCode, later.stderr]).toEqual([2, expect.stringContaining('add --retry-rejected')]);
    expect([lab.service.batches, lab.service.doubled]).toEqual([batches, []]);
  });

  it('stay rejected if they are still wrong, once each, for their new reason', async () => {
    const { path } = await lab.imported([HEADER, bad, 'b d,bd@x.example,', 'late,late,'].join('\n'));
    await writeFile(path, [HEADER, corrected, 'bd,bd,', 'late,late,'].join('\n'));
    const { exitCode, stdout } = await lab.command(['import', path, '--retry-rejected']);
    expect([exitCode, stdout]).toEqual([1, expect.stringContaining('1 user created, 2 lines rejected.')]);
    const reason = 'mail: must be a mail address';
    expect(await lab.rejects(path)).toEqual([3, 4].map((line) => ({ line, code: 'invalid', reason })));
  });

  it('may follow an unclosed quote, and may come from standard input', async () => {
    const broken = [HEADER, ANN, 'bad,bad@x.example,"S3cret!bad', BOB].join('\n');
    const journal = ['--journal', join(lab.folder, 'j')];
    const first = await lab.command(['import', '-', ...journal], { stdin: broken });
    expect([first.exitCode, [...lab.service.made.keys()]]).toEqual([1, ['ann']]);
    const retry = ['import', '-', ...journal, '--retry-rejected'];
    const retried = await lab.command(retry, { stdin: broken.replace('"', '') });
    expect(retried).toMatchObject({ exitCode: 0, stdout: '3 users created, 0 lines rejected.\n' });
    expect([lab.service.made.size, lab.service.doubled]).toEqual([3, []]);
  });

  it('are created once, although the response is lost and the run gives up', async () => {
    const { path } = await lab.imported([HEADER, ANN, bad, BOB].join('\n'));
    await writeFile(path, [HEADER, ANN, corrected, BOB].join('\n'));
    lab.service.faults = { withoutAnswers: () => true };
    const lost = await lab.command(['import', path, '--retry-rejected', '--give-up-after', '0']);
    expect([lost.exitCode, lab.service.made.get('bad')]).toEqual([4, 1]);
    lab.service.faults = {};
    expect(await lab.command(['import', path, '--retry-rejected'])).toMatchObject({ exitCode: 0 });
    expect([lab.service.made.size, lab.service.doubled, lab.service.replays > 0]).toEqual([3, [], true]);
  });

  it('may belong to an import that is not done: lines under way keep their keys', async () => {
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

  it('are not searched for if lines have moved: nothing is sent', async () => {
    const { path } = await lab.imported([HEADER, ANN, bad, BOB].join('\n'));
    await writeFile(path, [HEADER, ANN, BOB, corrected].join('\n'));
    const { batches } = lab.service;
    const retried = await lab.command(['import', path, '--retry-rejected']);
    expect([retried.exitCode, lab.service.batches]).toEqual([2, batches]);
    expect(retried.stderr).toContain('Line 4 is done, and has changed since');
    expect(retried.stderr).toContain('Correct rejected lines in the file');
    await writeFile(join(lab.folder, 'new.csv'), `${HEADER}\n`);
    const never = await lab.command(['import', join(lab.folder, 'new.csv'), '--retry-rejected']);
    expect([never.exitCode, never.stderr]).toEqual([2, expect.stringContaining('There is no journal')]);
  });
});

import { describe, expect, it, jest } from '@jest/globals';
import { Lab } from '../testing/lab.js';

// Most of it is waiting, but processes take their time to begin on a machine that is busy.
jest.setTimeout(120_000);

const lab = Lab.use();

describe('single commands', () => {
  it('create, show and delete a user', async () => {
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

  it('create a user once, although the response to the first attempt was lost', async () => {
    let asked = 0;
    lab.service.faults.status = () => (asked++ === 0 ? { status: 503, retryAfter: '1' } : undefined);
    expect((await lab.command(['create', '--name', 'mary', '--mail', 'm@example.org'])).exitCode).toBe(0);
    expect(lab.service.made.get('mary')).toBe(1);
  });

  it('show the client, its application and the expiry of its token, and end with exit code 4 without a response', async () => {
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

  it('show the fingerprint of the token, not the token', async () => {
    const result = await lab.command(['whoami', '--json']);
    expect(result.exitCode).toBe(0);
    expect(result.events()).toMatchObject([
      { client: 'svc-cli@acme.example', token: expect.stringMatching(/^[\da-f]{12}$/), accepted: true },
    ]);
    expect(result.stdout).not.toContain('eyJ');
  });
});

import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterEach, beforeEach, describe, expect, it, jest } from '@jest/globals';

// Seven processes take their time to begin on a machine that is busy.
jest.setTimeout(120_000);

const run = promisify(execFile);
const root = fileURLToPath(new URL('..', import.meta.url));
const FINGERPRINT = '[0-9a-f]{12}';

let folder: string;
let started: Script[];

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'start-'));
  started = [];
});
afterEach(async () => {
  for (const script of started) script.process.kill('SIGKILL');
  await rm(folder, { recursive: true });
});

/** What `npm start` and `npm run start:import` run when all is installed and compiled. */
class Script {
  readonly process: ChildProcess;
  readonly ended: Promise<number | NodeJS.Signals>;
  output = '';

  constructor(name: string, ...args: string[]) {
    this.process = spawn(process.execPath, [`scripts/sample/${name}.mjs`, ...args], {
      cwd: root,
      // With temporary files in a place of their own.
      env: { PATH: process.env.PATH, TMPDIR: folder },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    for (const stream of [this.process.stdout, this.process.stderr]) {
      stream?.setEncoding('utf8').on('data', (text: string) => (this.output += text));
    }
    this.ended = new Promise((resolve) => this.process.once('close', (code, signal) => resolve(code ?? signal!)));
    started.push(this);
  }

  async says(text: string | RegExp): Promise<void> {
    await this.#until(() => this.output.match(text) !== null, `${text} was not said`);
  }

  /** Waits for so many children. */
  async children(count: number): Promise<number[]> {
    let children: number[] = [];
    await this.#until(async () => (children = await this.#children()).length >= count, `${count} children`);
    return children;
  }

  async #children(): Promise<number[]> {
    const { stdout } = await run('ps', ['-A', '-o', 'pid=,ppid=']);
    const processes = stdout
      .trim()
      .split('\n')
      .map((line) => line.trim().split(/\s+/).map(Number));
    return processes.filter(([, parent]) => parent === this.process.pid).map(([pid]) => pid!);
  }

  async #until(holds: () => boolean | Promise<boolean>, fault: string): Promise<void> {
    const end = performance.now() + 60_000;
    while (!(await holds())) {
      if (performance.now() > end || this.process.exitCode !== null) throw new Error(`${fault}:\n${this.output}`);
      await sleep(50);
    }
  }
}

const isAlive = (pid: number): boolean => {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
};

async function expectNoTrace(pids: readonly number[]): Promise<void> {
  expect(pids.filter(isAlive)).toEqual([]);
  expect(await readdir(folder)).toEqual([]);
}

describe('npm start', () => {
  it('shows what runs, each conversation, who holds which token, and what to try; and ends without a trace', async () => {
    const start = new Script('show');
    await start.says('until then:');
    const processes = [...start.output.matchAll(/^ {2}(\S+) +pid (\d+) /gm)];
    expect(processes.map(([, name]) => name)).toEqual([
      'tenant',
      'user-provisioning',
      'daemon',
      'hr-backend',
      'device-north',
      'device-south',
    ]);
    const conversations: [string, string, string, string][] = [
      ['svc-cli', 'user-provisioning', 'internal-api', '201 POST /users'],
      ['svc-provisioning', 'tenant', 'provisioning', '200 POST /CDirectoryService/CreateUser success'],
      ['svc-hr', 'daemon', 'provisioning-daemon', 'joiner 1 (ada.king): done, user created'],
      ['svc-daemon', 'user-provisioning', 'internal-api', '201 POST /users'],
      ['svc-device-south', 'device-north', 'device-north', 'GET /state'],
      ['svc-device-north', 'device-south', 'device-south', 'GET /state'],
    ];
    for (const [client, service, application, what] of conversations) {
      const line = new RegExp(`^  ${client} +→ ${service} +(${FINGERPRINT})  ${escaped(what)}$`, 'm');
      const [, token] = line.exec(start.output) ?? [];
      expect([client, token]).toEqual([client, expect.any(String)]);
      expect(start.output).toMatch(new RegExp(`^  ${client} +${token} +for ${application} +5 h `, 'm'));
    }

    for (const name of ['jane.doe', 'ada.king']) {
      expect(start.output).toMatch(new RegExp(`^  ${name}@acme.example  ${name}@example.org  [0-9a-f-]{36}$`, 'm'));
    }

    const imported = new Script('import', '150');
    expect(await imported.ended).toBe(0);
    expect(imported.output).toMatch(/`npm start` is running[^]*150 users created, 0 lines rejected\./);
    await start.says(/svc-cli .*200 POST \/users\/batch$/m);

    const lines = start.output.slice(start.output.indexOf('What to try next'));
    const { stdout: answers } = await run('sh', ['-c', commandsIn(lines)]);
    expect(answers.match(/^HTTP.*/gm)).toEqual([
      'HTTP/1.1 201 Created',
      'HTTP/1.1 200 OK',
      'HTTP/1.1 401 Unauthorized',
    ]);
    await start.says(/svc-cli .*200 GET \/users\/john\.smith$/m);
    await start.says(/a caller +→ user-provisioning +401 GET \/users\/john\.smith$/m);
    await start.says(/svc-hr .*joiner 17 \(grace\.hill\): done, user created$/m);
    expect(lines).toContain('npm run start:import');
    expect(lines).toContain('npm run start:outage');

    expect(start.output + imported.output).not.toMatch(/eyJ|PRIVATE|Nest\]|WARN|ERROR/);
    start.process.kill('SIGINT');
    expect(await start.ended).toBe(0);
    expect(start.output).toMatch(/\nStopped\.\n$/);
    await expectNoTrace(processes.map(([, , pid]) => Number(pid)));
  });

  it('ends without a trace while it is starting', async () => {
    const start = new Script('show');
    const children = await start.children(3);
    start.process.kill('SIGINT');
    expect(await start.ended).toBe(0);
    await expectNoTrace(children);
  });

  it('ends all services when one ends by itself, and reports it', async () => {
    const start = new Script('show');
    const [tenant, ...others] = await start.children(3);
    process.kill(tenant!, 'SIGKILL');
    expect(await start.ended).toBe(1);
    expect(start.output).toContain('tenant ended by itself (SIGKILL), so the others are stopped too.');
    await expectNoTrace(others);
  });
});

describe('npm run start:outage', () => {
  it('app-7: shows failing refreshes, and no failing call, while the token endpoint is down', async () => {
    const outage = new Script('outage', '24');
    const children = await outage.children(6);
    expect([await outage.ended, outage.output]).toEqual([0, expect.any(String)]);
    // One warning of each service, and rows of figures.
    expect(outage.output.match(/^ {2}\S+ warns, once: .*HTTP 500/gm)!.length).toBeGreaterThan(0);
    const rows = [
      ...outage.output.matchAll(
        /^ +\d+ s {2}(answers(?: 500)?) +(\d+) granted, (\d+) failed +(\d+) succeeded, 0 failed$/gm,
      ),
    ];
    expect(rows.length).toBeGreaterThan(8);
    expect(
      rows.some(([, state, granted, failed]) => state === 'answers 500' && granted === '0' && failed !== '0'),
    ).toBe(true);
    expect(rows.every(([, , , , succeeded]) => succeeded !== '0')).toBe(true);
    const [, failed, succeeded] =
      /was down for \d+ s: (\d+) token requests failed; (\d+) calls succeeded, 0 failed\./.exec(outage.output) ?? [];
    expect([Number(failed) > 0, Number(succeeded) > 5]).toEqual([true, true]);
    await expectNoTrace(children);
  });
});

describe('the log of npm start', () => {
  afterEach(() => {
    jest.useRealTimers();
  });

  it('app-7: shows calls of each second in one line every ten seconds', async () => {
    const file = join(root, 'scripts/sample/conversation-log.mjs');
    const { ConversationLog } = (await import(file)) as {
      ConversationLog: new (write: (line: string) => void) => {
        open(): void;
        read(service: string, line: string, isError: boolean): void;
      };
    };
    jest.useFakeTimers();
    const lines: string[] = [];
    const log = new ConversationLog((line) => lines.push(line));
    log.open();
    const call = '[Nest] 1  - 12:00 LOG [Device] GET /state client=svc-device-south@acme.example token=7af7d4f8007e';
    for (let second = 0; second < 35; second++) {
      log.read('device-north', call, false);
      jest.advanceTimersByTime(1000);
    }
    const line = '  svc-device-south → device-north       7af7d4f8007e  GET /state';
    expect(lines).toEqual([line, `${line}  (and 9 more)`, `${line}  (and 10 more)`, `${line}  (and 10 more)`]);
    // It has stopped: what was not told of yet is, and then it counts as new.
    jest.advanceTimersByTime(30_000);
    log.read('device-north', call, false);
    expect(lines.slice(4)).toEqual([`${line}  (and 5 more)`, line]);
  });
});

describe('npm run start:import', () => {
  it('starts what it needs if nothing runs, and ends it', async () => {
    const imported = new Script('import', '20');
    const children = await imported.children(2);
    expect(await imported.ended).toBe(0);
    expect(imported.output).toMatch(/No sample system is running[^]*20 users created, 0 lines rejected\./);
    await expectNoTrace(children);
  });
});

function escaped(text: string): string {
  return text.replaceAll(/[.()/]/g, String.raw`\$&`);
}

/** The suggestions, without those that are for people. */
function commandsIn(text: string): string {
  const lines = text.split('\n').filter((line) => /^(TOKEN=|curl|  -d|OUTBOX=|echo|mv)/.test(line));
  expect(lines.length).toBe(8);
  return lines.join('\n');
}

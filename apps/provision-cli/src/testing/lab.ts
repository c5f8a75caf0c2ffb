import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough, type Writable } from 'node:stream';
import { afterAll, afterEach, beforeAll, beforeEach } from '@jest/globals';
import { type RunningTenant, startTenant } from '@nestjs-identity-m2m/tenant-emulator';
import type { Clock } from '../context.js';
import { run } from '../program.js';
import type { ImportTarget } from './import-scenarios.js';
import { StandInService } from './stand-in-service.js';

/** Factor by which the pauses of a command are shortened. */
export const HASTE = 10;

/** Shortens pauses. Calls over sockets take their real time. */
export const hastyClock: Clock = {
  nowMs: () => Date.now() * HASTE,
  setTimer: (delayMs, callback) => {
    const timer = setTimeout(callback, Math.min(delayMs / HASTE, 2 ** 31 - 1));
    return () => clearTimeout(timer);
  },
};

/** Collects what a command writes. */
export class Terminal extends PassThrough {
  text = '';

  constructor(
    readonly isTTY = false,
    readonly columns = 80,
  ) {
    super();
    this.on('data', (chunk: Buffer) => (this.text += chunk.toString('utf8')));
  }
}

export interface CommandInput {
  readonly env?: Readonly<Record<string, string>>;
  readonly stdin?: string | Buffer;
  readonly stdout?: Writable;
  /** Columns of the terminal; undefined if standard error is no terminal. */
  readonly columns?: number;
}

export interface CommandResult {
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
  /** The lines of standard output, as JSON. */
  events(): Record<string, unknown>[];
}

/**
 * Runs command lines in this process, against a tenant emulator and a stand-in for the service. Each test gets a new
 * folder.
 */
export class Lab {
  tenant!: RunningTenant;
  service!: StandInService;
  folder!: string;

  /** Call it at the top of a spec file. */
  static use(): Lab {
    const lab = new Lab();
    beforeAll(async () => {
      lab.tenant = await startTenant();
    });
    beforeEach(async () => {
      lab.service = await StandInService.start();
      lab.folder = await mkdtemp(join(tmpdir(), 'provision-cli-'));
    });
    afterEach(async () => {
      lab.tenant.switches.reset();
      await lab.service.down();
      await rm(lab.folder, { recursive: true, force: true });
    });
    afterAll(() => lab.tenant.close());
    return lab;
  }

  environment(more: Readonly<Record<string, string>> = {}): Record<string, string> {
    return {
      PROVISION_TENANT_URL: this.tenant.url,
      PROVISION_SERVICE_URL: this.service.url,
      PROVISION_CLIENT_ID: 'svc-cli@acme.example',
      PROVISION_CLIENT_SECRET: 'dev-only-cli',
      ...more,
    };
  }

  get target(): ImportTarget {
    return { environment: this.environment(), made: () => this.service.made };
  }

  async command(args: readonly string[], { env, stdin, stdout, columns }: CommandInput = {}): Promise<CommandResult> {
    const input = new PassThrough();
    input.end(stdin ?? '');
    const [output, log] = [new Terminal(), new Terminal(columns !== undefined, columns)];
    const exitCode = await run(args, {
      stdin: input,
      stdout: stdout ?? output,
      stderr: log,
      environment: this.environment(env),
      clock: hastyClock,
    });
    return { exitCode, stdout: output.text, stderr: log.text, events: () => jsonLines(output.text) };
  }

  /** Imports a file. The result has the users that the service was asked for, too. */
  async imported(content: string | Buffer, name = 'users.csv') {
    const path = await this.file(name, content);
    this.service.asked = [];
    const result = await this.command(['import', path]);
    return { path, asked: this.service.asked, ...result };
  }

  /** Checks a file in a dry run. */
  async checked(content: string | Buffer, name = 'users.csv'): Promise<CommandResult> {
    return this.command(['import', await this.file(name, content), '--dry-run']);
  }

  async file(name: string, content: string | Buffer): Promise<string> {
    const path = join(this.folder, name);
    await writeFile(path, content);
    return path;
  }

  /** Returns the files in the folder but one, by name. */
  async written(except: string): Promise<Map<string, string>> {
    const names = (await readdir(this.folder)).filter((name) => join(this.folder, name) !== except);
    return new Map(
      await Promise.all(
        names.map(async (name) => [name, await readFile(join(this.folder, name), 'utf8')] as [string, string]),
      ),
    );
  }

  /** Returns the rejects of an import, by line. */
  async rejects(path: string): Promise<Record<string, unknown>[]> {
    const rejects = jsonLines(await readFile(`${path}.rejects.ndjson`, 'utf8'));
    return rejects.toSorted((a, b) => Number(a.line) - Number(b.line));
  }
}

function jsonLines(text: string): Record<string, unknown>[] {
  return text
    .split('\n')
    .filter(Boolean)
    .map((line) => JSON.parse(line) as Record<string, unknown>);
}

/** Returns NDJSON of users `<name>-1` to `<name>-<count>`. */
export function users(count: number, name = 'user'): string {
  return Array.from(
    { length: count },
    (_, i) => `{"name":"${name}-${i + 1}","mail":"${name}-${i + 1}@example.org"}\n`,
  ).join('');
}

/** Two users, and the CSV file that has them. */
export const ann = { name: 'ann', mail: 'ann@x.example', password: 'S3cret!one' };
export const bob = { name: 'bob', mail: 'bob@x.example', password: 'S3cret!two' };
export const HEADER = 'name,mail,password';
export const ANN = 'ann,ann@x.example,S3cret!one';
export const BOB = 'bob,bob@x.example,S3cret!two';

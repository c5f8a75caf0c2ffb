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

/** How much faster than real time a command's pauses pass. */
export const HASTE = 10;

/** Pauses of seconds pass in tenths of it. What goes over sockets takes its real time. */
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
  /** Columns of a terminal; undefined: standard error is none. */
  readonly columns?: number;
}

export interface CommandResult {
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
  /** The lines of standard output, as JSON. */
  events(): Record<string, unknown>[];
}

/** A tenant, a stand-in for the service and a folder, anew for each test of a file; and the command line within this process. */
export class Lab {
  tenant!: RunningTenant;
  service!: StandInService;
  folder!: string;

  /** To be called at the top of a spec file. */
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

  async file(name: string, content: string | Buffer): Promise<string> {
    const path = join(this.folder, name);
    await writeFile(path, content);
    return path;
  }

  /** All that stands in the folder but a file, by name. */
  async written(except: string): Promise<Map<string, string>> {
    const names = (await readdir(this.folder)).filter((name) => join(this.folder, name) !== except);
    return new Map(
      await Promise.all(
        names.map(async (name) => [name, await readFile(join(this.folder, name), 'utf8')] as [string, string]),
      ),
    );
  }

  /** The rejects of an import, by line. */
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

/** NDJSON of users `<name>-1` to `<name>-<count>`. */
export function users(count: number, name = 'user'): string {
  return Array.from(
    { length: count },
    (_, i) => `{"name":"${name}-${i + 1}","mail":"${name}-${i + 1}@example.org"}\n`,
  ).join('');
}

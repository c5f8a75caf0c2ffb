import { type ChildProcess, spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';

const MAIN = fileURLToPath(new URL('../../dist/main.js', import.meta.url));

/** The built provision-cli, in a process of its own. */
export class CommandProcess {
  stdout = '';
  stderr = '';
  readonly process: ChildProcess;
  /** Resolves to the exit code, or the signal that ended the process. */
  readonly ended: Promise<number | NodeJS.Signals>;

  /** @param stdout File descriptor for standard output; kept in {@link stdout} by default. */
  constructor(
    args: readonly string[],
    environment: Readonly<Record<string, string>>,
    stdout: 'pipe' | number = 'pipe',
  ) {
    this.process = spawn(process.execPath, [MAIN, ...args], {
      env: { PATH: process.env.PATH, ...environment },
      stdio: ['pipe', stdout, 'pipe'],
    });
    this.process.stdout?.setEncoding('utf8').on('data', (text: string) => (this.stdout += text));
    this.process.stderr!.setEncoding('utf8').on('data', (text: string) => (this.stderr += text));
    this.ended = new Promise((resolve) => {
      this.process.once('close', (code, signal) => resolve(code ?? signal!));
    });
  }

  kill(signal: NodeJS.Signals): void {
    this.process.kill(signal);
  }
}

import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';

const path = (file: string) => fileURLToPath(new URL(`../../${file}`, import.meta.url));

/** For the environment of an app: what makes it tell its live memory. */
export const TELLS_LIVE_MEMORY = {
  NODE_OPTIONS: `--import=${new URL('child/tells-live-memory.mjs', import.meta.url).href}`,
};

/** For the environment of an app: what lets its clock be set. */
export const SETTABLE_CLOCK = {
  NODE_OPTIONS: `--import=${new URL('child/settable-clock.mjs', import.meta.url).href}`,
};

/** Root without what exempts it from permissions, by a program that Linux comes with. */
const WITHOUT_EXEMPTION = ['setpriv', '--bounding-set', '-dac_override,-dac_read_search'];

/**
 * An app of the sample as a process of its own, which can be killed as a machine that loses power would. It is what has
 * been built (test/global-setup.mjs does that): Node.js takes twice as long to start with sources to compile.
 */
export class RunningApp {
  readonly #lines: string[] = [];

  private constructor(
    private readonly child: ChildProcess,
    private readonly exited: Promise<unknown>,
  ) {
    for (const stream of [child.stdout, child.stderr]) {
      stream?.setEncoding('utf8').on('data', (text: string) => this.#lines.push(text));
    }
  }

  /**
   * @param app Its folder in `apps`.
   * @param environment All that it knows of the world.
   * @param heedsPermissions Whether the permissions of files hold for it also where this process is root's. Default: false.
   * @returns The app once it says that it is ready, with what it says.
   */
  static async start(
    app: string,
    environment: Readonly<Record<string, string>>,
    heedsPermissions = false,
  ): Promise<{ app: RunningApp; ready: Readonly<Record<string, unknown>> }> {
    const isExempt = heedsPermissions && process.getuid?.() === 0;
    const [command, ...args] = [
      ...(isExempt ? WITHOUT_EXEMPTION : []),
      process.execPath,
      path(`apps/${app}/dist/main.js`),
    ];
    const child = spawn(command, args, {
      // Nothing of the machine that runs the tests may have a say in them.
      env: { PATH: process.env.PATH, NO_COLOR: '1', ...environment },
      stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
    });
    const exited = once(child, 'close');
    const running = new RunningApp(child, exited);
    const first = await Promise.race([once(child, 'message'), exited.then(() => undefined)]);
    if (!first) throw new Error(`${app} ended before it was ready, with ${String(await exited)}:\n${running.output}`);
    return { app: running, ready: first[0] as Readonly<Record<string, unknown>> };
  }

  /** All that it has written. */
  get output(): string {
    return this.#lines.join('');
  }

  /** The bytes that it has in use, of an app that was started with `TELLS_LIVE_MEMORY` in its environment. */
  async liveMemory(): Promise<number> {
    this.child.send('live-memory');
    const [{ bytes }] = (await once(this.child, 'message')) as [{ bytes: number }];
    return bytes;
  }

  /**
   * Sets the clock of an app that was started with `SETTABLE_CLOCK` in its environment.
   *
   * @param differenceMs To the clock of this machine.
   */
  async setClock(differenceMs: number): Promise<void> {
    this.child.send({ setClockMs: differenceMs });
    await once(this.child, 'message');
  }

  /**
   * Lets no file of the app grow beyond this size, as a full disk would, by a program that Linux comes with; undefined
   * ends that.
   */
  limitFiles(bytes: number | undefined): void {
    execFileSync('prlimit', ['--pid', `${this.child.pid}`, `--fsize=${bytes ?? 'unlimited'}:unlimited`]);
  }

  /** Stops all that the app does, until {@link thaw}. */
  freeze(): void {
    this.child.kill('SIGSTOP');
  }

  thaw(): void {
    this.child.kill('SIGCONT');
  }

  /** Ends it without giving it a chance to do anything about it. */
  async kill(): Promise<void> {
    this.child.kill('SIGKILL');
    await this.exited;
  }

  /** Ends it in good order. */
  async stop(): Promise<unknown> {
    this.child.kill('SIGTERM');
    return this.exited;
  }
}

// A service of the sample system in a process of its own, which ends with this one.

import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { root } from '../prepare.mjs';

/** Maximum number of lines kept, for the error if the service does not become ready. */
const LINES_KEPT = 20;

/** Time before the service is killed, in milliseconds. */
const TIME_TO_END_MS = 3000;

export class ChildService {
  #process;
  #exited;
  #lastLines = [];

  /**
   * @param {string} name
   * @param {string} app Its folder in `apps`.
   * @param {Record<string, string>} settings Its environment variables, added to those that every process needs.
   * @param {(line: string, isError: boolean) => void} onLine Called with each line that it writes.
   */
  constructor(name, app, settings, onLine) {
    this.name = name;
    this.#process = spawn(process.execPath, [`apps/${app}/dist/main.js`], {
      cwd: root,
      env: { ...inherited(), NO_COLOR: '1', ...settings },
      stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
      // A process group of its own: Ctrl-C reaches only this process, which shuts the services down in order.
      detached: true,
    });
    this.#exited = new Promise((resolve) => this.#process.once('close', (code, signal) => resolve(code ?? signal)));
    for (const stream of ['stdout', 'stderr']) {
      createInterface({ input: this.#process[stream] }).on('line', (line) => {
        this.#lastLines = [...this.#lastLines, line].slice(-LINES_KEPT);
        onLine(line, stream === 'stderr');
      });
    }
  }

  get pid() {
    return this.#process.pid;
  }

  /** Resolves when the service has ended, for any reason. */
  get exited() {
    return this.#exited;
  }

  /** Resolves with the service's message that it is ready. Rejects if it ends instead. */
  ready() {
    return new Promise((resolve, reject) => {
      this.#process.on('message', (message) => {
        if (message.type === 'ready') resolve(message);
      });
      void this.#exited.then((code) => {
        const said = this.#lastLines.map((line) => `\n  ${line}`).join('');
        reject(new Error(`${this.name} ended with ${code} before it was ready.${said}`));
      });
    });
  }

  async stop() {
    this.#process.kill('SIGTERM');
    const impatience = setTimeout(() => this.kill(), TIME_TO_END_MS);
    await this.#exited;
    clearTimeout(impatience);
  }

  kill() {
    this.#process.kill('SIGKILL');
  }
}

/** The variables that a process needs to run, and those meant for every Node.js process. */
function inherited() {
  const names = ['PATH', 'HOME', 'TMPDIR', 'TEMP', 'TMP', 'SystemRoot', 'NODE_OPTIONS', 'NODE_COMPILE_CACHE'];
  return Object.fromEntries(names.flatMap((name) => (process.env[name] ? [[name, process.env[name]]] : [])));
}

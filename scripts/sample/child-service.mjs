// A service of the sample system as a process of its own, which is ended together with us.

import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { root } from '../prepare.mjs';

/** Most lines that are kept, for the case that the service does not get ready. */
const LINES_KEPT = 20;

/** Before it is killed, in milliseconds. */
const TIME_TO_END_MS = 3000;

export class ChildService {
  #process;
  #exited;
  #lastLines = [];

  /**
   * @param {string} name
   * @param {string} app Its folder in `apps`.
   * @param {Record<string, string>} settings All that it knows of the world: what else is set around us is not meant for
   * it.
   * @param {(line: string, isError: boolean) => void} onLine Gets what it writes.
   */
  constructor(name, app, settings, onLine) {
    this.name = name;
    this.#process = spawn(process.execPath, [`apps/${app}/dist/main.js`], {
      cwd: root,
      env: { ...inherited(), NO_COLOR: '1', ...settings },
      stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
      // A process group of its own: Ctrl-C reaches us alone, and we end the services in good order.
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

  /** Settles when the service has ended, for whatever reason. */
  get exited() {
    return this.#exited;
  }

  /** What the service says when it can be called. Rejects where it ends instead. */
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

/** What a process needs to run at all, and what is meant for every process of Node's. */
function inherited() {
  const names = ['PATH', 'HOME', 'TMPDIR', 'TEMP', 'TMP', 'SystemRoot', 'NODE_OPTIONS', 'NODE_COMPILE_CACHE'];
  return Object.fromEntries(names.flatMap((name) => (process.env[name] ? [[name, process.env[name]]] : [])));
}

// The processes of the sample system and their working folder, which start and end together.

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ChildService } from './child-service.mjs';
import { RUN_FOLDER_PREFIX } from './running-sample.mjs';

export class SampleSystem {
  /** For data that must not outlive the system: the emulator loses its users when it ends. */
  folder = mkdtempSync(join(tmpdir(), RUN_FOLDER_PREFIX));
  /** Rejects when a service ends by itself. */
  failure;
  #fail;
  /** @type {ChildService[]} */
  #services = [];
  #onLine;
  #ending = new AbortController();
  /** Aborts when the system starts to shut down. */
  ending = this.#ending.signal;
  #endingSince;

  /**
   * @param {(service: string, line: string, isError: boolean) => void} onLine Called with each line that the services
   * write.
   */
  constructor(onLine) {
    this.#onLine = onLine;
    this.failure = new Promise((_, reject) => (this.#fail = reject));
    this.failure.catch(() => {});
    process.once('exit', () => rmSync(this.folder, { recursive: true, force: true }));
  }

  /** @returns {{ name: string, pid: number }[]} */
  get processes() {
    return this.#services.map(({ name, pid }) => ({ name, pid }));
  }

  /**
   * Starts a service.
   *
   * @param {string} name
   * @param {string} app Its folder in `apps`.
   * @param {Record<string, string>} settings
   * @returns {Promise<Record<string, any>>} Its message that it is ready.
   */
  start(name, app, settings) {
    if (this.ending.aborted)
      return Promise.reject(new Error(`${name} was not started, because the sample system is shutting down.`));
    const service = new ChildService(name, app, settings, (line, isError) => {
      if (!this.ending.aborted) this.#onLine(name, line, isError);
    });
    this.#services.push(service);
    const ready = service.ready();
    void ready
      .then(() => service.exited)
      .then(
        (code) => this.#fail(new Error(`${name} ended by itself (${code}), so the others are stopped too.`)),
        () => {},
      );
    return ready;
  }

  /** Shuts all services down in order; a second call after half a second kills them. */
  async stop() {
    this.#endingSince ??= performance.now();
    // npm passes Ctrl-C on to this process, which has already received it from the terminal.
    if (performance.now() - this.#endingSince > 500) for (const service of this.#services) service.kill();
    this.#ending.abort();
    await Promise.all(this.#services.map((service) => service.stop()));
  }
}

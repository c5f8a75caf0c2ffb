import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { get } from 'node:http';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { AUDIENCE, CLIENT_ID, CLIENT_KEYS, CLIENT_SECRET } from './machine.mjs';

const folder = fileURLToPath(new URL('servers/', import.meta.url));

/** Whether what a server needs is on this machine. */
export function isInstalled({ probe }) {
  if (!probe) return true;
  const [command, ...args] = probe;
  return spawnSync(command, args, { stdio: 'ignore' }).status === 0;
}

/** The process of one authorization server, which keeps its port and its folder for data when it is started again. */
export class ServerProcess {
  #data = mkdtempSync(join(tmpdir(), 'interop-'));
  #child;
  #output = '';

  static async start(maker) {
    const server = new ServerProcess(maker, await freePort());
    try {
      await server.start();
    } catch (error) {
      await server.close();
      throw error;
    }
    return server;
  }

  constructor(maker, port) {
    this.maker = maker;
    this.port = port;
    this.origin = `http://${maker.host ?? '127.0.0.1'}:${port}`;
  }

  /** Resolves once the server answers HTTP requests, with whatever status. */
  async start() {
    const [command, file] = this.maker.program;
    const environment = {
      PORT: String(this.port),
      DATA: this.#data,
      CLIENT_ID,
      CLIENT_SECRET,
      CLIENT_KEYS: JSON.stringify(CLIENT_KEYS),
      AUDIENCE,
    };
    this.#child = spawn(command, [join(folder, file)], { env: { ...process.env, ...environment } });
    for (const stream of [this.#child.stdout, this.#child.stderr]) {
      stream.on('data', (chunk) => (this.#output = (this.#output + chunk).slice(-4000)));
    }
    this.#child.on('error', (error) => (this.#output += error.message));
    const giveUpAt = Date.now() + 30_000;
    while (!(await answers(this.origin + this.maker.tokenEndpoint))) {
      if (this.#child.exitCode !== null || Date.now() > giveUpAt) {
        throw new Error(`${this.maker.name} does not respond.\n${this.#output}`);
      }
    }
  }

  async stop() {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const exit = once(this.#child, 'exit');
    this.#child.kill('SIGTERM');
    const force = setTimeout(() => this.#child.kill('SIGKILL'), 5000);
    await exit;
    clearTimeout(force);
  }

  async close() {
    await this.stop();
    rmSync(this.#data, { recursive: true, force: true });
  }
}

async function freePort() {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address();
  server.close();
  await once(server, 'close');
  return port;
}

/** Waits a moment before it returns false. */
function answers(url) {
  return new Promise((resolve) => {
    const request = get(url, { agent: false, timeout: 5000 }, (response) => {
      response.resume();
      resolve(true);
    });
    request.on('timeout', () => request.destroy());
    request.on('error', () => setTimeout(resolve, 50, false));
  });
}

// The calls between the machines of the sample system: a line for each, from the log of the called service.

import { EventEmitter } from 'node:events';

/** A repeated call is written the first time, and then once per this interval with a count, in milliseconds. */
const AGAIN_MS = 10_000;

/** Emits `<client> → <service>` for each call. */
export class ConversationLog extends EventEmitter {
  #write;
  /** @type {string[] | undefined} Held back until the log is opened. */
  #held = [];
  /** @type {Map<string, { again: number }>} By line. */
  #recent = new Map();

  /** @param {(line: string) => void} write */
  constructor(write) {
    super();
    this.#write = write;
  }

  /** Writes the lines held back, and from now on each line at once. */
  open() {
    for (const line of this.#held ?? []) this.#write(line);
    this.#held = undefined;
  }

  /** Resets the counts of repeated calls. */
  forgetRepetitions() {
    for (const recent of this.#recent.values()) recent.again = 0;
  }

  /**
   * Reads a line of a service's log. Writes calls, which end in `client=` and `token=`, and refusals of unknown
   * callers. Also writes warnings, except during the start, when some services call others that are not ready yet.
   *
   * @param {string} service The service that wrote the line.
   * @param {string} line
   * @param {boolean} isError Whether the line is from standard error.
   */
  read(service, line, isError) {
    const { text, isWarning } = withoutPrefix(line, isError);
    const [, what, client, token = ''] = /^(.*?)(?: client=(\S+))?(?: token=(\S+))?$/.exec(text);
    if (client) this.#tellCall(client.replace(/@.*/, ''), service, token, what);
    else if (/^[45]\d\d /.test(what)) this.#tellCall('a caller', service, token, what);
    else if (isWarning && !this.#held) this.#tell(`  ${service}: ${text}`);
  }

  #tellCall(client, service, token, what) {
    this.#tell(`  ${client.padEnd(16)} → ${service.padEnd(17)}  ${token.padEnd(12)}  ${what}`);
    this.emit(`${client} → ${service}`);
  }

  #tell(line) {
    const recent = this.#recent.get(line);
    if (recent) {
      recent.again++;
      return;
    }
    this.#recent.set(line, { again: 0 });
    this.#repeatLater(line);
    this.#writeLine(line);
  }

  #repeatLater(line) {
    setTimeout(() => {
      const recent = this.#recent.get(line);
      if (recent.again === 0) {
        this.#recent.delete(line);
        return;
      }
      this.#writeLine(`${line}  (and ${recent.again.toLocaleString('en-US')} more)`);
      recent.again = 0;
      this.#repeatLater(line);
    }, AGAIN_MS).unref();
  }

  #writeLine(line) {
    // Text that a service received and logged must not move the cursor of a terminal.
    const text = line.replaceAll(/\p{C}/gu, '?');
    if (this.#held) this.#held.push(text);
    else this.#write(text);
  }
}

/** Removes what Nest and the emulator write before each line, and the emulator after it. */
function withoutPrefix(line, isError) {
  const [, level, message] = /^\[Nest\] .*? (LOG|WARN|ERROR|FATAL) \[\w+\] (.*)$/.exec(line) ?? [];
  if (level) return { text: message, isWarning: level !== 'LOG' };
  const [, request] = /^[\d:.]+ (\S+ .*) tx=\w+ \d+ms$/.exec(line) ?? [];
  return { text: request ?? line, isWarning: isError };
}

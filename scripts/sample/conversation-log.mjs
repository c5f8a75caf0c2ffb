// What the machines of the sample system say to each other: a line for each call, as the one who was called tells it.

import { EventEmitter } from 'node:events';

/** A call that comes again and again is told of at its beginning, and then once in so long with how often it came. */
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

  /** Writes what has been held back, and from now on each line as it comes. */
  open() {
    for (const line of this.#held ?? []) this.#write(line);
    this.#held = undefined;
  }

  /** Does not count what has come again so far. */
  forgetRepetitions() {
    for (const recent of this.#recent.values()) recent.again = 0;
  }

  /**
   * Reads a line of a service's own log. Told are calls, which have `client=` and `token=` at their end; refusals of
   * callers that are not known; and warnings, but for those of the beginning, when some ask for others who are not there
   * yet.
   *
   * @param {string} service Whose log it is.
   * @param {string} line
   * @param {boolean} isError Whether it came by standard error.
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
    // Nothing that a service was sent, and writes down, may move the cursor of a terminal.
    const text = line.replaceAll(/\p{C}/gu, '?');
    if (this.#held) this.#held.push(text);
    else this.#write(text);
  }
}

/** What Nest and the emulator write in front of each line, and the emulator behind it. */
function withoutPrefix(line, isError) {
  const [, level, message] = /^\[Nest\] .*? (LOG|WARN|ERROR|FATAL) \[\w+\] (.*)$/.exec(line) ?? [];
  if (level) return { text: message, isWarning: level !== 'LOG' };
  const [, request] = /^[\d:.]+ (\S+ .*) tx=\w+ \d+ms$/.exec(line) ?? [];
  return { text: request ?? line, isWarning: isError };
}

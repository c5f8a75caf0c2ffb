import { createHmac, hash, randomBytes } from 'node:crypto';
import { inspect } from 'node:util';

/**
 * A text that must not be seen: a token, a secret, an assertion.
 *
 * However it is turned into text (string conversion, JSON, `util.inspect`, a template literal), what comes out is its
 * {@link fingerprint}. The text itself is in a private field and comes out by {@link reveal} alone.
 */
export abstract class SensitiveValue {
  readonly #text: string;

  /** Names this value in logs, events and metrics. Equal values have equal fingerprints. */
  readonly fingerprint: string;

  protected constructor(text: string, fingerprint: string) {
    this.#text = text;
    this.fingerprint = fingerprint;
  }

  /** The text itself. Every use of it can be found by searching for this name. */
  reveal(): string {
    return this.#text;
  }

  equals(other: SensitiveValue): boolean {
    return this.#text === other.#text;
  }

  toString(): string {
    return `[${this.constructor.name} ${this.fingerprint}]`;
  }

  toJSON(): string {
    return this.toString();
  }

  [inspect.custom](): string {
    return this.toString();
  }
}

/**
 * Fingerprint of a token: the first 12 hex digits of its SHA-256.
 *
 * The same in every process, so that one token can be followed through the logs of two services. Tokens are random
 * enough that it tells nothing about the text.
 */
export function tokenFingerprint(token: string): string {
  return hash('sha256', token).slice(0, 12);
}

const processKey = randomBytes(32);

/**
 * Fingerprint of a secret, comparable within this process only.
 *
 * A client secret may be a password that somebody made up. A plain hash of it in a log could be tested against a
 * list of likely passwords; one keyed with a random key of this process can not.
 */
export function secretFingerprint(secret: string): string {
  return createHmac('sha256', processKey).update(secret).digest('hex').slice(0, 12);
}

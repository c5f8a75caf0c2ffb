import { createHmac, hash, randomBytes } from 'node:crypto';
import { inspect } from 'node:util';

/**
 * A string that must not be shown: a token, a secret or an assertion.
 *
 * String conversion, JSON, `util.inspect` and template literals show only its {@link fingerprint}. The string is in a
 * private field, and only {@link reveal} returns it.
 */
export abstract class SensitiveValue {
  readonly #text: string;

  /** Identifies this value in logs, events and metrics. Equal values have equal fingerprints. */
  readonly fingerprint: string;

  protected constructor(text: string, fingerprint: string) {
    this.#text = text;
    this.fingerprint = fingerprint;
  }

  /** Returns the string. Search for this name to find every use. */
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
 * Returns the fingerprint of a token: the first 12 hex digits of its SHA-256.
 *
 * It is the same in every process, so that a token can be followed through the logs of two services. A token is random
 * enough that it cannot be guessed from its hash.
 */
export function tokenFingerprint(token: string): string {
  return hash('sha256', token).slice(0, 12);
}

const processKey = randomBytes(32);

/**
 * Returns the fingerprint of a secret, which is comparable within this process only.
 *
 * A client secret may be a weak password. An attacker could test a plain hash from a log against a list of passwords.
 * This hash uses a random key of the process, so that is not possible.
 */
export function secretFingerprint(secret: string): string {
  return createHmac('sha256', processKey).update(secret).digest('hex').slice(0, 12);
}

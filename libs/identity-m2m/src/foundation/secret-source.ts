import { open } from 'node:fs/promises';
import { secretFingerprint, SensitiveValue } from './sensitive-value.js';
import { withoutStrayCharacters } from './text.js';

/** A client secret (RFC 6749 §2.3.1). Each version of it has another fingerprint. */
export class ClientSecret extends SensitiveValue {
  constructor(text: string) {
    super(text, secretFingerprint(text));
  }
}

/**
 * Reads a secret. It is read for each request that sends it, so a rotated one is noticed.
 *
 * The library removes a leading byte order mark and trailing line breaks.
 */
export interface SecretSource {
  /** Name of the source in errors; never the secret. */
  readonly description: string;
  /** Reads the current secret. If it rejects, the request fails, as in an outage. */
  read(): Promise<ClientSecret>;
  /** Returns what is invalid in this source, as far as that is known synchronously at boot; undefined if nothing is. */
  fault(): string | undefined;
}

/**
 * A secret: a string, a function that fetches it, for example from a vault, or a source such as {@link fromEnv} or
 * {@link fromFile}.
 */
export type SecretInput = string | (() => string | Promise<string>) | SecretSource;

/** Reads the secret from an environment variable. The boot fails if it is not set or contains only line breaks. */
export function fromEnv(variable: string): SecretSource {
  const value = () => process.env[variable] ?? '';
  return {
    description: `environment variable ${variable}`,
    read: async () => new ClientSecret(value()),
    fault: () => {
      if (value() === '') return `environment variable ${variable}, which is not set`;
      const isBlank = withoutStrayCharacters(value()) === '';
      return isBlank ? `environment variable ${variable}, which has only line breaks` : undefined;
    },
  };
}

/** Maximum size of a file with a secret, in bytes: enough for a certificate chain. */
const MAX_FILE_BYTES = 65_536;

/**
 * Reads the secret from a file, each time that it is needed: a secret of Docker or Kubernetes, a projected service
 * account token, a key or a certificate. The file may have up to 65,536 bytes.
 *
 * A missing file fails the requests that need it, but not the boot.
 */
export function fromFile(path: string): SecretSource {
  return {
    description: `file ${path}`,
    read: async () => new ClientSecret((await readAtMost(path, MAX_FILE_BYTES)).toString('utf8')),
    fault: () => (typeof path === 'string' && path !== '' ? undefined : 'a file without a path'),
  };
}

async function readAtMost(path: string, maxBytes: number): Promise<Buffer> {
  const file = await open(path);
  try {
    const chunks: Buffer[] = [];
    let size = 0;
    // Reads one byte more than allowed, to detect a longer file.
    for await (const chunk of file.createReadStream({ end: maxBytes }) as AsyncIterable<Buffer>) {
      chunks.push(chunk);
      size += chunk.length;
    }
    if (size > maxBytes) throw new RangeError(`file ${path} is longer than ${maxBytes} bytes`);
    return Buffer.concat(chunks);
  } finally {
    await file.close();
  }
}

/** Returns the source of a secret in any of its forms. */
export function toSecretSource(input: SecretInput): SecretSource {
  if (typeof input === 'string') {
    return {
      description: 'a fixed value',
      read: async () => new ClientSecret(input),
      fault: () => (input === '' ? 'an empty string' : undefined),
    };
  }
  if (typeof input === 'function') {
    return {
      description: 'a function',
      read: async () => {
        const secret: unknown = await input();
        // Checked here, because an error elsewhere might show the value.
        if (typeof secret !== 'string') throw new TypeError('the function that fetches the secret returned no string');
        return new ClientSecret(secret);
      },
      fault: () => undefined,
    };
  }
  return input;
}

/** Whether a value is a {@link SecretInput}, as far as that is known without reading it. */
export function isSecretInput(value: unknown): value is SecretInput {
  if (typeof value === 'string') return value !== '' && value.isWellFormed();
  if (typeof value === 'function') return true;
  if (typeof value !== 'object' || value === null) return false;
  const { read, fault } = value as Partial<SecretSource>;
  return typeof read === 'function' && typeof fault === 'function';
}

/** Reads the current secret, without characters that copying adds. @throws Error if it is empty. */
export async function readSecret(source: SecretSource): Promise<ClientSecret> {
  const text = withoutStrayCharacters((await source.read()).reveal());
  if (text === '') throw new Error(`the secret from ${source.description} is empty`);
  return new ClientSecret(text);
}

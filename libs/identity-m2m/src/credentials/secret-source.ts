import { open } from 'node:fs/promises';
import { secretFingerprint, SensitiveValue } from '../foundation/sensitive-value.js';
import { withoutStrayCharacters } from '../foundation/text.js';

/** A client secret (RFC 6749 §2.3.1) as it was at one moment. Its fingerprint tells one version from the next. */
export class ClientSecret extends SensitiveValue {
  constructor(text: string) {
    super(text, secretFingerprint(text));
  }
}

/**
 * Where a secret comes from. Asked again for each token request, so that a rotated secret is found.
 *
 * A byte order mark at the beginning of what it returns and line breaks at the end are not part of the secret.
 */
export interface SecretSource {
  /** Names the place, never the secret: for error messages. */
  readonly description: string;
  /** The secret as it is now. A rejection fails the token request as an outage would. */
  read(): Promise<ClientSecret>;
  /** What is wrong with this source, as far as can be told at boot without waiting. */
  fault(): string | undefined;
}

/**
 * How users give a secret: its text, a function that fetches it (from a vault, say), or a source such as {@link fromEnv}
 * or {@link fromFile}.
 */
export type SecretInput = string | (() => string | Promise<string>) | SecretSource;

/** Reads the secret from an environment variable; the boot fails where it is not set, or has nothing but line breaks. */
export function fromEnv(variable: string): SecretSource {
  const value = () => withoutStrayCharacters(process.env[variable] ?? '');
  return {
    description: `environment variable ${variable}`,
    read: async () => new ClientSecret(value()),
    fault: () => {
      if (!process.env[variable]) return `environment variable ${variable} is not set`;
      return value() === '' ? `environment variable ${variable} has nothing but line breaks` : undefined;
    },
  };
}

/** Longest secret that is read from a file, in bytes. Room for a chain of certificates. */
const MAX_FILE_BYTES = 65_536;

/**
 * Reads the secret from a file, anew each time: a secret of Docker or Kubernetes, a projected service account token, a
 * key or a certificate. Line breaks at its end do not belong to it, nor does a byte order mark.
 *
 * A file that is not there, or not yet, fails token requests and not the boot.
 */
export function fromFile(path: string): SecretSource {
  return {
    description: `file ${path}`,
    read: async () => {
      const text = (await readAtMost(path, MAX_FILE_BYTES)).toString('utf8');
      return new ClientSecret(withoutStrayCharacters(text));
    },
    fault: () => (typeof path === 'string' && path !== '' ? undefined : 'a file without a path'),
  };
}

async function readAtMost(path: string, maxBytes: number): Promise<Buffer> {
  const file = await open(path);
  try {
    const chunks: Buffer[] = [];
    let size = 0;
    // The last byte is one too many: whoever fills the buffer is too long.
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

/** Makes a source of whatever the user gave. */
export function toSecretSource(input: SecretInput): SecretSource {
  if (typeof input === 'string') {
    const secret = new ClientSecret(input);
    return {
      description: 'a fixed value',
      read: async () => secret,
      fault: () => (input === '' ? 'an empty text' : undefined),
    };
  }
  if (typeof input === 'function') {
    return {
      description: 'a function',
      read: async () => {
        const secret: unknown = await input();
        // Said here, because elsewhere what was found might be shown.
        if (typeof secret !== 'string') throw new TypeError('the function that fetches the secret returned no text');
        return new ClientSecret(secret);
      },
      fault: () => undefined,
    };
  }
  return input;
}

/** Whether a value is a {@link SecretInput}, as far as can be told without asking it. */
export function isSecretInput(value: unknown): value is SecretInput {
  if (typeof value === 'string') return value !== '' && value.isWellFormed();
  if (typeof value === 'function') return true;
  return typeof value === 'object' && value !== null && 'read' in value && 'fault' in value;
}

/** The secret as it is now; an empty one is none. */
export async function readSecret(source: SecretSource): Promise<ClientSecret> {
  const text = withoutStrayCharacters((await source.read()).reveal());
  if (text === '') throw new Error(`the secret from ${source.description} is empty`);
  return new ClientSecret(text);
}

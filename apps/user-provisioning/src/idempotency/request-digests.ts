import { createHash, scrypt, type ScryptOptions } from 'node:crypto';
import { promisify } from 'node:util';
import type { RequestId } from './idempotency-store.js';

/** @param scope What the client's keys are good for: the same key means something else at another tenant. */
export function requestIdOf(scope: string, clientId: string, key: string): RequestId {
  const client = digest(scope, clientId);
  return { client, key: digest(client, key) };
}

/** A request's content; the part of it that could be guessed from a digest stands apart. */
export interface RequestContent {
  readonly open: unknown;
  readonly secret: string | undefined;
}

/**
 * Digest of a content, to be stored.
 *
 * People's passwords are few enough to be tried one after the other against a plain digest, so they go through scrypt
 * (RFC 7914) first, with a salt of their own. That takes some 10 ms of one core, and so much for each guess.
 */
export async function contentDigestOf({ client, key }: RequestId, { open, secret }: RequestContent): Promise<string> {
  const stretched =
    secret === undefined ? '' : (await stretch(secret, client + key, 32, { N: 4096 })).toString('base64url');
  return digest(JSON.stringify(open), stretched);
}

const stretch: (secret: string, salt: string, length: number, options: ScryptOptions) => Promise<Buffer> =
  promisify(scrypt);

function digest(...parts: readonly string[]): string {
  return createHash('sha256').update(JSON.stringify(parts)).digest('base64url');
}

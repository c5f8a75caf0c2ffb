import { createHmac } from 'node:crypto';
import type { UserFields } from '../input/user-fields.js';
import type { JournalHeader } from '../journal/journal-header.js';

/** A line that was rejected, and is sent once more. */
export interface Retry {
  /** How often it was rejected. */
  readonly rejections: number;
  readonly user: UserFields;
}

/**
 * The idempotency key of a line: the same whenever the line is sent in this import, and never that of another line or of
 * another import. The service remembers a rejection under its key, so a line that was rejected gets another one: the same
 * until it is rejected again or edited again.
 */
export function idempotencyKey({ runId, content }: JournalHeader, line: number, retry?: Retry): string {
  const key = createHmac('sha256', runId).update(`${content?.digest ?? 'stream'}:${line}`);
  if (retry) key.update(`:${retry.rejections}:${JSON.stringify(retry.user)}`);
  return key.digest('base64url');
}

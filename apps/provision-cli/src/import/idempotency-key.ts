import { createHmac } from 'node:crypto';
import type { JournalHeader } from '../journal/journal-header.js';

/**
 * The idempotency key of a line: the same whenever the line is sent in this import, and never that of another line or of
 * another import.
 */
export function idempotencyKey({ runId, content }: JournalHeader, line: number): string {
  return createHmac('sha256', runId)
    .update(`${content?.digest ?? 'stream'}:${line}`)
    .digest('base64url');
}

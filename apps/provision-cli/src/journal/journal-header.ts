import { scrypt } from 'node:crypto';
import { promisify } from 'node:util';
import { z } from 'zod';
import type { ContentDigest } from '../input/content-digest.js';

/** What an import is: its input, and where the users are made. */
export interface ImportSubject {
  /** Undefined where the input can be read only once. */
  readonly content: ContentDigest | undefined;
  /** Address of the service. */
  readonly service: string;
  /** As whom it is called: idempotency keys are each client's own. */
  readonly clientId: string;
}

const schema = z.object({
  journal: z.literal('provision-cli'),
  version: z.literal(1),
  /** Names this import, and makes its idempotency keys unlike those of any other. */
  runId: z.string().min(16),
  service: z.string(),
  clientId: z.string(),
  /** Null for an input that can be read only once. */
  content: z.object({ size: z.number(), digest: z.string() }).nullable(),
});

/** First line of a journal. */
export type JournalHeader = z.infer<typeof schema>;

export async function makeHeader(runId: string, subject: ImportSubject): Promise<JournalHeader> {
  const { content, service, clientId } = subject;
  return {
    journal: 'provision-cli',
    version: 1,
    runId,
    service,
    clientId,
    content: content ? { size: content.size, digest: await stretched(content, runId) } : null,
  };
}

export function readHeader(entry: unknown): JournalHeader | undefined {
  return schema.safeParse(entry).data;
}

/**
 * Why a journal is not that of an import; undefined where it is.
 *
 * @param isEdited Whether the input may be another one than it was.
 */
export async function subjectFault(
  header: JournalHeader,
  subject: ImportSubject,
  isEdited: boolean,
): Promise<string | undefined> {
  if (header.service !== subject.service) return `it is of an import into ${header.service}`;
  if (header.clientId !== subject.clientId) return `it is of an import as ${header.clientId}`;
  if (isEdited) return undefined;
  const { content } = await makeHeader(header.runId, subject);
  const isSame = header.content?.size === content?.size && header.content?.digest === content?.digest;
  if (isSame) return undefined;
  // Also where none is rejected any more: the mended file stays another than the one that the import was begun with.
  return 'the input is not what it was when the import was begun. If you have mended rejected lines in it, add --retry-rejected';
}

/**
 * A digest that takes its time: the content of a short input could be guessed but for a password, and the guesses be
 * tried against a quick one.
 */
async function stretched({ sha256 }: ContentDigest, runId: string): Promise<string> {
  const key = await promisify<string, string, number, Buffer>(scrypt)(sha256, runId, 32);
  return key.toString('hex');
}

import { z } from 'zod';

const error = z.object({ code: z.string(), message: z.string() });
const retryAfterSeconds = z.number().nonnegative().optional();
/** Of the line in the request, the first one being 1. */
const line = z.int().positive();

/** What became of one line of a batch. */
const lineAnswer = z.discriminatedUnion('status', [
  z.object({
    key: z.string(),
    line,
    status: z.literal('created'),
    user: z.object({ id: z.string() }),
    replayed: z.boolean().optional(),
  }),
  // Without a key where the service could not read one.
  z.object({ key: z.string().nullable(), line, status: z.literal('rejected'), error }),
  z.object({
    key: z.string(),
    line,
    status: z.literal('failed'),
    error,
    retryAfterSeconds,
  }),
]);

/** The last line of an answer; one without it did not come to its end. */
const stopped = error.extend({ retryAfterSeconds }).optional();
const lastLine = z
  .object({ summary: z.object({ lines: z.number(), stopped }), stopped })
  // Why the service took no further lines stands in the summary or beside it.
  .transform(({ summary, stopped }) => ({ isLast: true as const, stopped: stopped ?? summary.stopped }));

export type LineAnswer = z.infer<typeof lineAnswer>;
export type LastLine = z.infer<typeof lastLine>;

/** Understands a line of the service's answer to a batch; undefined for one that is none. */
export function readBatchAnswer(text: string): LineAnswer | LastLine | undefined {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return undefined;
  }
  return lineAnswer.safeParse(value).data ?? lastLine.safeParse(value).data;
}

import { z } from 'zod';

/**
 * How a part of the tenant is out.
 *
 * - `refuse`: closes the connection at once, without an answer. (One port serves all parts, so it cannot be closed.)
 * - `reset`: the same with a TCP reset.
 * - `hang`: takes the request and never answers.
 * - `500`: a server error, as JSON.
 * - `lose-answer`: does what the request asks for, and then closes the connection instead of answering.
 * - `html`: a web page with status 200, as from a wrong host or a captive portal.
 */
export const OUTAGES = ['none', 'refuse', 'reset', 'hang', 'lose-answer', '500', 'html'] as const;

export type Outage = (typeof OUTAGES)[number];

const printableText = z.string().regex(/^[\x20-\x7e]+$/, 'must be printable ASCII, as a header is');

export const partFault = z.strictObject({
  outage: z.enum(OUTAGES),
  /** Delay before anything else happens, in milliseconds. */
  slowMs: z.int().min(0).max(600_000),
  /** Answers 429. `retryAfter` is the Retry-After header: seconds or a text such as an HTTP date; left out, no header. */
  rateLimit: z.union(
    [z.literal('none'), z.strictObject({ retryAfter: z.union([z.number(), printableText]).optional() })],
    { error: 'expected "none" or {"retryAfter": seconds or text}, where retryAfter may be left out' },
  ),
});

/** What is wrong with one part of the tenant. They combine: first slow, then out or limited. */
export type PartFault = Readonly<z.output<typeof partFault>>;

export const NO_FAULT: PartFault = { outage: 'none', slowMs: 0, rateLimit: 'none' };

import { z } from 'zod';
import { OUTAGES } from './part-fault.js';
import { TENANT_PARTS } from './tenant-part.js';

export const timedOutage = z.strictObject({
  part: z.enum(TENANT_PARTS),
  outage: z.enum(OUTAGES).exclude(['none']),
  /** How long it lasts, in milliseconds. */
  forMs: z.int().positive(),
});

/** An outage that ends by itself. */
export type TimedOutage = Readonly<z.output<typeof timedOutage>>;

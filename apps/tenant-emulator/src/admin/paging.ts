import { BadRequestException } from '@nestjs/common';
import { z } from 'zod';
import { zodFaults } from '../config/zod-faults.js';
import type { TenantRequest } from '../requests/tenant-request.js';

const paging = z.strictObject({
  offset: z.coerce.number().int().min(0).default(0),
  limit: z.coerce.number().int().min(1).max(10_000).default(1000),
});

/** Which part of a long list is asked for. */
export function pagingOf({ query }: TenantRequest): z.output<typeof paging> {
  const checked = paging.safeParse(query);
  if (checked.success) return checked.data;
  throw new BadRequestException({ error: 'The query is wrong.', details: zodFaults(checked.error) });
}

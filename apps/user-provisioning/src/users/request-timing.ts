import type { IncomingMessage } from 'node:http';
import { applyDecorators, BadRequestException, createParamDecorator, type ExecutionContext } from '@nestjs/common';
import { ApiHeader } from '@nestjs/swagger';
import { z } from 'zod';

/** A sender's clock may be ahead of the tenant's by this much, in milliseconds. */
const TOLERANCE_MS = 1500;

/** The request is too late, or its clock is wrong. Nothing was changed. */
export class RequestTimeError extends Error {
  readonly code = 'REQUEST_TIME';

  constructor(
    message: string,
    /** What the sender's clock should have said, in milliseconds since the epoch. */
    readonly tenantTime: number,
  ) {
    super(message);
    this.name = 'RequestTimeError';
  }
}

/**
 * When a request was made, and how long it is good for, by the tenant's clock in milliseconds since the epoch. Both are
 * for senders whose requests may be held up on the way, and be overtaken by what they send next.
 */
export class RequestTiming {
  constructor(
    readonly sentAt?: number | undefined,
    readonly expiresAt?: number | undefined,
  ) {}

  /**
   * @param now The tenant's time, or a little before it; 0 where it is not known.
   * @param createdAt When the user was made that is to be changed, where the tenant says so.
   * @throws {@link RequestTimeError}
   */
  check(now: number, createdAt = 0): void {
    const tenantTime = Math.max(now, createdAt);
    if (tenantTime === 0) return;
    if (this.expiresAt !== undefined && now > this.expiresAt) {
      throw new RequestTimeError('The request came after its Request-Expires. Nothing was changed.', tenantTime);
    }
    if (this.sentAt === undefined) return;
    if (this.sentAt > tenantTime + TOLERANCE_MS) {
      throw new RequestTimeError('Request-Time is ahead of the tenant’s clock. Nothing was changed.', tenantTime);
    }
    if (createdAt > this.sentAt) {
      throw new RequestTimeError('The user was made after Request-Time. Nothing was changed.', tenantTime);
    }
  }
}

const time = z.iso
  .datetime({ offset: true })
  .transform((text) => Date.parse(text))
  .optional();

const headers = z.object({ 'request-time': time, 'request-expires': time });

/** The timing in the headers of a request; an empty one where there are none. */
export const Timing = createParamDecorator((_: unknown, context: ExecutionContext): RequestTiming => {
  const read = headers.safeParse(context.switchToHttp().getRequest<IncomingMessage>().headers);
  if (!read.success) throw new BadRequestException('Request-Time and Request-Expires must be times as in ISO 8601');
  return new RequestTiming(read.data['request-time'], read.data['request-expires']);
});

const TIMING_HEADERS = {
  'Request-Time': 'When the request was made, by the clock of the tenant: it changes no user who was made later',
  'Request-Expires': 'Until when the request is good, by the clock of the tenant',
};

/** Documents the headers that {@link Timing} reads. */
export function ApiRequestTiming(...names: (keyof typeof TIMING_HEADERS)[]): MethodDecorator {
  const schema = { type: 'string', format: 'date-time' };
  return applyDecorators(
    ...names.map((name) => ApiHeader({ name, required: false, description: TIMING_HEADERS[name], schema })),
  );
}

/** Of a request that is good at any time. */
export const ANY_TIME = new RequestTiming();

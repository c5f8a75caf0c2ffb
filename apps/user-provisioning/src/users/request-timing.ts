import type { IncomingMessage } from 'node:http';
import { applyDecorators, BadRequestException, createParamDecorator, type ExecutionContext } from '@nestjs/common';
import { ApiHeader } from '@nestjs/swagger';
import { z } from 'zod';

/** How far a sender's clock may be ahead of the tenant's, in milliseconds. */
const TOLERANCE_MS = 1500;

/** The request is late, or its sender's clock is wrong. Nothing was changed. */
export class RequestTimeError extends Error {
  readonly code = 'REQUEST_TIME';

  constructor(
    message: string,
    /** The correct time for the sender, in milliseconds since the epoch. */
    readonly tenantTime: number,
  ) {
    super(message);
    this.name = 'RequestTimeError';
  }
}

/**
 * When a request was sent, and when it expires, by the tenant's clock in milliseconds since the epoch. Both are for
 * senders whose requests may be delayed, and overtaken by their next ones.
 */
export class RequestTiming {
  constructor(
    readonly sentAt?: number | undefined,
    readonly expiresAt?: number | undefined,
  ) {}

  /**
   * @param now The tenant's time, or slightly less; 0 if unknown.
   * @param createdAt When the user to change was created, if the tenant reports it.
   * @throws {@link RequestTimeError}
   */
  check(now: number, createdAt = 0): void {
    const tenantTime = Math.max(now, createdAt);
    if (tenantTime === 0) return;
    if (this.expiresAt !== undefined && now > this.expiresAt) {
      throw new RequestTimeError('The request arrived after its Request-Expires. Nothing was changed.', tenantTime);
    }
    if (this.sentAt === undefined) return;
    if (this.sentAt > tenantTime + TOLERANCE_MS) {
      throw new RequestTimeError('Request-Time is ahead of the tenant’s clock. Nothing was changed.', tenantTime);
    }
    if (createdAt > this.sentAt) {
      throw new RequestTimeError('The user was created after Request-Time. Nothing was changed.', tenantTime);
    }
  }
}

const time = z.iso
  .datetime({ offset: true })
  .transform((text) => Date.parse(text))
  .optional();

const headers = z.object({ 'request-time': time, 'request-expires': time });

/** Injects the timing in the headers of a request; an empty one without them. */
export const Timing = createParamDecorator((_: unknown, context: ExecutionContext): RequestTiming => {
  const read = headers.safeParse(context.switchToHttp().getRequest<IncomingMessage>().headers);
  if (!read.success) throw new BadRequestException('Request-Time and Request-Expires must be ISO 8601 times');
  return new RequestTiming(read.data['request-time'], read.data['request-expires']);
});

const TIMING_HEADERS = {
  'Request-Time': 'When the request was sent, by the clock of the tenant: it changes no user who was created later',
  'Request-Expires': 'When the request expires, by the clock of the tenant',
};

/** Documents the headers that {@link Timing} reads. */
export function ApiRequestTiming(...names: (keyof typeof TIMING_HEADERS)[]): MethodDecorator {
  const schema = { type: 'string', format: 'date-time' };
  return applyDecorators(
    ...names.map((name) => ApiHeader({ name, required: false, description: TIMING_HEADERS[name], schema })),
  );
}

/** The timing of a request without the headers. */
export const ANY_TIME = new RequestTiming();

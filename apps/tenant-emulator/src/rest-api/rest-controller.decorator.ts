import { applyDecorators, Controller, HttpCode, Post, UseFilters, UseGuards, UseInterceptors } from '@nestjs/common';
import { AccessTokenGuard } from './access-token.guard.js';
import { ApiFailureFilter } from './api-failure.filter.js';
import { EnvelopeInterceptor } from './envelope.interceptor.js';

/** A controller of the tenant's REST API: needs a token, answers in the envelope. */
export function RestController(path: string) {
  return applyDecorators(
    Controller(path),
    UseGuards(AccessTokenGuard),
    UseInterceptors(EnvelopeInterceptor),
    UseFilters(ApiFailureFilter),
  );
}

/** A call of the REST API: always a POST, and status 200 for what succeeds. */
export function RestCall(path: string) {
  return applyDecorators(Post(path), HttpCode(200));
}

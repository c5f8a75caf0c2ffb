import type { ServerResponse } from 'node:http';
import { Injectable, type NestMiddleware } from '@nestjs/common';
import { Clock } from '../clock.js';
import type { PartFault, TenantPart } from '../config/switches.js';
import { failureEnvelope, HTML_TYPE, htmlPage, JSON_TYPE, respond } from '../http/response.js';
import { pathOf, type TenantRequest, tenantPartOf } from '../http/tenant-request.js';
import { SwitchBoard } from './switch-board.js';

/** Applies the faults of the part of the tenant that a request goes to. */
@Injectable()
export class FaultMiddleware implements NestMiddleware<TenantRequest, ServerResponse> {
  constructor(
    private readonly switches: SwitchBoard,
    private readonly clock: Clock,
  ) {}

  async use(request: TenantRequest, response: ServerResponse, next: () => void): Promise<void> {
    const part = tenantPartOf(pathOf(request));
    if (!part) return next();
    const fault = this.switches.faultOf(part);
    if (fault.slowMs > 0) {
      await this.clock.wait(fault.slowMs);
      if (request.socket.destroyed) return;
    }
    const decision = decideFault(part, fault);
    if (decision.kind === 'pass') return next();
    request.record?.settle(decision.outcome);
    if (decision.kind === 'answer') {
      respond(response, decision.answer);
      return;
    }
    if (decision.kind === 'lose-answer') {
      response.end = () => {
        request.socket.destroy();
        return response;
      };
      return next();
    }
    // Logs a hanging request now, not when the client gives up.
    request.record?.finish(undefined);
    if (decision.treatment === 'close') request.socket.destroy();
    if (decision.treatment === 'reset') request.socket.resetAndDestroy();
  }
}

/**
 * What a fault does to a request: passes it on, with or without the handler's response; breaks its connection; or
 * responds in place of the handler.
 */
type FaultDecision =
  | { readonly kind: 'pass' }
  | { readonly kind: 'lose-answer'; readonly outcome: string }
  | { readonly kind: 'connection'; readonly treatment: 'close' | 'reset' | 'hang'; readonly outcome: string }
  | { readonly kind: 'answer'; readonly answer: FaultAnswer; readonly outcome: string };

interface FaultAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

/** Decides on a request to a part of the tenant. An outage takes precedence over a rate limit. */
function decideFault(part: TenantPart, { outage, rateLimit }: PartFault): FaultDecision {
  const outcome = `outage: ${outage}`;
  switch (outage) {
    case 'refuse':
      return { kind: 'connection', treatment: 'close', outcome };
    case 'reset':
    case 'hang':
      return { kind: 'connection', treatment: outage, outcome };
    case 'lose-answer':
      return { kind: 'lose-answer', outcome };
    case '500':
      return { kind: 'answer', answer: jsonError(part, 500, SERVER_ERROR), outcome };
    case 'html':
      return { kind: 'answer', answer: SIGN_IN_PAGE, outcome };
    case 'none':
  }
  if (rateLimit === 'none') return { kind: 'pass' };
  const { status, headers, body } = jsonError(part, 429, 'Too many requests.');
  const { retryAfter } = rateLimit;
  const limit = retryAfter === undefined ? headers : { ...headers, 'Retry-After': String(retryAfter) };
  return { kind: 'answer', answer: { status, headers: limit, body }, outcome: 'rate limited' };
}

const SERVER_ERROR = 'System.NullReferenceException: Object reference not set to an instance of an object.';

const SIGN_IN_PAGE: FaultAnswer = {
  status: 200,
  headers: HTML_TYPE,
  body: htmlPage('Sign in', 'This page is not what you asked for.'),
};

/** The REST API uses its envelope, the OAuth2 endpoints an `error` that is not a code of the standard. */
function jsonError(part: TenantPart, status: number, text: string): FaultAnswer {
  const body =
    part === 'api'
      ? failureEnvelope({ message: text, exception: status === 500 ? text : null })
      : { error: String(status), error_description: text };
  return { status, headers: JSON_TYPE, body: JSON.stringify(body) };
}

import type { ServerResponse } from 'node:http';
import { Injectable, type NestMiddleware } from '@nestjs/common';
import { Clock } from '../clock.js';
import { respond } from '../requests/respond.js';
import { pathOf, type TenantRequest } from '../requests/tenant-request.js';
import { decideFault } from './fault-decision.js';
import { SwitchBoard } from './switch-board.js';
import { tenantPartOf } from './tenant-part.js';

/** Carries out what is wrong with the part of the tenant that a request goes to. */
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
    // The log should tell of a hanging request now, not when somebody has lost patience.
    request.record?.finish(undefined);
    if (decision.treatment === 'close') request.socket.destroy();
    if (decision.treatment === 'reset') request.socket.resetAndDestroy();
  }
}
